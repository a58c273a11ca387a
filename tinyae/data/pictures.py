"""A folder of images, or of sub-folders of images, one for each class."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")

Size = tuple[int, int]  # height, width


def read_images(folder: Path, size: Size | None) -> tuple[np.ndarray, np.ndarray | None]:
    """x (N, C, H, W), sorted by name; y (N,) int64 if the images are in sub-folders.

    Warns where pictures are partly transparent: they are laid on white.
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
    pictures = [_pixels(file, size) for file in files]
    transparent = [file for file, (_, mixed) in zip(files, pictures) if mixed]
    if transparent:
        warnings.warn(
            f"load: {len(transparent)} of {len(files)} pictures are partly transparent, the first "
            f"{transparent[0]}; they are laid on white. If that hides what is drawn, lay them on "
            "another background first",
            stacklevel=3,
        )
    images = [image for image, _ in pictures]
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
    x /= 255
    return x


def _images_in(folder: Path) -> list[Path]:
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.is_file())
    return sorted(p for p in files if not p.name.startswith("."))


def _pixels(file: Path, size: Size | None) -> tuple[np.ndarray, bool]:
    """(H, W) grey or (H, W, 3) colour, uint8, upright; and whether it was partly transparent."""
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
            grey = image.mode in ("1", "L", "LA", "La")
            upright, mixed = ImageOps.exif_transpose(image), False
            if upright.mode in ("La", "RGBa"):  # colours multiplied by their alpha
                upright = upright.convert("LA" if grey else "RGBA")
            if upright.mode in ("LA", "PA", "RGBA") or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                mixed = upright.getchannel("A").getextrema()[0] < 255
                if mixed:
                    white = Image.new("RGBA", upright.size, "white")
                    upright = Image.alpha_composite(white, upright)
            upright = upright.convert("L" if grey else "RGB")
            if size is not None:
                upright = upright.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            return np.asarray(upright), mixed
    except Exception as error:  # image decoders raise many types of error
        raise ValueError(f"load: cannot read the image {file} ({error})") from error


def _check_plain(image: Any) -> None:
    """Raise unless 8 bits and one frame hold the whole picture."""
    raw = str(image.tile)  # how the file stores it: Pillow shortens 16 bits a colour to 8
    if image.mode.startswith(("I", "F")) or ";16" in raw or _largest_value(image) > 255:
        raise ValueError("it has more than 8 bits a channel; save it with 8 bits")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's, whose other frames are previews
        raise ValueError(
            f"it has {frames} frames, expected one picture; save the frames as files of their own"
        )


def _largest_value(image: Any) -> int:
    """What white is in a .ppm or .pgm file; 255 in every other."""
    if image.format != "PPM" or not image.tile:
        return 255
    arguments = image.tile[0][3]
    numbers = arguments if isinstance(arguments, tuple) else (arguments,)
    return max([255, *(a for a in numbers if isinstance(a, int))])
