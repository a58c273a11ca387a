"""A folder of images, or of sub-folders of images, one for each class."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")

Size = tuple[int, int]  # height, width


def read_images(folder: Path, size: Size | None) -> tuple[np.ndarray, np.ndarray | None]:
    """x (N, C, H, W), sorted by name; y (N,) int64 if the images are in sub-folders.

    Warns where pictures are partly transparent, which are laid on white, or lose bits.
    """
    x, y, _ = read_pictures(folder, size)
    return x, y


def read_pictures(
    folder: Path, size: Size | None
) -> tuple[np.ndarray, np.ndarray | None, list[Path]]:
    """The same, and the file of each; ``folder`` may also be one picture."""
    if folder.is_file():
        return _stacked([folder], size), None, [folder]
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    groups = [_images_in(part) for part in classes or [folder]]
    if classes and _images_in(folder):
        raise ValueError(
            f"load: {folder} has images both beside and inside sub-folders; move all into "
            "sub-folders, one a class, or all out of them"
        )
    for part, group in zip(classes or [folder], groups):
        if not group:
            raise ValueError(f"load: {part} holds no images ({', '.join(IMAGES)})")
    for part in classes:
        for inner in part.iterdir():
            if inner.is_dir() and not inner.name.startswith(".") and _images_in(inner):
                raise ValueError(
                    f"load: {inner} holds images two folders down, expected one sub-folder for each "
                    f"class; move them into {part}"
                )

    files = [file for group in groups for file in group]
    x = _stacked(files, size)
    y = np.repeat(np.arange(len(groups)), [len(group) for group in groups]) if classes else None
    return x, y, files


def _stacked(files: list[Path], size: Size | None) -> np.ndarray:
    """x (N, C, H, W) of these files."""
    pictures = [_read_picture(file, size) for file in files]
    transparent = [file for file, picture in zip(files, pictures) if picture.transparent]
    if transparent:
        warnings.warn(
            f"load: {len(transparent)} of {len(files)} pictures are partly transparent, the first "
            f"{transparent[0]}; they are laid on white. If that hides what is drawn, lay them on "
            "another background first",
            stacklevel=3,
        )
    shortened = [file for file, picture in zip(files, pictures) if picture.shortened]
    if shortened:
        warnings.warn(
            f"load: {len(shortened)} of {len(files)} pictures have 16 bits a channel, the first "
            f"{shortened[0]}; Pillow reads the upper 8 of them where there are colours or "
            "transparency. Pass an array of float32 in [0, 1] where all 16 matter",
            stacklevel=3,
        )
    images = [picture.pixels for picture in pictures]
    height, width = images[0].shape[:2]
    channels = 3 if any(image.ndim == 3 for image in images) else 1
    x = np.empty((len(images), channels, height, width), np.float32)
    for n, image in enumerate(images):
        if image.shape[:2] != (height, width):
            raise ValueError(
                f"load: {files[n]} is {image.shape[0]} × {image.shape[1]} pixels, the first image "
                f"{height} × {width}; pass image_size=(height, width), or --image-size, to resize all"
            )
        # grey is broadcast to all channels
        x[n] = image.transpose(2, 0, 1) if image.ndim == 3 else image
    return x


def _images_in(folder: Path) -> list[Path]:
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.is_file())
    return sorted(p for p in files if not p.name.startswith("."))


@dataclass
class _Picture:
    """Pixels in [0, 1], (H, W) grey or (H, W, 3) colour, upright; what was lost on the way."""

    pixels: np.ndarray
    transparent: bool  # somewhere, and laid on white
    shortened: bool  # from 16 bits to 8


def _read_picture(file: Path, size: Size | None) -> _Picture:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ModuleNotFoundError(
            'load: a folder of images needs Pillow; run: pip install "tinyae[images]"'
        ) from error
    try:
        with warnings.catch_warnings():
            # A small file may claim enormous sizes: what Pillow warns of, 89 million pixels, is refused.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(file)
        with image:
            _check_plain(image)
            deep = _has_16_bits(image)
            grey = image.mode in ("1", "L", "LA", "La") or "LA;16" in str(image.tile)
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith(("I", "F")):
                pixels, transparent = _deep_grey(upright, deep)
                if size is not None:
                    upright = Image.fromarray(pixels)  # of mode "F"
                    upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
                    pixels = np.asarray(upright)
                return _Picture(pixels, transparent, False)
            upright, transparent = _on_white(upright, grey)
            if size is not None:
                upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
            pixels = np.divide(np.asarray(upright), np.float32(255), dtype=np.float32)
            return _Picture(pixels, transparent, deep)
    except Exception as error:  # image decoders raise many types of error
        raise ValueError(
            f"load: cannot read the image {file} ({error}); replace it, or take it out of the folder"
        ) from error


def _on_white(image: Any, grey: bool) -> tuple[Any, bool]:
    """The picture in grey or colours of 8 bits, laid on white; and whether that changed it."""
    from PIL import Image

    transparent = False
    if image.mode in ("La", "RGBa"):  # colours multiplied by their alpha
        image = image.convert("LA" if grey else "RGBA")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        transparent = image.getchannel("A").getextrema()[0] < 255
        if transparent:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB"), transparent


def _deep_grey(image: Any, deep: bool) -> tuple[np.ndarray, bool]:
    """Grey of 16 bits, divided by 65535, or of floating point; and whether some was transparent."""
    pixels = np.asarray(image)
    if not deep:
        if image.mode != "F" or not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ValueError(
                f"its numbers of {'floating point' if image.mode == 'F' else '32 bits'} are not in "
                "[0, 1], so what is white is not known; save it with 8 or 16 bits"
            )
        return pixels.astype(np.float32), False
    nothing = pixels == image.info.get("transparency", -1)
    pixels = np.where(nothing, np.float32(1), np.divide(pixels, 65535, dtype=np.float32))
    return pixels, bool(nothing.any())


def _check_plain(image: Any) -> None:
    """Raise unless the file holds one picture."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's, whose other frames are previews
        raise ValueError(
            f"it has {frames} frames, expected one picture; save the frames as files of their own"
        )


def _has_16_bits(image: Any) -> bool:
    """Whether the file has 16 bits a channel, or what Pillow makes 16 bits of.

    The mode does not tell: Pillow shortens 16 bits a colour to 8. A .pgm or .ppm file says itself
    what white is; with white above 255 Pillow makes 65535 of it in grey, and 255 in colours.
    """
    if image.mode.startswith("I;16") or ";16" in str(image.tile):
        return True
    if image.format != "PPM" or not image.tile:
        return False
    arguments = image.tile[0][3]
    numbers = arguments if isinstance(arguments, tuple) else (arguments,)
    return max([0, *(a for a in numbers if isinstance(a, int))]) > 255
