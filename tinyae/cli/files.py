"""The files that the verbs read and write."""

from __future__ import annotations

import tinyae as ta
from tinyae import archive, files
from tinyae.files import Paths
from tinyae.param import Array


def check_outputs(who: str, outputs: Paths, inputs: Paths) -> None:
    """``files.check_outputs``, where the input ``--data`` may also be the name of a data set."""
    if inputs.get("--data") in ta.data.DATASETS:
        inputs = {**inputs, "--data": None}
    files.check_outputs(who, outputs, inputs)


def write_npy(who: str, path: str, array: Array) -> None:
    """Write an array to exactly this path (np.save would add a suffix), and say so."""
    files.write(who, path, lambda file: archive.to_npy(file, array))
    print(f"{path}: {array.shape} {array.dtype}")


def picture_file(path: str | None) -> str | None:
    """The file of a picture, after checking that pictures of its kind can be drawn."""
    return None if path is None else ta.plot.check_path(path)
