"""Runs a learner's functions and checks values, gradients, and that inputs do not change.

An exercise's ``check(e)`` calls the methods below. Each check becomes a row that is printed:
nothing is checked in secret.

    e.values(…)     the function's results for small numbers against the right ones
    e.gradient(…)   each gradient against central differences, for a random upstream gradient dy
    e.loss(…)       the gradients of a function that returns its value and its gradients
    e.holds(…)      a statement that must be true

The doctor, ``tinyae.gradcheck.diagnose``, examines the first wrong gradient.
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
from tinyae.learn.telling import Learner
from tinyae.learn.wording import difference, kind_of, listed, raised, same, sizes_of
from tinyae.param import Array

Results = dict[str, Array]


class Unusable(Exception):
    """The learner's function returned nothing that can be compared; a row says why."""


class Examiner:
    """Compares the learner's module ``mine`` with the ``solution``; checks add to ``rows``."""

    def __init__(
        self,
        mine: ModuleType,
        solution: ModuleType,
        path: Path,
        full: bool = False,
        names_lines: bool = True,
    ) -> None:
        """``names_lines``: the doctor's full answer says what to write in the wrong line."""
        self.mine, self.solution, self.path, self.full = mine, solution, path, full
        self.names_lines = names_lines
        self.rows: list[Row] = []
        self._failed: set[str] = set()  # functions that do not run: reported once, then skipped
        self._compared: dict[str, None] = {}  # inputs that were compared before and after, in order
        self._written_inputs: dict[str, str] = {}  # function → input that it wrote into
        self._question: Question | None = None  # the first wrong gradient, for the doctor
        # The first wrong value, for the doctor: found, right, name.
        self._wrong_value: tuple[Array, Array, str] | None = None

    def outcome(self) -> Outcome:
        if self._compared and not self._written_inputs and not self._failed:
            names = ", ".join(self._compared)
            self.rows.append(Row("ok", "unchanged", f"{names}: nothing is written into"))
        for function, name in self._written_inputs.items():
            text = (
                f"{function} writes into {name}, which belongs to its caller: "
                f"make a new array (a = a * b, not a *= b), or work on {name}.copy()"
            )
            self.rows.append(Row("no", "unchanged", text))
        if self._question is None and self._wrong_value is None:
            return Outcome(self.rows)
        learner = Learner(self.path, self.solution, self.names_lines)
        doctor, more = consult(self._question, self._wrong_value, learner, self.full)
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

        ``known``: for a result, {remark: the value that a known mistake gives}.
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
            remarks = [
                what
                for what, value in (known or {}).get(key, {}).items()
                if same(found[key], value)
            ]
            text = ". ".join([f"{call}: {key} {wrong}", *remarks[:1]])
            table = {**inputs, f"your {key}": found[key], f"right {key}": right[key]}
            self.rows.append(Row("no", "values", text + listed(table)))
            if not remarks and key.startswith("d") and self._wrong_value is None:
                self._wrong_value = (found[key], np.asarray(right[key], float), key)
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
        rows: dict[str, Sequence[int]] | None = None,
        note: str = "",
    ) -> bool:
        """The gradients of ``f(*inputs)`` that ``name(dy, *inputs)`` returns, for a random dy.

        ``gives``      the names of the results, dx for x, …; default: one for each in ``wrt``
        ``arguments``  (dy, *inputs) → the function's arguments by name, if they are not these
        ``upstream``   False: f is a number and the function takes no dy
        The other options are for the doctor.
        """
        gives = tuple(gives or (f"d{w}" for w in wrt))
        inputs = {k: np.asarray(v) for k, v in inputs.items()}
        y = np.asarray(f(*copied(inputs)), float)
        dy = np.random.default_rng(0).normal(size=y.shape) if upstream else np.ones(y.shape)

        def call_arguments(dy: Array, *args: Any) -> dict[str, Any]:
            """The function's arguments, by name, in its order."""
            if arguments is not None:
                return arguments(dy, *args)
            return {**({"dy": dy} if upstream else {}), **dict(zip(inputs, args))}

        try:
            given = call_arguments(dy, *inputs.values())
            found = self.results(name, given, gives)
            self._check_repeatable(name, given, gives, found)
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
        if wrong and self._question is None:
            self._question = Question(
                f,
                inputs,
                getattr(self.mine, name),
                getattr(self.solution, name),
                tuple(wrt),
                gives,
                call_arguments,
                upstream,
                tensors,
                sizes,
                rows,
            )
        return not wrong

    def loss(
        self, name: str, inputs: dict[str, Any], *wrt: str, value: str = "L", **more: Any
    ) -> bool:
        """The gradients of a function that takes ``inputs`` and returns its value and gradients."""
        right = getattr(self.solution, name)

        def f(*args: Any) -> float:
            return float(right(*args)[0])

        gives = (value, *(f"d{w}" for w in wrt))
        before, question = len(self.rows), self._question
        if self.gradient(name, f, inputs, wrt, gives=gives, upstream=False, **more):
            return True
        for row in self.rows[before:]:
            if (
                row.what == "gradient"
                and row.mark == "no"
                and self._matches_own_value(name, inputs, wrt, gives)
            ):
                row.text += (
                    f". It is the slope of your own {value}: {value} is what is to be mended"
                )
                self._question, self._wrong_value = question, None  # the gradient is not at fault
        return False

    def _matches_own_value(
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
        """Add a row that is ok if ``true``; ``otherwise`` says what was found instead."""
        text = statement if true else f"{statement}: {otherwise}" if otherwise else statement
        self.rows.append(Row("ok" if true else "no", what, text))
        return true

    def sums_to_zero(
        self, name: str, inputs: dict[str, Any], gives: Sequence[str], axis: int, statement: str
    ) -> None:
        """Add a row that dx, of x's shape, sums to zero along an axis: its mean has come off."""
        try:
            dx = self.results(name, inputs, gives)["dx"]
        except Unusable:
            return
        if dx.shape == inputs["x"].shape:
            sums = float(np.abs(dx.sum(axis=axis)).max())
            self.holds(
                "invariant",
                statement,
                sums < 1e-9 * max(1.0, float(np.abs(dx).max())),
                f"one sums to {sums:.3g}: the path through the mean μ is missing or not right",
            )

    # --- the learner's function --------------------------------------------------------------

    def results(self, name: str, inputs: dict[str, Any], gives: Sequence[str]) -> Results:
        """The results of the learner's function, by name; raises Unusable, with a row once."""
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
        """``name(*inputs)``, on copies, which are compared with the inputs afterwards."""
        if name in self._failed:
            raise Unusable(name)
        f = getattr(self.mine, name, None)
        if not callable(f):
            self._unusable(name, f"there is no function {name} in the file: was it renamed?")
            raise Unusable(name)
        given = copied(inputs)
        try:
            out = f(*given)
        except NotImplementedError:
            self._failed.add(name)
            self.rows.append(
                Row(
                    "todo",
                    "not yet",
                    f"{name} is not written yet: put its lines in place of the `raise`",
                )
            )
            raise Unusable(name) from None
        except BaseException as error:  # the learner's code may raise anything, even SystemExit
            if isinstance(error, KeyboardInterrupt):
                raise
            self._unusable(name, raised(name, inputs, error, self.path))
        for (key, before), after in zip(inputs.items(), given):
            if isinstance(before, np.ndarray):
                self._compared.setdefault(key)
                unchanged = before.shape == after.shape and np.array_equal(before, after)
                if not unchanged:
                    self._written_inputs.setdefault(name, key)
        return out

    def _check_repeatable(
        self, name: str, inputs: dict[str, Any], gives: Sequence[str], found: Results
    ) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            again = self.results(name, inputs, gives)
        if any(not np.array_equal(found[key], again[key], equal_nan=True) for key in gives):
            self._wrong_value = None  # the doctor cannot examine random results
            self._unusable(
                name,
                f"{name} gives other numbers when it is called again with the same arguments: "
                "something is drawn at random in it. All that is random was drawn before, and is "
                "given as an argument",
            )

    def _unusable(self, name: str, text: str) -> None:
        self._failed.add(name)
        self.rows.append(Row("no", "runs", text))
        raise Unusable(name)


def slope(f: Callable[..., Any], inputs: dict[str, Any], w: str, dy: Array) -> Array:
    """∂⟨dy, f⟩/∂w by central differences."""

    def total(v: Array) -> float:
        given = {key: v if key == w else a for key, a in inputs.items()}
        return float((dy * f(*given.values())).sum())

    return numeric_gradient(total, inputs[w])
