"""Save and load: a model as one file of arrays and a description, without code.

A file holds every parameter and state array under its dotted name, and a header in JSON::

    {"format": 1, "tinyae": "0.1.0", "aliases": {…}, "digests": {…},
     "architecture": {"$class": "Sequential", "$id": 0, "layers": [
         {"$class": "Dense", "$id": 1, "in_features": 784, "out_features": 64}, …]}}

A constructor stores each argument under its own name, so the class name and the arguments are
enough to build an object again. Where an argument has become a Param, as in
``self.alpha = Param(…alpha…)``, the Param's value is written. Loading looks up each class in a
table of tinyae's classes (and in ``custom``), builds the model with zeros, and fills it with the
file's arrays. What was shared (a tied layer, a generator, a Param under two names) is shared again.
Frozen Params are listed under ``"frozen"``, and are frozen again.

``.npz``          a plain NumPy archive: ``np.load(path)["encoder.1.W"]`` reads it too
``.safetensors``  chosen by suffix; needs the package safetensors

A file need not be trusted. No pickle is read, no name in it is imported or evaluated, and counts,
depths and sizes are bounded before anything is allocated (``bounds``).

    ``classes``   what a file may describe         ``describe``   model → header
    ``bounds``    how much it may ask for          ``build``      header → objects
    ``assemble``  objects and arrays → model       ``generators`` random states
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

import tinyae
from tinyae import files
from tinyae.archive import (
    FileError,
    Json,
    check_format,
    from_npz,
    from_safetensors,
    is_safetensors,
    to_npz,
    to_safetensors,
)
from tinyae.io.assemble import assemble
from tinyae.io.classes import classes_for, custom_classes
from tinyae.io.describe import FORMAT, describe, named_arrays
from tinyae.io.generators import generator_state, restore_generator
from tinyae.layers.base import Module
from tinyae.models.base import Model

__all__ = ["save", "load", "check_path", "generator_state", "restore_generator"]


def save(module: Module, path: str | os.PathLike[str]) -> None:
    """Write a layer or model to ``path``, completely or not at all.

    The data go to a temporary file in the same folder, which is then renamed in one step: a crash
    leaves either the old file or the new one. Objects of your own classes are saved too; name these
    classes in ``load(path, custom=[…])``. The optimizer is not part of a model.

    Raises
        TypeError             an object in the model cannot be described by class and arguments
        ValueError            the model is nested too deeply or contains itself, or has arrays of
                              several dtypes in one layer; path is a folder, a pipe or a device
        FileNotFoundError     the folder does not exist
        PermissionError       the file or its folder is write-protected
        OSError               the system cannot write it, for example because the disk is full
        ModuleNotFoundError   a .safetensors path without that package
    """
    if not isinstance(module, Module):
        raise TypeError(
            f"save: got a {type(module).__name__}, expected a layer or a model; pass model first"
        )
    check_path("save", path)
    header, arrays, own_classes = describe(module)
    try:
        assemble(header, arrays, classes_for(header, own_classes))
    except FileError as error:  # do not write what could not be read
        raise ValueError(f"save: {type(module).__name__} would not load again: {error}") from error
    if is_safetensors(path):
        content = to_safetensors(header, arrays)
        files.write("save", path, lambda file: file.write(content))
    else:
        files.write("save", path, lambda file: to_npz(file, header, arrays))


def check_path(who: str, path: str | os.PathLike[str]) -> None:
    """Raise unless :func:`save` can write to this path. Call it before a long training.

    Raises
        as save does because of its path
    """
    files.check_target(who, path)
    check_format(path)


def load(path: str | os.PathLike[str], custom: Iterable[type] = ()) -> Any:
    """The layer or model in a file that ``save`` wrote: same classes, identical arrays.

    ``custom`` lists your own classes that occur in it. Only float16 is converted, to float32,
    which holds the same numbers. Where an array has a NaN, a RuntimeWarning names it.

    Raises
        FileNotFoundError     no such file
        ValueError            the file is not from tinyae, is damaged, comes from a newer tinyae,
                              or is inconsistent; the message says which
        ModuleNotFoundError   a .safetensors path without that package
    """
    files.check_source("load", path, "a file that model.save wrote")
    own_classes = custom_classes(custom)
    read = from_safetensors if is_safetensors(path) else from_npz
    try:
        header, arrays = read(path)
        _check_format(header)
        module = assemble(header, arrays, classes_for(header, own_classes))
    except (FileError, RecursionError, MemoryError) as error:
        reason = {
            RecursionError: "it is nested too deeply",
            MemoryError: "it needs more memory than there is",
        }.get(type(error), str(error))
        raise ValueError(f"load: {os.fsdecode(path)}: {reason}") from error
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), os.fsdecode(path)) from error
    _warn_of_nan(path, module)
    return module


def _check_format(header: Json) -> None:
    if isinstance(header, dict) and "checkpoint" in header:
        raise FileError(
            "a checkpoint of a training, no model; go on from it, fit(…, resume=…), and "
            "save the model"
        )
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise FileError("its header states no format, so it is not a model that tinyae saved")
    if header["format"] > FORMAT:
        raise FileError(
            f"format {header['format']}, written by tinyae {header.get('tinyae')!s:.20}; this is "
            f"tinyae {tinyae.__version__}, which reads up to format {FORMAT}; "
            "run pip install --upgrade tinyae"
        )
    if header["format"] < 1:
        raise FileError(f"format {header['format']}, expected 1 to {FORMAT}; save the model again")


def _warn_of_nan(path: str | os.PathLike[str], module: Module) -> None:
    broken = [
        name
        for name, a in named_arrays(module).items()
        if a.dtype.kind == "f" and np.isnan(a).any()
    ]
    if broken:
        more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
        warnings.warn(
            f"load: {os.fsdecode(path)}: NaN in {', '.join(broken[:5])}{more}; whatever the model "
            "computes from it is NaN too. Load a file from before it was saved, or train it anew",
            RuntimeWarning,
            stacklevel=3,
        )


def _save_model(self: Model, path: str | os.PathLike[str]) -> None:
    save(self, path)


_save_model.__name__, _save_model.__doc__ = "save", save.__doc__
Model.save = _save_model
