"""Layers and kernels that are given all kinds of arrays, right and wrong ones.

The laws: a right array in any form gives the definition's result, with both sets of kernels. A
wrong one is refused by name, before a gradient is added. And nothing is read or written outside of
the arrays themselves.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from benchmarks.attacks import Outcome
from tinyae import catalog, kernels
from tinyae.layers import Layer
from tinyae.param import Param, unique
from tinyae.program import compile_model
from tinyae.twin import definitions_only

Change = Callable[[np.ndarray], Any]


class Subclass(np.ndarray):
    """Whatever a subclass does to arithmetic is unknown here."""


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a: np.ndarray) -> np.ndarray:
    view = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


# The same numbers in another form: accepted, with the same result.
SAME: dict[str, Change] = {
    "the other float dtype": lambda a: a.astype(np.float64 if a.itemsize == 4 else np.float32),
    "not contiguous": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "Fortran order": np.asfortranarray,
    "backwards in memory": lambda a: a[::-1].copy()[::-1],
    "read-only": read_only,
    "unaligned": unaligned,
}
# What is refused by name, before a gradient is added.
REFUSED: dict[str, Change] = {
    "float16": lambda a: a.astype(np.float16),
    "long double": lambda a: a.astype(np.longdouble),
    "integers": lambda a: (10 * a).astype(np.int64),
    "booleans": lambda a: a > 0,
    "the other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "complex": lambda a: a.astype(np.complex64),
    "objects": lambda a: a.astype(object),
    "strings": lambda a: a.astype(str),
    "list": lambda a: a.tolist(),
    "number": lambda a: np.float32(1),
    "None": lambda a: None,
    "masked": lambda a: np.ma.masked_array(a, mask=a > 0),
    "subclass": lambda a: a.view(Subclass),
    "more rows": lambda a: np.concatenate([a, a]),
    "fewer rows": lambda a: a[1:],
    "no rows": lambda a: a[:0],
    "more columns": lambda a: np.concatenate([a, a], axis=1),
    "fewer columns": lambda a: a[:, 1:],
    "one axis more": lambda a: a[None],
    "one axis less": lambda a: a[0],
    "flat": lambda a: a.ravel(),
}
PATIENCE = 600  # seconds, in which a child may also compile what is not on disk yet
TRIES_OF_A_CHILD = 500  # between guard pages: a fork takes 0.3 s
BACKWARD = ("backward", "backward_params", "backward_input")
SETS = ("numpy", "numba")
BATCHES = (1, 2, 15, 16, 33, 130)  # the least number of rows


def drawn(row: Any, rng: np.random.Generator, dtype: Any, least: int) -> tuple[Layer, np.ndarray]:
    """A layer of the catalog and a batch of at least so many rows for it."""
    layer, x = row.draw(lambda low, high: int(rng.integers(low, high, endpoint=True)), rng)
    x = np.concatenate([x] * (-(-least // len(x))))
    return layer.astype(dtype), x.astype(dtype)


def gradients(layer: Layer) -> list[np.ndarray]:
    return [p.grad.copy() for p in unique(layer.params).values()]


def clear(layer: Layer) -> None:
    for p in layer.params.values():
        p.grad[...] = 0


def differs(got: Any, want: Any, tolerance: float = 2e-4) -> bool:
    """Whether two results, or lists of them, differ by more than rounding."""
    if isinstance(want, list | tuple):
        return any(differs(a, b, tolerance) for a, b in zip(got, want, strict=True))
    if want is None or got is None:
        return want is not got
    scale = float(np.abs(want).max(initial=1))
    return np.shape(got) != np.shape(want) or not np.allclose(
        got, want, rtol=tolerance, atol=tolerance * scale / 10, equal_nan=True
    )


def unlike(changed: Any, dy: np.ndarray) -> bool:
    """Whether a change made something else of dy: a column that is not there cannot be dropped."""
    return type(changed) is not np.ndarray or (changed.shape, changed.dtype) != (dy.shape, dy.dtype)


def misused(layer: Layer, x: np.ndarray, method: str, seed: int) -> str | None:
    """Give a layer's backward every right and every wrong form of dy."""
    y, cache = layer.forward(x)
    dy = np.random.default_rng(seed).normal(size=y.shape).astype(x.dtype)
    backward = getattr(layer, method)
    clear(layer)
    want = [backward(dy, cache), *gradients(layer)]
    for name, change in SAME.items():
        clear(layer)
        if differs([backward(change(dy), cache), *gradients(layer)], want):
            return f"{layer}.{method}, dy {name}: another result"
    clear(layer)
    for name, change in REFUSED.items():
        changed = change(dy)
        if not unlike(changed, dy) or (method == "backward_params" and not layer.params):
            continue
        try:
            backward(changed, cache)
        except (TypeError, ValueError) as error:
            if "dy" not in str(error):
                return f"{layer}.{method}, dy {name}: {error}"
        else:
            return f"{layer}.{method}, dy {name}: accepted"
        if any(g.any() for g in gradients(layer)):
            return f"{layer}.{method}, dy {name}: refused, but a gradient was added"
    return None


def _layer(chance: random.Random) -> tuple[Layer, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(chance.getrandbits(32))
    dtype = chance.choice([np.float32, np.float64])
    layer, x = drawn(chance.choice(catalog.LAYERS), rng, dtype, chance.choice(BATCHES))
    return layer, x, rng


def misuse(chance: random.Random, folder: Path) -> str | None:
    layer, x, _ = _layer(chance)
    if len(x) < 2 or not x[0].size:
        x = np.concatenate([x, x])
    with kernels.use(chance.choice(SETS)):
        return misused(layer, x, chance.choice(BACKWARD), chance.getrandbits(32))


def twin(chance: random.Random, folder: Path) -> str | None:
    """A layer with the jitted kernels and their fusion, against the plain definitions."""
    layer, x, rng = _layer(chance)
    seed = int(rng.integers(2**32))
    results = []
    for name in SETS:
        copied = layer.astype(layer.dtype)
        with kernels.use(name):
            if name == "numpy":
                with definitions_only():
                    results.append(_passes(copied, x, seed))
            else:
                results.append(_passes(copied, x, seed))
    tolerance = 2e-3 if x.dtype == np.float32 else 1e-9
    return (
        f"{layer} on {x.shape}: twins differ"
        if differs(results[1], results[0], tolerance)
        else None
    )


def _passes(layer: Layer, x: np.ndarray, seed: int) -> list[Any]:
    y, cache = layer.forward(x)
    dy = np.random.default_rng(seed).normal(size=y.shape).astype(x.dtype)
    return [y, layer.backward(dy, cache), layer(x), *gradients(layer)]


# --- guard pages ------------------------------------------------------------------------------------


def guarded(a: np.ndarray) -> np.ndarray:
    """A copy that ends where a page begins that nobody may read or write.

    Its beginning is guarded too, but for what is left of its first page.
    """
    page = mmap.PAGESIZE
    pages = -(-max(a.nbytes, 1) // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for guard in (start, start + (pages + 1) * page):
        if libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    end = (pages + 1) * page
    view = np.frombuffer(memory, np.uint8)[end - a.nbytes : end].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def guards(budget: int, seed: int) -> Outcome:
    """Layers, and compiled models, all of whose arrays lie between guard pages.

    What reads beyond an array ends the process. So children make the tries, many each; a child
    writes the number of a try before it begins. Where one ends, the next begins after that try.
    """
    twin(random.Random(0), Path())  # so that no child needs to load compiled code again
    outcome = Outcome()
    while outcome.tries < budget:
        last = min(outcome.tries + TRIES_OF_A_CHILD, budget)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            _guarded_tries(seed, range(outcome.tries, last), writing)
        os.close(writing)
        with os.fdopen(reading) as lines:
            notes = [line.rstrip("\n").split(" ", 1) for line in lines]
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        outcome.tries = 1 + max((int(number) for number, _ in notes), default=last - 1)
        if status:
            signalled = f"signal {-status}" if status < 0 else f"exit code {status}"
            notes.append([str(outcome.tries - 1), signalled])
        outcome.failures += [f"try {number}: {wrong}" for number, wrong in notes if wrong]
    return outcome


def _guarded_tries(seed: int, tries: range, writing: int) -> NoReturn:
    faulthandler.disable()  # the parent tells which try it was
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    code = 1
    try:
        for i in tries:
            os.write(writing, f"{i} \n".encode())
            signal.alarm(PATIENCE)
            try:
                wrong = "another result" if _guard(random.Random(f"{seed}/{i}")) else ""
            except Exception as error:
                wrong = f"{type(error).__name__}: {str(error)[:200]}".replace("\n", " ")
            if wrong:
                os.write(writing, f"{i} {wrong}\n".encode())
        code = 0
    finally:
        os._exit(code)


def _guard(chance: random.Random) -> bool:
    layer, x, rng = _layer(chance)
    seed = int(rng.integers(2**32))
    with kernels.use("numba"):
        plain = layer.astype(layer.dtype)
        for part in _modules(layer):
            for name, value in list(vars(part).items()):
                if isinstance(value, Param):
                    setattr(part, name, Param(guarded(value.value), guarded(value.grad)))
        want, got = _passes(plain, x, seed), _passes(layer, guarded(x), seed)
        if differs(got, want, 1e-5):
            return True
        model, batch = chance.choice(catalog.MODELS[:8]).draw(
            lambda low, high: chance.randint(low, high), rng
        )
        model = model.astype(np.float32)
        batch = np.concatenate([batch] * chance.choice([1, 7, 40])).astype(np.float32)
        run = compile_model(model, chance.choice(["autoencoder", "encoder", "score"]))
        return differs(run(guarded(batch)), run(batch), 1e-5)


def _modules(module: Any) -> list[Any]:
    return [module, *(part for child in module.children.values() for part in _modules(child))]
