"""What lies around the library: the folder of compiled code, and people's tables and pictures.

The laws: a compiled function gives the right number whatever the files of its cache hold. A table or
a picture is read as finite float32, every sample of it, or refused by a ValueError that names it.
"""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinyae as ta
from benchmarks.attacks.crafting import flipped


def cached_code(rng: random.Random, folder: Path) -> str | None:
    """A file of the cache is cut, changed, emptied, exchanged or taken away."""
    from numba import config

    from tinyae.kernels.jitted.threads import njit

    def run() -> float:
        return float(njit()(_triple)(7.0))

    before, config.CACHE_DIR = config.CACHE_DIR, str(folder / "compiled")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
            files = [file for file in (folder / "compiled").rglob("*") if file.is_file()]
            file = rng.choice(files)
            data = file.read_bytes()
            how = rng.choice(["cut", "flip", "flip", "flip", "empty", "other", "noise", "gone"])
            if how == "gone":
                file.unlink()
            else:
                other = rng.choice(files).read_bytes()
                size = rng.randrange(len(data))
                changed = {"cut": data[:size], "empty": b"", "other": other}
                changed |= {"noise": rng.randbytes(size), "flip": flipped(rng, data)}
                file.write_bytes(changed[how])
            got, again = run(), run()
    finally:
        config.CACHE_DIR = before
    return None if got == again == 21.0 else f"{how} of {file.name}: {got}, {again}"


def _triple(x: float) -> float:
    return 3 * x


def table(rng: random.Random, folder: Path) -> str | None:
    """A table of odd cells, with a header or without."""
    width, height = rng.randint(1, 4), rng.randint(1, 6)
    lines = [",".join(_cell(rng) for _ in range(width)) for _ in range(height)]
    if rng.random() < 0.3:
        lines.insert(0, ",".join(rng.choice(["a", '"b c"', "x1", "σ"]) for _ in range(width)))
    if rng.random() < 0.2:
        lines.insert(rng.randint(0, len(lines)), rng.choice(["", " ", ",", "1,2,3,4,5", "#", "\0"]))
    raw = rng.choice(["\n", "\r\n"]).join(lines).encode("utf-8")
    if raw and rng.random() < 0.2:
        raw = flipped(rng, raw)
    path = folder / "table.csv"
    path.write_bytes(raw)

    def whole(x: np.ndarray) -> bool:
        text = io.StringIO(raw.decode("utf-8-sig"), newline=None)
        given = sum(bool(line.strip()) for line in text)
        return given - 1 <= len(x) <= given and x.ndim == 2

    return _loaded(path, whole)


def _cell(rng: random.Random) -> str:
    odd = ["0", "-0", "1", "1e-50", "1e39", "nan", "inf", "", " 3 ", '"4"', "1_0", "0x1", "½", "x"]
    if rng.random() < 0.1:
        return rng.choice(odd)
    return rng.choice(
        [str(rng.randint(-9, 9)), f"{rng.gauss(0, 1):.3f}", str(2**31 + rng.randint(0, 9))]
    )


def picture(rng: random.Random, folder: Path) -> str | None:
    """A picture of any mode and format, with other bytes now and then."""
    from PIL import Image

    mode = rng.choice(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr"])
    size = rng.randint(1, 9), rng.randint(1, 9)
    suffix = rng.choice(["png", "bmp", "gif", "tif", "webp", "jpg", "ppm"])
    image, stream = Image.new(mode, size), io.BytesIO()
    frames = [image] * rng.choice([0, 0, 0, 2])
    more: dict[str, Any] = {"save_all": True, "append_images": frames} if frames else {}
    kinds = {"tif": "TIFF", "jpg": "JPEG"}
    try:
        image.save(stream, kinds.get(suffix, suffix.upper()), **more)
    except (OSError, ValueError, KeyError):  # this format has no such mode
        return None
    data = stream.getvalue()
    for old in folder.glob("pictures/*"):
        old.unlink()
    (folder / "pictures").mkdir(exist_ok=True)
    path = folder / "pictures" / f"a.{suffix}"
    path.write_bytes(flipped(rng, data) if rng.random() < 0.5 else data)
    return _loaded(folder / "pictures", lambda x: x.ndim == 4 and 0 <= x.min() <= x.max() <= 1)


def _loaded(path: Path, right: Callable[[np.ndarray], bool]) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = ta.data.load(path, test_fraction=0).x_train
    except ValueError as error:
        return None if str(path) in str(error) else f"does not name the file: {str(error)[:200]}"
    if x.dtype != np.float32 or not np.isfinite(x).all() or not right(x):
        return f"gives {x.dtype} of shape {x.shape}"
    return None
