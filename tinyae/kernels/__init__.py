"""The hot loops, in two sets with the same names and signatures.

``reference``   plain NumPy: the definition of every kernel
``jitted``      Numba: the same results, faster
``functions``   each activation as an expression, from which loops and compiled programs are made
``fork_safe``   no fork while a matrix product runs

``kernels.affine(x, W, b)`` runs the active set's ``affine``. The first use chooses the set:
``TINYAE_KERNELS=numba`` or ``numpy`` in the environment, else Numba if it can be imported.
:func:`use` chooses another for the thread (the context) that calls it, and for no other.
Kernels see bare arrays, never a Param.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

_SETS = {"numba": "tinyae.kernels.jitted", "numpy": "tinyae.kernels.reference"}
_chosen: ContextVar[ModuleType | None] = ContextVar("tinyae.kernels", default=None)


def _load(name: str) -> ModuleType:
    if not isinstance(name, str) or name not in _SETS:
        raise ValueError(
            f"kernels: the set is {name!r:.60}, expected 'numba' or 'numpy'; "
            'pass one of them, e.g. kernels.use("numpy")'
        )
    try:
        return importlib.import_module(_SETS[name])
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"kernels: the set {name!r} needs the package {error.name}, which is not installed; "
            f'run pip install {error.name}, or choose kernels.use("numpy")'
        ) from error


@functools.cache
def _default() -> ModuleType:
    """The set of every context that has not chosen one; it is found once."""
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
    except ModuleNotFoundError:  # Numba is not installed
        return _load("numpy")
    except ImportError as error:  # it does not support this NumPy, or may not compile
        warnings.warn(
            f"kernels: Numba cannot be used ({error}), so NumPy computes, more slowly; install "
            "versions that fit, or set TINYAE_KERNELS=numpy",
            RuntimeWarning,
            stacklevel=3,
        )
        return _load("numpy")


def active() -> str:
    """The name of the set in use here, ``"numba"`` or ``"numpy"``."""
    module = (_chosen.get() or _default()).__name__
    return next(name for name, path in _SETS.items() if path == module)


class use:
    """Use a set of kernels, from here on or for a block::

        kernels.use("numpy")
        with kernels.use("numpy"): ...

    Only the context that calls it is affected: this thread, or this task of ``asyncio`` (some
    notebooks run each cell in a context of its own; there, set ``TINYAE_KERNELS``). Other
    threads, and those that it starts, use the set they chose themselves, else the default.

    Raises
        ValueError            no set has that name
        ImportError           ``"numba"`` where Numba is not installed, or may not compile
    """

    def __init__(self, name: str) -> None:
        self._module, self._before = _load(name), [_chosen.get()]
        self._entered = False
        _chosen.set(self._module)

    def __enter__(self) -> None:
        if self._entered:  # a further block of this object
            self._before.append(_chosen.get())
            _chosen.set(self._module)
        self._entered = True

    def __exit__(self, *error: object) -> None:
        _chosen.set(self._before.pop())


def _dispatcher(name: str) -> Callable[..., Any]:
    """A function with the kernel's signature, which calls the kernel in the set in use."""
    import inspect

    definition = getattr(_load("numpy"), name)
    parameters = inspect.signature(definition).parameters.values()
    signature = ", ".join(str(p.replace(annotation=p.empty)) for p in parameters)
    arguments = ", ".join(p.name for p in parameters)
    scope: dict[str, Any] = {"chosen": _chosen.get, "default": _default}
    source = f"def {name}({signature}): return (chosen() or default()).{name}({arguments})"
    exec(source, scope)  # the name and the signature of a function of ours, nothing else
    return functools.wraps(definition)(scope[name])


def erf(x: Any) -> Any:
    """1 − erfc x. A kernel of this name became :func:`erfc`, which keeps the digits of the tail."""
    return 1 - __getattr__("erfc")(x)


def __getattr__(name: str) -> Any:
    # Python calls this the first time that a kernel is asked for.
    found = getattr(_chosen.get() or _default(), name, None)
    if name.startswith("_") or not name.islower() or not callable(found):
        raise AttributeError(f"module 'tinyae.kernels' has no attribute {name!r}")
    globals()[name] = dispatch = _dispatcher(name)
    return dispatch
