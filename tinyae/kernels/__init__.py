"""The hot loops, in two sets with the same names and signatures.

``reference``   plain NumPy: the definition of every kernel
``jitted``      Numba: the same results, faster

``kernels.affine(x, W, b)`` runs the active set's ``affine``. The first use chooses the set:
``TINYAE_KERNELS=numba`` or ``numpy`` in the environment, else Numba if it can be imported.
Kernels see bare arrays, never a Param.
"""

from __future__ import annotations

import importlib
import importlib.util
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
    if name == "numba" and importlib.util.find_spec("numba") is None:
        raise ModuleNotFoundError(
            "kernels: the set 'numba' needs the package numba, which is not installed; "
            'run pip install numba, or choose kernels.use("numpy")'
        )
    return importlib.import_module(_SETS[name])


def _activate() -> ModuleType:
    global _active
    if _active is None:
        wanted = os.environ.get("TINYAE_KERNELS")
        if wanted and wanted not in _SETS:
            raise ValueError(
                f"kernels: the environment variable TINYAE_KERNELS is {wanted!r}, expected "
                "'numba' or 'numpy'; correct it, or unset it"
            )
        have_numba = importlib.util.find_spec("numba") is not None
        _active = _load(wanted or ("numba" if have_numba else "numpy"))
    return _active


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
    global _active
    before, _active = _active, _load(name)
    try:
        yield
    finally:
        _active = before


def __getattr__(name: str) -> Any:
    # Reached for the kernels' own names only: those above are found without it.
    if name.startswith("_"):
        raise AttributeError(f"module 'tinyae.kernels' has no attribute {name!r}")
    return getattr(_activate(), name)
