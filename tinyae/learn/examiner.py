"""Runs a learner's functions and says what they give: values, gradients, inputs unchanged.

An exercise's ``check(e)`` asks for each thing that is checked, and each becomes a row that is
printed: nothing is checked in secret.

    e.values(…)     the function's results at small numbers, beside the right ones
    e.gradient(…)   each gradient beside central differences, for a random upstream gradient dy
    e.loss(…)       both for a function that returns its value and its gradients
    e.holds(…)      a statement that must be true

The first gradient that is wrong is shown to the doctor, ``tinyae.gradcheck.diagnose``.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinyae.gradcheck import numeric_gradient
from tinyae.learn.consult import Question, consult, copied, parts
from tinyae.learn.outcome import Outcome, Row
from tinyae.learn.wording import difference, kind_of, listed, raised, same, sizes_of
from tinyae.param import Array

Results = dict[str, Array]


class Unusable(Exception):
    """The learner's function gave nothing that could be compared; a row says why."""


class Examiner:
    """The learner's module ``mine`` beside the ``solution``; ``rows`` grows as it is asked."""

    def __init__(
        self, mine: ModuleType, solution: ModuleType, path: Path, full: bool = False
    ) -> None:
        self.mine, self.solution, self.path, self.full = mine, solution, path, full
        self.rows: list[Row] = []
        self._said: set[str] = set()  # functions that do not run: said once, then left alone
        self._given: dict[str, None] = {}  # inputs that were watched, in order
        self._written: dict[str, str] = {}  # function → input that it wrote into
        self._case: Question | None = None  # the first wrong gradient, for the doctor
        self._small: tuple[Array, Array, str] | None = None  # the first wrong value, likewise

    def outcome(self) -> Outcome:
        if self._given and not self._written and not self._said:
            names = ", ".join(self._given)
            self.rows.append(Row("ok", "unchanged", f"{names}: nothing is written into"))
        for function, name in self._written.items():
            text = (
                f"{function} writes into {name}, which belongs to its caller: "
                f"make a new array (a = a * b, not a *= b), or work on {name}.copy()"
            )
            self.rows.append(Row("no", "unchanged", text))
        doctor, more = consult(self._case, self._small, self.full)
        return Outcome(self.rows, doctor, more)

    @property
    def good(self) -> bool:
        """Whether all that was checked so far is right."""
        return all(row.mark == "ok" for row in self.rows)

    # --- what an exercise asks for -----------------------------------------------------------

    def values(
        self,
        name: str,
        inputs: dict[str, Any],
        gives: Sequence[str],
        *,
        known: dict[str, dict[str, Any]] | None = None,
    ) -> bool:
        """``name(*inputs)`` against the solution's results.

        ``known``: of a result, {what to say: the value that this mistake gives}.
        """
        right = dict(zip(gives, parts(getattr(self.solution, name)(*copied(inputs)), gives)))
        try:
            found = self.results(name, inputs, gives)
        except Unusable:
            return False
        call = f"{name}({', '.join(inputs)})"
        for key in gives:
            wrong = difference(found[key], right[key])
            if not wrong:
                continue
            told = [
                what
                for what, value in (known or {}).get(key, {}).items()
                if same(found[key], value)
            ]
            text = ". ".join([f"{call}: {key} {wrong}", *told[:1]])
            table = {**inputs, f"your {key}": found[key], f"right {key}": right[key]}
            self.rows.append(Row("no", "values", text + listed(table)))
            if not told and key.startswith("d") and self._small is None:
                self._small = (found[key], np.asarray(right[key], float), key)
            return False
        self.rows.append(Row("ok", "values", f"{call} at {sizes_of(inputs)}: {', '.join(gives)}"))
        return True

    def gradient(
        self,
        name: str,
        f: Callable[..., Any],
        inputs: dict[str, Any],
        wrt: Sequence[str],
        *,
        gives: Sequence[str] | None = None,
        arguments: Callable[..., dict[str, Any]] | None = None,
        upstream: bool = True,
        tensors: Any = None,
        sizes: dict[str, int] | None = None,
        note: str = "",
    ) -> bool:
        """The gradients that ``name(dy, *inputs)`` gives of ``f(*inputs)``, for a random dy.

        ``gives``      what the function returns, dx for x, …; default: of each in ``wrt``
        ``arguments``  (dy, *inputs) → what the function takes by name, where that is something else
        ``upstream``   False: f is a number and the function takes no dy
        The others are for the doctor.
        """
        gives = tuple(gives or (f"d{w}" for w in wrt))
        inputs = {k: np.asarray(v) for k, v in inputs.items()}
        y = np.asarray(f(*copied(inputs)), float)
        dy = np.random.default_rng(0).normal(size=y.shape) if upstream else np.ones(y.shape)

        def taken(dy: Array, *args: Any) -> dict[str, Any]:
            """What the function takes, by name, in its order."""
            if arguments is not None:
                return arguments(dy, *args)
            return {**({"dy": dy} if upstream else {}), **dict(zip(inputs, args))}

        try:
            found = self.results(name, taken(dy, *inputs.values()), gives)
            self._repeatable(name, taken(dy, *inputs.values()), gives, found)
        except Unusable:
            return False
        right: list[str] = []
        wrong: list[str] = []
        for w in wrt:
            numeric = slope(f, inputs, w, dy)
            worst = difference(found[f"d{w}"], numeric, "numeric")
            (wrong if worst else right).append(f"d{w}" + (f" {worst}" if worst else ""))
        lengths = ", ".join(f"{k} = {n}" for k, n in (sizes or {}).items())
        at = lengths if len(inputs) > 5 and sizes else sizes_of(inputs)
        at += (f", {note}" if note else "") + (", random dy" if upstream else "")
        if right:
            self.rows.append(
                Row("ok", "gradient", f"{name}: {', '.join(right)} = numeric, at {at}")
            )
        for text in wrong:
            self.rows.append(Row("no", "gradient", f"{name} at {at}: {text}"))
        if wrong and self._case is None:
            self._case = Question(
                f,
                inputs,
                getattr(self.mine, name),
                getattr(self.solution, name),
                tuple(wrt),
                gives,
                taken,
                upstream,
                tensors,
                sizes,
            )
        return not wrong

    def loss(
        self, name: str, inputs: dict[str, Any], *wrt: str, value: str = "L", **more: Any
    ) -> bool:
        """A function that returns its value and its gradients, all of ``inputs`` by name."""
        right = getattr(self.solution, name)

        def f(*args: Any) -> float:
            return float(right(*args)[0])

        gives = (value, *(f"d{w}" for w in wrt))
        before, case = len(self.rows), self._case
        if self.gradient(name, f, inputs, wrt, gives=gives, upstream=False, **more):
            return True
        for row in self.rows[before:]:
            if (
                row.what == "gradient"
                and row.mark == "no"
                and self._of_own(name, inputs, wrt, gives)
            ):
                row.text += (
                    f". It is the slope of your own {value}: {value} is what is to be mended"
                )
                self._case, self._small = case, None  # nothing for the doctor: dy is not the fault
        return False

    def _of_own(
        self, name: str, inputs: dict[str, Any], wrt: Sequence[str], gives: Sequence[str]
    ) -> bool:
        """Whether the gradients are those of the learner's own value."""

        def own(*args: Any) -> Array:
            given = dict(zip(inputs, args))
            return self.results(name, given, gives)[gives[0]]

        try:
            found = self.results(name, inputs, gives)
            numeric = {w: slope(own, inputs, w, np.ones(())) for w in wrt}
        except (Unusable, ValueError, TypeError):
            return False
        return not any(difference(found[f"d{w}"], numeric[w]) for w in wrt)

    def holds(self, what: str, statement: str, true: bool, otherwise: str = "") -> bool:
        """A row that is ok if ``true``; ``otherwise`` says what was found."""
        text = statement if true else f"{statement}: {otherwise}" if otherwise else statement
        self.rows.append(Row("ok" if true else "no", what, text))
        return true

    # --- the learner's function --------------------------------------------------------------

    def results(self, name: str, inputs: dict[str, Any], gives: Sequence[str]) -> Results:
        """What the learner's function returns, by name; raises Unusable, once with a row."""
        out = self.call(name, inputs)
        signature = f"{name} should return {', '.join(gives)}"
        if out is None:
            self._unusable(
                name, f"{name} returns None: does it end in `return {', '.join(gives)}`?"
            )
        if len(gives) > 1 and not (isinstance(out, (tuple, list)) and len(out) == len(gives)):
            count = f"{len(out)} things" if isinstance(out, (tuple, list)) else kind_of(out)
            self._unusable(name, f"{signature}, and returns {count}")
        found = {}
        for key, part in zip(gives, parts(out, gives)):
            try:
                found[key] = np.array(part, dtype=np.float64)
            except (TypeError, ValueError):
                self._unusable(name, f"{signature}: {key} is {kind_of(part)}, expected numbers")
            if isinstance(part, np.ndarray) and part.dtype == np.float32:
                self._unusable(
                    name,
                    f"{key} of {name} is float32, though float64 was given: "
                    "the dtype that goes in should come out",
                )
        return found

    def call(self, name: str, inputs: dict[str, Any]) -> Any:
        """``name(*inputs)``, on copies, which are looked at afterwards."""
        if name in self._said:
            raise Unusable(name)
        f = getattr(self.mine, name, None)
        if not callable(f):
            self._unusable(name, f"there is no function {name} in the file: was it renamed?")
            raise Unusable(name)
        given = copied(inputs)
        try:
            out = f(*given)
        except NotImplementedError:
            self._said.add(name)
            self.rows.append(
                Row("todo", "not yet", f"{name} is not written yet: put its lines for the `raise`")
            )
            raise Unusable(name) from None
        except BaseException as error:  # learners' code may raise what it likes, SystemExit too
            if isinstance(error, KeyboardInterrupt):
                raise
            self._unusable(name, raised(name, inputs, error, self.path))
        for (key, before), after in zip(inputs.items(), given):
            if isinstance(before, np.ndarray):
                self._given.setdefault(key)
                same = before.shape == after.shape and np.array_equal(before, after)
                if not same:
                    self._written.setdefault(name, key)
        return out

    def _repeatable(
        self, name: str, inputs: dict[str, Any], gives: Sequence[str], found: Results
    ) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            again = self.results(name, inputs, gives)
        if any(not np.array_equal(found[key], again[key], equal_nan=True) for key in gives):
            self._small = None  # what random numbers give is nothing for the doctor
            self._unusable(
                name,
                f"{name} gives other numbers when it is called again with the same arguments: "
                "something is drawn at random in it. All that is random was drawn before, and is "
                "given as an argument",
            )

    def _unusable(self, name: str, text: str) -> None:
        self._said.add(name)
        self.rows.append(Row("no", "runs", text))
        raise Unusable(name)


def slope(f: Callable[..., Any], inputs: dict[str, Any], w: str, dy: Array) -> Array:
    """∂⟨dy, f⟩/∂w by central differences."""

    def total(v: Array) -> float:
        given = {key: v if key == w else a for key, a in inputs.items()}
        return float((dy * f(*given.values())).sum())

    return numeric_gradient(total, inputs[w])
