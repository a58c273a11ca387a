"""One examination from the first call to the last finding.

The order: does it run; does it keep the contract; which gradients pass; is a part at fault rather
than the whole; which relation explains each wrong gradient, at three points; which line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinyae.gradcheck import diagnosis_words as words
from tinyae.gradcheck.diagnosis import Diagnosis, Finding, Place
from tinyae.gradcheck.diagnosis_parts import broken_part
from tinyae.gradcheck.diagnosis_ranking import (
    ROOTS,
    TURNED,
    inside,
    ranked,
    renamed,
    say,
    swapped_pair,
    unexplained,
    weak,
)
from tinyae.gradcheck.diagnosis_subjects import ModelSubject, Subject
from tinyae.gradcheck.diagnosis_trial import FEWER, MOST, Pair, Point, Trial, compare
from tinyae.gradcheck.hypotheses import arrays, calls, terms, windows
from tinyae.gradcheck.hypotheses import tensors as with_tensors
from tinyae.gradcheck.hypotheses.guess import Guess
from tinyae.gradcheck.hypotheses.lines import Edit, find_edit
from tinyae.gradcheck.hypotheses.products import products
from tinyae.gradcheck.hypotheses.shapes import malformed
from tinyae.gradcheck.hypotheses.summands import summands
from tinyae.param import Array

Family = Callable[[str, Array, Array, Trial, int], Iterable[Guess]]
_FATAL = {"noise"}


class Case:
    """A subject on the table."""

    def __init__(
        self,
        subject: Subject,
        reference: Any = None,
        sizes: dict[str, int] | None = None,
        inside: bool = False,
        kept: bool = False,
    ) -> None:
        """``inside``: a part of what is examined. ``kept``: its class is known to keep the
        contract.
        """
        self.subject, self.reference, self.sizes = subject, reference, sizes
        self.directions, self.kept = 1 if inside else 2, kept
        self.trials: dict[int, Trial] = {}
        self.tensors: dict[int, dict[str, Array]] = {}
        self.keys = {name: key for key, name in subject.names().items()}

    def diagnose(self) -> Diagnosis:
        told = Diagnosis(self.subject.title)
        try:
            with np.errstate(all="ignore"):
                self._examine(told)
        except Unusable as why:
            told.findings = [why.finding]
        return told

    def _examine(self, told: Diagnosis) -> None:
        point, grads = self._first(told)
        breaches = [] if self.kept else self._breaches(told, point, grads)
        if any(f.kind in _FATAL and f.name == "y" for f in breaches):
            told.findings = breaches[:1]
            return
        trial = Trial(point, {})
        self.trials[0] = trial
        for name, key in self.keys.items():
            trial.pairs[name] = compare(point, key, name, grads[key], MOST, self.directions)
        wrong = [p for p in trial.pairs.values() if not p.ok]
        told.right = [p.name for p in trial.pairs.values() if p.ok]
        told.faults = [words.fault(p.name, p.a, p.n) for p in wrong]
        kinks = sum(p.kinks for p in trial.pairs.values() if p.ok)
        if kinks:
            told.remarks.append(
                f"{kinks} entries lie at a kink, where the slope has two values; the gradient lies "
                "between them, which is no error"
            )
        if not wrong:
            told.findings = breaches
            self._add_lines(told, [])
            return
        part = broken_part(self.subject, point, _examined)
        if part is not None:
            label, inner = part
            told.findings = [inside(f, label) for f in inner.findings]
            told.ruled_out = inner.ruled_out
            told.map = inner.map
            return
        swapped = swapped_pair(wrong)
        found = [swapped] if swapped else self._explained(wrong, told)
        breaches = [f for f in breaches if f.name not in ("backward_params", "backward_input")]
        told.findings = ranked(breaches, found)
        self._add_lines(told, wrong)
        if told.kind in ("unknown", "entries", "line"):
            told.map = arrays.error_map(wrong[0].a, wrong[0].n)

    def _first(self, told: Diagnosis) -> tuple[Any, dict[str, Any]]:
        """The given point and the gradients there, or why there are none."""
        try:
            point = self._point(0)
        except Exception as error:
            raise Unusable(words.raised(error, "forward")) from error
        if not np.isfinite(point.y).all():
            text = "the forward pass is not finite for this x: there is no slope to measure"
            raise Unusable(Finding("y", "nan", "y", text))
        noise = calls.noisy(point)
        if noise is not None:
            raise Unusable(noise)
        try:
            return point, point.analytic(point.r)
        except Exception as error:
            finding = words.raised(error, "backward")
            self.trials[0] = Trial(point, self._numeric(point))
            more = (self.reference, True, self._elsewhere)
            edit = find_edit(self.subject, point, self.trials[0].pairs, self.keys, *more)
            if edit is not None:
                say(finding, edit)
                finding.search = lambda: edit.place
            raise Unusable(finding) from error

    def _numeric(self, point: Point) -> dict[str, Pair]:
        return {name: compare(point, key, name, None) for name, key in self.keys.items()}

    def _point(self, k: int) -> Point:
        """The subject at one input; its lengths by the names that were given, if any were."""
        point = self.subject.point(k)
        if self.sizes is not None:
            rows, before = point.sizes.get("N"), self.trials[0].point.rows if k else None
            point.rows = rows
            point.sizes = dict(self.sizes)
            first = next((s for s, n in self.sizes.items() if n == before), None)
            if k == 2 and first is not None and rows is not None:
                point.sizes[first] = rows  # of the given names, the one that counts the rows
        return point

    def _breaches(self, told: Diagnosis, point: Any, grads: dict[str, Any]) -> list[Finding]:
        found = []
        try:
            for f in calls.examine(self.subject, point, grads):
                found.append(f)
        except Exception as error:  # a call that the subject is not made for
            told.remarks.append(f"a further call did not run: {' '.join(str(error).split())}")
        order = {kind: i for i, kind in enumerate(ROOTS)}
        return sorted(found, key=lambda f: order.get(f.kind, len(order)))

    def _explained(self, wrong: list[Pair], told: Diagnosis) -> list[Finding]:
        """A finding for each wrong gradient; of a whole, for the last in the order of forward,
        since from there an error goes on to all that lie before.
        """
        if not self.subject.composite:
            return [self._explain(p, told) for p in wrong]
        found = []
        for p in wrong[::-1][:3]:
            found.append(self._explain(p, told))
            if not weak(found[-1]):
                return [found[-1]]
        return found

    # --- one wrong gradient ----------------------------------------------------------------

    def _explain(self, pair: Pair, told: Diagnosis) -> Finding:
        """The simplest relation that holds at every point; "unknown" if none does."""
        name, trial = pair.name, self.trials[0]
        bad = malformed(name, pair.a, pair.n, trial.point.sizes)
        if bad is not None:
            return words.told(name, bad)
        for title, family in self._families():
            guesses = self._confirmed(pair, family)
            if guesses:
                best = guesses[0]
                found = words.told(name, best)
                found.checked = self._where()
                found.also = _also(guesses)
                return found
            if title not in told.ruled_out:
                told.ruled_out.append(title)
        weak = [
            *windows.cut(name, pair.a, pair.n),
            *arrays.partial(name, pair.a, pair.n, trial),
            *arrays.invariant(name, pair.a, pair.n, trial),
        ]
        weak.sort(key=lambda g: g.free)
        return words.told(name, weak[0]) if weak else unexplained(name, pair)

    def _families(self) -> list[tuple[str, Family]]:
        subject = self.subject

        def simple(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
            made = arrays.simple(name, a, n, trial)
            # In a whole model the same number everywhere is an accident, of terms more likely.
            return [g for g in made if not (subject.composite and g.kind == "offset")]

        def named(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
            known = self._tensors(k, trial)
            if not known:
                return []
            made = list(with_tensors.factors(name, a, n, trial, known))
            return made or [
                *products(name, a, n, trial, known),
                *summands(name, a, n, trial, known),
            ]

        def conv(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
            return windows.windows(name, a, n, trial, self.keys[name])

        def paths(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
            made: list[Guess] = []
            for how, parts in terms.summands(subject, trial.point, self.keys[name], n, k):
                made += terms.coefficients(name, a, trial, how, parts)
            return made

        families: list[tuple[str, Family]] = []
        if self.trials[0].point.values and any(
            p.n.ndim == 4 for p in self.trials[0].pairs.values()
        ):
            families.append(("a displaced or flipped kernel", conv))
        families.append(("a factor, another order, an offset", simple))
        if isinstance(subject, ModelSubject) or getattr(subject.module, "children", None):
            families.append(("a term or a path with a wrong coefficient", paths))
        families.append(("a factor, a term or an operand of the named tensors", named))
        return families

    def _tensors(self, k: int, trial: Trial) -> dict[str, Array]:
        if k not in self.tensors:
            found = self.subject.tensors(trial.point)  # type: ignore[attr-defined]
            self.tensors[k] = {
                name: np.asarray(t) for name, t in found.items() if np.isfinite(t).all()
            }
        return self.tensors[k]

    def _confirmed(self, pair: Pair, family: Family) -> list[Guess]:
        """The family's guesses that are found again at the second draw and batch size."""
        guesses = sorted(family(pair.name, pair.a, pair.n, self.trials[0], 0), key=lambda g: g.free)
        if np.isfinite(pair.n).sum() < 2:  # of one entry, any number is some multiple
            guesses = [g for g in guesses if not all("~" in key for key in g.keys)]
        for k in (2, 1):  # another draw of another size; where there is none, another draw
            if not guesses:
                return []
            again = self._again(pair.name, k)
            if again is None:
                continue
            p = again.pairs[pair.name]
            if not p.usable or p.ok:
                continue
            keys = {key: g for g in family(pair.name, p.a, p.n, again, k) for key in g.keys}
            kept = []
            for g in guesses:
                common = [key for key in g.keys if key in keys]
                if common:
                    if common[0] != g.keys[0] and g.kind == "factor":
                        g = renamed(pair.name, g, common)
                    g.keys = common
                    kept.append(g)
            return kept
        return guesses

    def _again(self, name: str, k: int) -> Trial | None:
        if k not in self.trials:
            try:
                self.trials[k] = Trial(self._point(k), {})
            except Exception:  # the subject is not made for such an input
                return None
        trial = self.trials[k]
        if name not in trial.pairs:
            key = self.keys[name]
            try:
                grads = trial.point.analytic(trial.point.r)
            except Exception:  # as it may have at the given point
                grads = {key: None}
            trial.pairs[name] = compare(trial.point, key, name, grads[key], FEWER)
        return trial

    def _where(self) -> str:
        labels = [self.trials[k].point.label for k in (0, 2) if k in self.trials]
        draws = "at a second draw" if len(self.trials) > 1 else ""
        more = f"at {' and '.join(labels)}" if len(labels) > 1 else ""
        return " and ".join(part for part in (draws, more) if part)

    def _elsewhere(self) -> list[tuple[Point, dict[str, Pair]]]:
        """A second draw, of a second batch size if there is one, and what is wrong there."""
        for k in (2, 1):
            for name in self.keys:
                self._again(name, k)
            if k in self.trials:
                return [(self.trials[k].point, self.trials[k].pairs)]
        return []

    # --- the line ----------------------------------------------------------------------------

    def _add_lines(self, told: Diagnosis, wrong: list[Pair]) -> None:
        """Let the first finding know how its line is found; at once where that says more."""
        if not told.findings:
            return
        first = told.findings[0]
        found: dict[bool, Edit | None] = {}

        def edit(deep: bool) -> Edit | None:
            if deep not in found:
                point, pairs = self.trials[0].point, self.trials[0].pairs
                try:
                    more = (self.reference, deep, self._elsewhere)
                    known = find_edit(self.subject, point, pairs, self.keys, *more)
                except Exception:
                    known = None
                found[deep] = known
            return found[deep]

        def place() -> Place | None:
            known = edit(deep=True)
            return None if known is None else known.place

        first.search = place
        if not wrong:
            return
        deep = weak(first) or first.cost >= 2.5
        known = edit(deep) if deep or first.kind in TURNED else None
        if known is not None:
            say(first, known)


class Unusable(Exception):
    """No gradients to compare: the finding says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def _examined(part: Subject, kept: bool) -> Diagnosis:
    return Case(part, inside=True, kept=kept).diagnose()


def _also(guesses: list[Guess]) -> str:
    """Another relation that fits as well, and is as simple."""
    best = guesses[0]
    names = [key[2:] for key in best.keys if key.startswith("c=")]
    if len(names) > 1 and max(map(len, names[:2])) <= 4:
        return f"the factor {names[1]}"  # a length that is the same here: choose others
    if len(guesses) > 1 and guesses[1].free < best.free + 0.02:
        return guesses[1].message
    return ""
