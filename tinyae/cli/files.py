"""The files that the verbs read and write."""

from __future__ import annotations

import argparse
import os

import tinyae as ta
from tinyae import files
from tinyae.files import Paths


def add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")


def check_outputs(who: str, outputs: Paths, inputs: Paths, force: bool = True) -> None:
    """``files.check_outputs``, where the input ``--data`` may also be the name of a data set.

    Without ``force`` an output that exists is refused.
    """
    if inputs.get("--data") in ta.data.DATASETS:
        inputs = {**inputs, "--data": None}
    files.check_outputs(who, outputs, inputs)
    for option, path in outputs.items():
        if path is not None and not force and os.path.exists(path):
            raise ValueError(f"{who}: {option} {path} exists; pass another name, or --force")


def picture_file(path: str | None) -> str | None:
    """The file of a picture, after checking that pictures of its kind can be drawn."""
    return None if path is None else ta.plot.check_path(path)
