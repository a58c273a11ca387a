"""A function and the backward that someone has written for it, as in an exercise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.kept import Kept
from tinyae.gradcheck.doctor.locals import inner_arrays, local_arrays
from tinyae.gradcheck.doctor.names import (
    conflicts,
    constants_of,
    layer_sizes,
    literals_of,
    sizes_of,
)
from tinyae.gradcheck.doctor.precision import in_double
from tinyae.gradcheck.doctor.resizing import (
    Inputs,
    of_other_rows,
    other_batch,
    other_lengths,
    resized,
    softened,
)
from tinyae.gradcheck.doctor.subjects import forms
from tinyae.gradcheck.doctor.subjects.base import (
    BATCH,
    FARTHER,
    GIVEN,
    LENGTHS,
    NEARER,
    REDRAWN,
    SOFT,
    THIRD_BATCH,
    Subject,
)
from tinyae.gradcheck.doctor.trial import Point
from tinyae.gradcheck.draws import as_float64, independent_generator, redraw, wild
from tinyae.gradcheck.report import gradient_name
from tinyae.param import Array

_PAIRS = ("cache", "cache, no dy", "joint")  # forms in which f returns y and something else
MOST_NAMES = 16  # named tensors, inputs and local variables together


class FunctionSubject(Subject):
    """y = f(*inputs) with a hand-written backward, in any of the forms of ``forms.py``."""

    def __init__(
        self,
        f: Callable[..., Any],
        x: Any,
        backward: Callable[..., Any] | None,
        rng: np.random.Generator,
        *,
        wrt: Any = None,
        upstream: bool = True,
        tensors: Any = None,
        draw: Any = None,
    ) -> None:
        self.kept = Kept(f, backward)
        self.f, self.rng = f, independent_generator(rng)
        self.inputs, self.constants, self.order = self._sorted(forms.named_inputs(f, x))
        self.named, self.draw = tensors, draw
        self.lengths: dict[str, tuple[str, int]] = {}
        self.numbers = constants_of(f, backward) | conflicts(f, backward)
        self.form = "plain" if upstream else "no dy"
        self.backward: Callable[..., Any] = f if backward is None else backward
        self.title = getattr(self.backward, "__name__", "backward")
        self.given = self.module = self.backward
        self.wrt: tuple[str, ...] = (wrt,) if isinstance(wrt, str) else tuple(wrt or ())
        self._try(backward)
        self.slope_f = in_double(f, self._arguments(self.inputs))
        self.single = self.slope_f is not f

    def _sorted(self, x: dict[str, Any]) -> tuple[Inputs, dict[str, Any], list[str]]:
        """Arrays; what is no array (a mode, a string, None); and the order of all of them."""
        arrays: Inputs = {}
        constants: dict[str, Any] = {}
        for name, a in x.items():
            number = isinstance(a, (np.ndarray, list, tuple, int, float, np.number))
            if number and not isinstance(a, bool) and np.asarray(a).dtype.kind in "fiub":
                arrays[name] = as_float64(a)
            else:
                constants[name] = a
        return arrays, constants, list(x)

    def _try(self, backward: Callable[..., Any] | None) -> None:
        """One call of f and of backward, from which the form and the gradients' names follow."""
        floats = [name for name, a in self.inputs.items() if a.dtype.kind == "f"]
        if not floats or any(name not in floats for name in self.wrt):  # whole numbers that move
            for name in self.wrt or self.inputs:
                if name in self.inputs:
                    self.inputs[name] = self.inputs[name].astype(np.float64)
            floats = [name for name, a in self.inputs.items() if a.dtype.kind == "f"]
        try:
            y = self.f(*self._arguments(self.inputs))
            if self.form == "plain" and type(self).call is FunctionSubject.call:
                self.form = forms.form_of(y, backward, len(self.order))
            y = np.asarray(y[0] if self.form in _PAIRS else y)
            out = self.call(np.ones(y.shape), self.inputs)
            found = forms.inputs_with_gradient(out, floats, self.order)
        except Exception:  # the examination meets the same error and reports it
            found = tuple(floats)
        self.wrt = tuple(name for name in self.wrt or found if name in self.inputs)
        self.upstream = self.form not in ("no dy", "cache, no dy", "joint")
        self.kept.look(self.f, self.backward)

    def in_order(self, inputs: Inputs) -> list[Any]:
        """The arguments of f, these very arrays among them."""
        return [inputs[name] if name in inputs else self.constants[name] for name in self.order]

    def _arguments(self, inputs: Inputs) -> list[Any]:
        return self.in_order({name: a.copy() for name, a in inputs.items()})

    def finish(self) -> None:
        self.kept.restore()

    def names(self) -> dict[str, str]:
        return {name: gradient_name(name) for name in self.wrt}

    def evaluate(self, inputs: Inputs) -> Array:
        """y, in float64 even where f computes in float32."""
        y = self.slope_f(*self._arguments(inputs))
        return np.asarray(y[0] if self.form in _PAIRS else y, np.float64)

    def call(self, r: Array, inputs: Inputs) -> Any:
        """What backward returns, in whatever form."""
        arguments = self._arguments(inputs)
        if self.form == "joint":
            return self.backward(*arguments)[1]
        if self.form == "no dy":
            return self.backward(*arguments)
        if self.form == "cache, no dy":
            return self.backward(self.f(*arguments)[1])
        upstream = r.copy() if r.ndim else np.float64(r)
        if self.form == "cache":
            return self.backward(upstream, self.f(*arguments)[1])
        if self.form == "kept":
            self.f(*arguments)
            return self.backward(upstream)
        if self.kept.changed:  # forward may keep what backward reads
            self.f(*self._arguments(inputs))
        return self.backward(upstream, *arguments)

    def gradients(self, r: Array, inputs: Inputs, restored: bool = True) -> dict[str, Any]:
        """The gradients by name; as in the first call, unless not ``restored``."""
        if restored:
            self.kept.restore()
        return self.by_name(self.call(r, inputs))

    def by_name(self, returned: Any) -> dict[str, Any]:
        """The gradients that backward returned, by name."""
        found = forms.gradients_by_name(returned, self.wrt, self.order)
        return {name: _array(g) for name, g in found.items()}

    def drawn(self, k: int) -> Inputs:
        """The inputs of point k.

        Raises
            ValueError  there are none: tensors belong to the given inputs, or f takes no others
        """
        if k and isinstance(self.named, dict):  # they belong to these inputs: only dy is new
            if k != REDRAWN:
                raise ValueError("tensors are given for one batch size only")
            k = GIVEN
        if k == GIVEN:
            return {name: a.copy() for name, a in self.inputs.items()}
        if self.draw is not None:
            return self._redrawn_by_caller(k)
        rng = np.random.default_rng(k)
        for inputs in self._candidates(k, rng):
            made = {
                name: redraw(a, rng, free=name in self.wrt)
                if k not in (FARTHER, SOFT, NEARER)
                else a
                for name, a in inputs.items()
            }
            if k == REDRAWN or self._accepts(made):
                return made
        raise ValueError("f takes no such inputs")

    def _candidates(self, k: int, rng: np.random.Generator) -> list[Inputs]:
        """The given inputs at other sizes, or farther away."""
        if k == REDRAWN:
            return [self.inputs]
        if k == LENGTHS:
            return [resized(self.inputs, lengths) for lengths in other_lengths(self.inputs)]
        n, rows = other_batch(self.inputs, k == THIRD_BATCH)
        if k in (BATCH, THIRD_BATCH):
            found = [of_other_rows(self.inputs, n, rows)]
            if n == 1:  # perhaps only the first of them has a row for each sample
                found.insert(0, of_other_rows(self.inputs, n, rows, next(iter(self.inputs))))
            return found
        if k == SOFT:
            soft = {name: softened(a, rng) for name, a in self.inputs.items()}
            moved = {n: a for n, a in soft.items() if a is not None and n not in self.wrt}
            return [{**self.inputs, **moved}] if moved else []
        farther = {
            name: wild(a, rng, beyond=literals_of(self.f))
            for name, a in self.inputs.items()
            if name in self.wrt
        }
        moved = {name: a for name, a in farther.items() if a is not None}
        if k == NEARER:  # a margin is met where points lie close together
            near = {name: 0.1 * self.inputs[name] for name in moved}
            return [{**self.inputs, **near}] if moved else []
        found = [{**self.inputs, **moved}] if moved else []
        negated = self._negated()
        return [{**made, **negated} for made in found if negated] + found

    def _negated(self) -> Inputs:
        """Vectors that are not differentiated by and have one sign, with half of the signs changed:
        the slopes of a PReLU, which may become negative.
        """
        rows, _ = other_batch(self.inputs)
        found: Inputs = {}
        for name, a in self.inputs.items():
            one_sign = a.dtype.kind == "f" and a.size > 1 and bool((a > 0).all() or (a < 0).all())
            if name not in self.wrt and a.ndim == 1 and len(a) != rows and one_sign:
                found[name] = a * np.where(np.arange(len(a)) % 2, 1.0, -1.0)
        return found

    def _accepts(self, inputs: Inputs) -> bool:
        try:
            with np.errstate(all="ignore"):
                return bool(np.isfinite(self.evaluate(inputs)).all())
        except Exception:  # lengths that do not fit together
            return False

    def _redrawn_by_caller(self, k: int) -> Inputs:
        first = next(iter(self.inputs.values()))
        n = len(first) if first.ndim else 1
        if k not in (REDRAWN, BATCH, THIRD_BATCH):
            raise ValueError("the caller draws other batches, and no other inputs")
        rows = n if k == REDRAWN else other_batch(self.inputs, k == THIRD_BATCH)[1]
        drawn = forms.named_inputs(self.f, self.draw(np.random.default_rng(k), rows))
        return self._sorted(drawn)[0]

    def point(self, k: int) -> Point:
        inputs = self.drawn(k)
        y = self.evaluate(inputs)
        rng = self.rng if k == GIVEN else np.random.default_rng(100 + k)
        r = rng.normal(size=y.shape) if self.upstream else np.ones(y.shape)
        r = np.asarray(r, np.float64)
        first = next(iter(inputs.values()))
        size = layer_sizes(first, y, {})
        if not y.ndim:
            size = sizes_of("N", "DEF" if first.ndim < 4 else "CHW", first.shape)
        if k == GIVEN:
            self.lengths = _further_lengths(self.inputs, set(size.values()))
        size |= {text: inputs[name].shape[axis] for text, (name, axis) in self.lengths.items()}
        return Point(
            {name: inputs[name] for name in self.wrt},
            lambda: self.evaluate(inputs),
            lambda upstream: self.gradients(upstream, inputs),
            y,
            r,
            size,
            self.numbers
            | _totals({name: a for name, a in inputs.items() if name not in self.wrt})
            | {k: float(a) for k, a in inputs.items() if not a.ndim and a not in (0, 1)},
            {**inputs},
            label=f"N = {len(first) if first.ndim else 1}",
        )

    def tensors(self, point: Point) -> dict[str, Array]:
        inputs = dict(point.tensors)
        named = {"dy": point.r} if self.upstream else {}
        named.update({k: np.asarray(a, np.float64) for k, a in inputs.items()})
        named.setdefault("y", point.y)
        more = self.named
        if callable(more):
            more = more(*self._arguments(inputs))
        for name, a in (more or {}).items():
            named[name] = np.asarray(a, np.float64)
            if name != "y" and "y" in named and np.array_equal(named[name], named["y"]):
                del named["y"]  # it has a better name
        if more is None:
            self._add_locals(named, point)
        return named

    def _add_locals(self, named: dict[str, Array], point: Point) -> None:
        """Add what backward and f hold in local variables, if it is not known under another name."""
        codes = [c for c in (self._code(), getattr(self.f, "__code__", None)) if c is not None]
        inputs = {name: a.copy() for name, a in point.tensors.items()}
        gradients: dict[str, Any] = {}

        def run() -> None:
            gradients.update(self.gradients(point.r, inputs))
            self.evaluate(inputs)

        try:
            held = local_arrays(run, codes)
        except Exception:  # backward does not run here
            return
        known = [*named.values(), *gradients.values()]
        for name, a in held.items():
            new = not any(np.shape(t) == a.shape and np.array_equal(t, a) for t in known)
            hides = name == "y" and name in named and not named[name].ndim  # L is called y, too
            if new and (hides or name not in named) and len(named) < MOST_NAMES:
                named[name] = a
                known.append(a)

    def inner_tensors(self, point: Point) -> dict[str, Array]:
        """What backward computes in passing, and holds in no variable."""
        if not isinstance(self.backward, FunctionType) or self.named is not None:
            return {}
        inputs = {name: a.copy() for name, a in point.tensors.items()}
        uses = set(self.backward.__code__.co_names)
        try:
            return inner_arrays(lambda: self.gradients(point.r, inputs), self.backward, uses)
        except Exception:  # backward does not run here
            return {}

    def _code(self) -> Any:
        own = getattr(self.backward, "backward", self.backward)  # of a class of PyTorch
        return getattr(inspect.unwrap(own), "__code__", None)


def _totals(inputs: Inputs) -> dict[str, float]:
    """The sums of vectors, as of weights or of a mask, by which a loss may be divided."""
    found = {f"{name}.sum()": float(a.sum()) for name, a in inputs.items() if a.ndim == 1}
    return {name: v for name, v in list(found.items())[:2] if v not in (0, 1)}


def _further_lengths(inputs: Inputs, known: set[int]) -> dict[str, tuple[str, int]]:
    """Names for lengths that have no letter: len(x), x.shape[1]."""
    found: dict[str, tuple[str, int]] = {}
    known = set(known)
    for name, a in inputs.items():
        for axis, n in enumerate(a.shape):
            if n > 1 and n not in known and len(found) < 3:
                found[f"{name}.shape[{axis}]" if axis else f"len({name})"] = name, axis
                known.add(n)
    return found


def _array(g: Any) -> Any:
    if g is None or isinstance(g, np.ndarray):
        return None if g is None else np.array(g)
    if isinstance(g, (float, int, np.number)):
        return np.asarray(g, np.float64)
    return g
