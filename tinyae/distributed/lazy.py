"""Codes and scores of a Dask array or DataFrame, a block of rows at a time, when they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.models.base import Model
from tinyae.param import Array

Function = Callable[[Array], Array]


def encode(model: Any, x: Any) -> Any:
    """The codes of the rows: a Dask array (N, …), or a DataFrame with columns code0, code1, … .

    Nothing is computed yet. Each block becomes a task that holds one block of rows and its codes.

    Raises
        TypeError   x is neither a Dask array nor a Dask DataFrame, or the model has no codes
    """
    _check(model, "encode")
    return _over_rows("encode", model.encode, x, "code")


def score(model: Any, x: Any) -> Any:
    """The reconstruction error of each row: a Dask array (N,), or a Series with the frame's index.

    As ``model.reconstruction_error``, the mean square over features. Nothing is computed yet.

    Raises
        TypeError   x is neither a Dask array nor a Dask DataFrame, or the model does not reconstruct
    """
    _check(model, "reconstruction_error")
    return _over_rows("score", model.reconstruction_error, x, "score")


def _check(model: Any, method: str) -> None:
    if not isinstance(model, Model) or not hasattr(model, method):
        raise TypeError(
            f"distributed: model is a {type(model).__name__}, expected one that has {method}; "
            "pass an Autoencoder, or another model with a code"
        )


def _over_rows(who: str, f: Function, x: Any, name: str) -> Any:
    import dask.array as da

    if isinstance(x, da.Array):
        return _over_array(f, x)
    if hasattr(x, "map_partitions") and hasattr(x, "columns"):
        first = f(np.zeros((1, len(x.columns)), np.float32))
        columns = [f"{name}{k}" for k in range(first.shape[1])] if first.ndim > 1 else None
        frame = functools.partial(_frame, f, name, columns)
        return x.map_partitions(frame, meta=frame(x._meta))
    raise TypeError(
        f"distributed.{who}: x is a {type(x).__name__}, expected a Dask array or DataFrame; "
        f"call model.{'encode' if who == 'encode' else 'reconstruction_error'} for an array in memory"
    )


def _over_array(f: Function, x: Any) -> Any:
    if x.ndim < 2:
        raise TypeError(f"distributed: x has shape {x.shape}, expected rows of features (N, …)")
    whole = x.rechunk(dict.fromkeys(range(1, x.ndim), -1))  # a row is never cut
    sample = f(np.zeros((1, *x.shape[1:]), np.float32))
    return whole.map_blocks(
        functools.partial(_block, f, sample[:0]),
        dtype=sample.dtype,
        chunks=(whole.chunks[0], *sample.shape[1:]),
        drop_axis=list(range(1, x.ndim)),
        new_axis=list(range(1, sample.ndim)),
        meta=sample[:0],
    )


def _block(f: Function, empty: Array, rows: Array) -> Array:
    return f(rows) if len(rows) else empty


def _frame(f: Function, name: str, columns: list[str] | None, frame: Any) -> Any:
    """A partition's codes or scores, beside its index."""
    import pandas as pd

    width = len(frame.columns)
    rows = frame.to_numpy(np.float64)
    found = f(rows) if len(rows) else f(np.zeros((1, width)))[:0]
    if columns is None:
        return pd.Series(found, index=frame.index, name=name)
    return pd.DataFrame(found, index=frame.index, columns=columns)
