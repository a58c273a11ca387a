"""Data: published sets, generated sets, and the user's own.

::

    from tinyae.data import load

    load("fashion-mnist")   # published: found under TINYAE_DATA or in the cache, or downloaded
    load("strokes")         # generated: the same bits every time, no network
    load("beats.csv")       # your own: see tinyae.data.files

`make_strokes`, `make_heartbeats` and `make_faces` generate as many samples as you ask for.

Read next: published.py, files.py with tables.py and pictures.py, then strokes.py, heartbeats.py,
faces.py, batches.py and streams.py. corruption.py, augmentation.py and binarize.py change samples
during training.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinyae import lazy

if TYPE_CHECKING:
    from tinyae.data.faces import faces as make_faces
    from tinyae.data.heartbeats import heartbeats as make_heartbeats
    from tinyae.data.published import fetch
    from tinyae.data.streams import DaskRows, ParquetRows
    from tinyae.data.strokes import strokes as make_strokes

__all__ = [
    "DATASETS",
    "DaskRows",
    "Dataset",
    "ParquetRows",
    "fetch",
    "load",
    "make_faces",
    "make_heartbeats",
    "make_strokes",
]

__getattr__ = lazy.attach(
    __name__,
    {
        "DaskRows": "tinyae.data.streams:DaskRows",
        "ParquetRows": "tinyae.data.streams:ParquetRows",
        "fetch": "tinyae.data.published:fetch",
        "make_faces": "tinyae.data.faces:faces",
        "make_heartbeats": "tinyae.data.heartbeats:heartbeats",
        "make_strokes": "tinyae.data.strokes:strokes",
    },
)

# The names that `load` knows: training + test samples, content, licence.
DATASETS = {
    "mnist": "60,000 + 10,000 handwritten digits, 28 × 28 grey; CC BY-SA 3.0",
    "fashion-mnist": "60,000 + 10,000 garments of 10 kinds, 28 × 28 grey; MIT",
    "ecg5000": "500 + 4,500 heartbeats of 140 samples, normal or not; ODC-By",
    "strokes": "6,000 + 1,000 digits that look handwritten, 28 × 28 grey; generated, MIT",
    "heartbeats": "4,000 + 1,000 heartbeats of 140 samples, normal or not; generated, MIT",
    "faces": "400 + 100 people, 15 and 10 pictures each, 32 × 32 grey; generated, MIT",
}


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training samples and held-out test samples, with labels if there are any.

    Shapes    x_train (N, …)   y_train (N,) or None   x_test (M, …)   y_test (M,) or None
              x is float32
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    description: str

    def __repr__(self) -> str:
        labels = "without" if self.y_train is None else "with"
        return (
            f"Dataset({self.name!r}: train {self.x_train.shape}, test {self.x_test.shape}, "
            f"{self.x_train.dtype}, {labels} labels)"
        )


def load(
    name_or_path: str | os.PathLike[str],
    *,
    test_fraction: float | None = None,
    image_size: int | tuple[int, int] | None = None,
) -> Dataset:
    """Load a data set by name (see `DATASETS`), or your own from a file or a folder of images.

    name_or_path    a name, or the path of a .npy, .npz, .csv or .csv.gz file or a folder of
                    images. A known name takes precedence over a file; "./name" is the file
    test_fraction   own data: the fraction to hold out as x_test, by default 0.1
    image_size      a folder of images: resize all to (height, width) or to a square

    Shapes    mnist, fashion-mnist, strokes: x (N, 1, 28, 28) in [0, 1]
              ecg5000: x (N, 140), as published: each beat has mean 0, standard deviation 1
              heartbeats: x (N, 140) in mV; of both, y is 1 for normal and 0 for abnormal
              faces: x (N, 1, 32, 32) in [0, 1]; y identifies the person; nobody is in both sets
              own data: as `tinyae.data.files` describes
    Raises    ValueError for an unknown name, or data that is damaged or cannot be used;
              FileNotFoundError for a path that does not exist, or a published set that is not on
              this computer and cannot be downloaded. Both messages say what to do.
    """
    from pathlib import Path  # imported here: it would be a fifth of the time of `import tinyae`

    from tinyae.data import files, published
    from tinyae.data.faces import faces as make_faces
    from tinyae.data.heartbeats import heartbeats as make_heartbeats
    from tinyae.data.strokes import strokes as make_strokes

    if not isinstance(name_or_path, (str, os.PathLike)):
        raise TypeError(
            f"load: name_or_path is {name_or_path!r:.60}, expected a name or a path; pass one of "
            f"{', '.join(DATASETS)}, or a file"
        )
    if not (isinstance(name_or_path, str) and name_or_path in DATASETS):
        path = Path(name_or_path).expanduser()
        if not path.exists() and str(name_or_path) == path.name and not path.suffix:
            raise ValueError(
                f"load: no data set is named {str(name_or_path)!r}; the names are "
                f"{', '.join(DATASETS)}; or pass the path of a .npy, .npz or .csv file or of a "
                "folder of images"
            )
        own = files.load(path, test_fraction=test_fraction, image_size=image_size)
        return Dataset(path.name, *own, f"own data from {path}")
    if test_fraction is not None or image_size is not None:
        raise ValueError(
            f"load: test_fraction and image_size are for your own data; {name_or_path} has its "
            "own test set and size, so omit them"
        )
    rng = np.random.default_rng(0)
    if name_or_path in published.URLS:
        parts = published.load(name_or_path)
    elif name_or_path == "faces":
        x_train, y_train = make_faces(400, 15, rng)
        x_test, y_test = make_faces(100, 10, rng)
        parts = (x_train, y_train, x_test, y_test + 400)  # other people
    elif name_or_path == "strokes":
        parts = (*make_strokes(6_000, rng), *make_strokes(1_000, rng))
    else:
        parts = (*make_heartbeats(4_000, rng), *make_heartbeats(1_000, rng))
    return Dataset(name_or_path, *parts, DATASETS[name_or_path])
