"""The files that the verbs read and write."""

from __future__ import annotations

import os

import tinyae as ta
from tinyae import archive, files
from tinyae.param import Array

Paths = dict[str, str | None]  # by the option that names them; None where it was not given


def check_outputs(who: str, outputs: Paths, inputs: Paths) -> None:
    """Raise unless each output can be written and is neither an input nor another output.

    Raises
        ValueError, OSError   the errors of ``files.check_target``, or two names of one file
    """
    named = {option: path for option, path in inputs.items() if path is not None}
    if named.get("--data") in ta.data.DATASETS:
        del named["--data"]
    for option, path in outputs.items():
        if path is None:
            continue
        target = files.check_target(f"{who} {option}", path)
        for other, source in named.items():
            if _is_same(target, os.path.realpath(source)):
                raise ValueError(
                    f"{who}: {option} {path} is the file of {other} {source}; pass another name"
                )
        named[option] = path


def _is_same(target: str, source: str) -> bool:
    """Whether two paths lead to one file, or an existing target lies in the folder ``source``."""
    if not os.path.exists(target) or not os.path.exists(source):
        return target == source
    return os.path.samefile(target, source) or target.startswith(os.path.join(source, ""))


def write_npy(who: str, path: str, array: Array) -> None:
    """Write an array to exactly this path (np.save would add a suffix), and say so."""
    files.write(who, path, lambda file: archive.to_npy(file, array))
    print(f"{path}: {array.shape} {array.dtype}")


def picture_file(path: str | None) -> str | None:
    """The file of a picture, after checking that pictures of its kind can be drawn."""
    return None if path is None else ta.plot.check_path(path)
