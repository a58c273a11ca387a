"""The hot loops, in two sets with the same names and signatures.

``reference``   plain NumPy: the definition of every kernel
``jitted``      Numba: the same results, faster
``functions``   each activation as an expression, from which loops and compiled programs are made

``kernels.affine(x, W, b)`` runs the active set's ``affine``. The first use chooses the set:
``TINYAE_KERNELS=numba`` or ``numpy`` in the environment, else Numba if it can be imported.
Kernels see bare arrays, never a Param.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_SETS = {"numba": "tinyae.kernels.jitted", "numpy": "tinyae.kernels.reference"}
_active: ModuleType | None = None


def _load(name: str) -> ModuleType:
    if name not in _SETS:
        raise ValueError(f"kernels: the set is {name!r}, expected 'numba' or 'numpy'")
    try:
        return importlib.import_module(_SETS[name])
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"kernels: the set {name!r} needs the package {error.name}, which is not installed; "
            f'run pip install {error.name}, or choose kernels.use("numpy")'
        ) from error


def _choose() -> ModuleType:
    wanted = os.environ.get("TINYAE_KERNELS")
    if wanted:
        if wanted not in _SETS:
            raise ValueError(
                f"kernels: the environment variable TINYAE_KERNELS is {wanted!r}, expected "
                "'numba' or 'numpy'; correct it, or unset it"
            )
        return _load(wanted)
    try:
        return _load("numba")
    except ImportError:  # Numba is missing or does not support this NumPy
        return _load("numpy")


def _activate() -> ModuleType:
    if _active is None:
        _switch(_choose())
    assert _active is not None
    return _active


def _switch(to: ModuleType | None) -> None:
    """Copy the kernels of a set into this module; ``None`` removes them."""
    global _active
    if _active is not None:
        for name in _names(_active):
            globals().pop(name, None)
    _active = to
    if to is not None:
        globals().update({name: getattr(to, name) for name in _names(to)})


def _names(module: ModuleType) -> list[str]:
    """The names of the public functions in a kernel set."""
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and name.islower()
    ]


def active() -> str:
    """The name of the set in use, ``"numba"`` or ``"numpy"``."""
    module = _activate().__name__
    return next(name for name, path in _SETS.items() if path == module)


@contextmanager
def use(name: str) -> Iterator[None]:
    """``with kernels.use("numpy"): …`` runs the block with that set, in every thread.

    Raises
        ValueError            no set has that name
        ModuleNotFoundError   ``"numba"`` where Numba is not installed
    """
    before = _active
    _switch(_load(name))
    try:
        yield
    finally:
        _switch(before)


def __getattr__(name: str) -> Any:
    # Python calls this only until a set is active: then the kernels are functions of this module.
    if name.startswith("_"):
        raise AttributeError(f"module 'tinyae.kernels' has no attribute {name!r}")
    return getattr(_activate(), name)
