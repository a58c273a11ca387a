"""One examination, from the first call to the last finding.

Its steps: does the subject run; does it keep the contract; which gradients pass; is one part wrong
by itself; which relation explains each wrong gradient at three points; which line is it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.gradcheck.doctor import wording
from tinyae.gradcheck.doctor.elsewhere import nothing_compared, wrong_elsewhere
from tinyae.gradcheck.doctor.families import Family, families
from tinyae.gradcheck.doctor.findings import Diagnosis, Finding, Place
from tinyae.gradcheck.doctor.hypotheses import arrays, calls, invariants, windows
from tinyae.gradcheck.doctor.hypotheses.guess import Guess
from tinyae.gradcheck.doctor.hypotheses.lines import Edit, Search, find_edit
from tinyae.gradcheck.doctor.hypotheses.repeats import AFTER_A_STEP
from tinyae.gradcheck.doctor.hypotheses.shapes import malformed
from tinyae.gradcheck.doctor.parts import broken_part
from tinyae.gradcheck.doctor.ranking import (
    REINTERPRETED,
    ROOT_CAUSES,
    as_pattern,
    in_part,
    is_thin,
    is_vague,
    ranked,
    renamed,
    reword,
    swapped_pair,
    unexplained,
)
from tinyae.gradcheck.doctor.subjects import FunctionSubject, Subject
from tinyae.gradcheck.doctor.subjects.base import (
    BATCH,
    LENGTHS,
    REDRAWN,
    SOFT,
    THIRD_BATCH,
)
from tinyae.gradcheck.doctor.trial import FEWER, MANY, MOST, Pair, Point, Trial, compare
from tinyae.param import Array

_FATAL = {"noise"}
REORDERED = ("transposed", "axes", "flipped", "shifted")


class Examination:
    """The examination of one subject; ``diagnose`` runs it."""

    def __init__(
        self,
        subject: Subject,
        reference: Any = None,
        sizes: dict[str, int] | None = None,
        is_part: bool = False,
        contract_checked: bool = False,
    ) -> None:
        """``is_part``: the subject is a part of what the user asked about. ``contract_checked``:
        its class is known to keep the contract.
        """
        self.subject, self.reference, self.sizes = subject, reference, sizes
        self.directions, self.contract_checked = 1 if is_part else 2, contract_checked
        self.is_part, self.shown = is_part, False
        self.others: tuple[int, ...] = (BATCH, REDRAWN)  # where relations are confirmed
        self.trials: dict[int, Trial] = {}
        self.tensors: dict[int, dict[str, Array]] = {}
        self.inner: dict[int, dict[str, Array]] = {}
        self.keys = {name: key for key, name in subject.names().items()}
        self.search = Search()

    def diagnose(self) -> Diagnosis:
        diagnosis = Diagnosis(self.subject.title, untried=self.search.untried)
        try:
            with np.errstate(all="ignore"):
                self._examine(diagnosis)
        except Unusable as why:
            diagnosis.findings = [why.finding]
        finally:
            self.subject.finish()
        return diagnosis

    def _examine(self, diagnosis: Diagnosis) -> None:
        point, grads = self._first(diagnosis)
        violations = (
            [] if self.contract_checked else self._contract_violations(diagnosis, point, grads)
        )
        if any(f.kind in _FATAL and f.name == "y" for f in violations):
            diagnosis.findings = violations[:1]
            return
        trial = Trial(point, {})
        self.trials[0] = trial
        for name, key in self.keys.items():
            trial.pairs[name] = compare(point, key, name, grads[key], MOST, self.directions)
        wrong = [p for p in trial.pairs.values() if not p.ok]
        diagnosis.right = [p.name for p in trial.pairs.values() if p.ok]
        diagnosis.faults = [wording.wrong_gradient(p.name, p.a, p.n) for p in wrong]
        kinks = sum(p.kinks for p in trial.pairs.values() if p.ok)
        if kinks:
            diagnosis.remarks.append(
                f"{kinks} entries lie at a kink, where the slope has two values; the gradient lies "
                "between them, which is no error"
            )
        names = {p.name for p in wrong}
        violations = [
            f for f in violations if not (f.tensor in names and AFTER_A_STEP in f.message)
        ]
        if not wrong and not any(f.kind in ROOT_CAUSES for f in violations):
            wrong = wrong_elsewhere(self, diagnosis)
            point = self.trials[0].point
        if not wrong:
            diagnosis.findings = violations or nothing_compared(self)
            self._add_lines(diagnosis, [])
            return
        part = broken_part(self.subject, point, _diagnose_part)
        if part is not None:
            label, inner = part
            diagnosis.findings = [in_part(f, label) for f in inner.findings]
            diagnosis.ruled_out = inner.ruled_out
            diagnosis.map = inner.map
            return
        swapped = swapped_pair(wrong)
        found = [swapped] if swapped else self._explained(wrong, diagnosis)
        violations = [f for f in violations if f.name not in ("backward_params", "backward_input")]
        diagnosis.findings = ranked(violations, found)
        self._add_lines(diagnosis, wrong)
        if diagnosis.kind in ("unknown", "entries", "line"):
            diagnosis.map = arrays.error_map(wrong[0].a, wrong[0].n)

    def _first(self, diagnosis: Diagnosis) -> tuple[Any, dict[str, Any]]:
        """The given point and the analytic gradients there; Unusable if there are none."""
        try:
            point = self.point(0)
        except Exception as error:
            raise Unusable(wording.finding_from_error(error, "forward")) from error
        if not np.isfinite(point.y).all():
            text = "the forward pass is not finite for this x: there is no slope to measure"
            raise Unusable(Finding("y", "nan", "y", text))
        noise = calls.noisy(point)
        if noise is not None:
            raise Unusable(noise)
        try:
            return point, point.analytic(point.r)
        except Exception as error:
            finding = wording.finding_from_error(error, "backward")
            self.trials[0] = Trial(point, self._numeric(point))
            more = (self.reference, True, self._other_points)
            edit = find_edit(self.subject, point, self.trials[0].pairs, self.keys, *more)
            if edit is not None:
                reword(finding, edit)
                finding.search = lambda: edit.place
            raise Unusable(finding) from error

    def _numeric(self, point: Point) -> dict[str, Pair]:
        return {name: compare(point, key, name, None) for name, key in self.keys.items()}

    def point(self, k: int) -> Point:
        """The subject at input k, its lengths under the names that the caller gave, if any."""
        point = self.subject.point(k)
        if self.sizes is not None:
            rows, before = point.sizes.get("N"), self.trials[0].point.rows if k else None
            point.rows = rows
            point.sizes = dict(self.sizes)
            first = next((s for s, n in self.sizes.items() if n == before), None)
            if k in (BATCH, THIRD_BATCH) and first is not None and rows is not None:
                point.sizes[first] = rows  # the given name for the number of rows
        return point

    def _contract_violations(
        self, diagnosis: Diagnosis, point: Any, grads: dict[str, Any]
    ) -> list[Finding]:
        found = []
        try:
            for f in calls.contract_violations(self.subject, point, grads):
                found.append(f)
        except Exception as error:  # the subject does not support such a call
            diagnosis.remarks.append(f"a further call did not run: {' '.join(str(error).split())}")
        order = {kind: i for i, kind in enumerate(ROOT_CAUSES)}
        return sorted(found, key=lambda f: order.get(f.kind, len(order)))

    def _explained(self, wrong: list[Pair], diagnosis: Diagnosis) -> list[Finding]:
        """A finding for each wrong gradient. In a model: for the last one in the order of forward,
        because backward carries its error on to all earlier ones.
        """
        if not self.subject.composite:
            return [self._explain(p, diagnosis) for p in wrong]
        found = []
        for p in wrong[::-1][:3]:
            found.append(self._explain(p, diagnosis))
            if not is_vague(found[-1]):
                return [found[-1]]
        return found

    # --- one wrong gradient ----------------------------------------------------------------

    def _explain(self, pair: Pair, diagnosis: Diagnosis) -> Finding:
        """The finding of the simplest relation that holds at every point; "unknown" if none does."""
        name, trial = pair.name, self.trials[0]
        if pair.tied:
            return wording.tied(name)
        bad = malformed(name, pair.a, pair.n, trial.point.sizes)
        if bad is not None:
            return wording.finding_from(name, bad)
        for title, family in families(self):
            guesses = self._confirmed(pair, family)
            if guesses:
                best = guesses[0]
                found = wording.finding_from(name, best)
                found.checked = self._confirmed_at()
                found.also = _alternative(guesses)
                if best.kind == "missing_term":
                    for law in invariants.shift_invariant(name, pair.a, pair.n):
                        found.message += (
                            f", and so does not sum to zero along {law.name}, as it must"
                        )
                return found
            if title not in diagnosis.ruled_out:
                diagnosis.ruled_out.append(title)
        vague = [
            *windows.missing_border(name, pair.a, pair.n),
            *arrays.partial(name, pair.a, pair.n, trial),
            *invariants.shift_invariant(name, pair.a, pair.n),
            *invariants.scale_invariant(
                name, pair.a, pair.n, trial.point.values.get(self.keys[name])
            ),
        ]
        vague.sort(key=lambda g: g.free)
        return wording.finding_from(name, vague[0]) if vague else unexplained(name, pair)

    def named_tensors(self, k: int, trial: Trial) -> dict[str, Array]:
        if k not in self.tensors:
            found = self.subject.tensors(trial.point)  # type: ignore[attr-defined]
            self.tensors[k] = {
                name: np.asarray(t) for name, t in found.items() if np.isfinite(t).all()
            }
        return self.tensors[k]

    def inner_tensors(self, k: int, trial: Trial) -> dict[str, Array]:
        if k not in self.inner:
            self.inner[k] = self.subject.inner_tensors(trial.point)  # type: ignore[attr-defined]
        return self.inner[k]

    def _confirmed(self, pair: Pair, family: Family) -> list[Guess]:
        """The family's guesses that hold again at the second draw and batch size."""
        guesses = sorted(family(pair.name, pair.a, pair.n, self.trials[0], 0), key=lambda g: g.free)
        if np.isfinite(pair.n).sum() < 2:  # one entry is always some multiple of another
            guesses = [g for g in guesses if not all("~" in key for key in g.keys)]
        done = False
        for k in (*self.others, LENGTHS, SOFT):
            if not guesses:
                return []
            if k == LENGTHS and self.sizes is not None:
                continue  # the caller's names for lengths are known at the given ones
            if done and k in self.others:
                continue  # another batch size or, if there is none, a draw of the same size
            second = self._trial_at(pair.name, k)
            p = None if second is None else second.pairs[pair.name]
            if second is None or p is None or not p.usable or p.ok:
                continue
            done, held = True, []
            keys = {key: g for g in family(pair.name, p.a, p.n, second, k) for key in g.keys}
            for g in guesses:
                common = [key for key in g.keys if key in keys]
                if g.kind in REORDERED and np.isnan(p.n).any():
                    common = list(g.keys)  # too few entries are known to tell their order
                if common:
                    if common[0] != g.keys[0] and g.kind == "factor":
                        g = renamed(pair.name, g, common)
                    g.keys = common
                    held.append(g)
            guesses = held
        return guesses

    def _trial_at(self, name: str, k: int) -> Trial | None:
        if k not in self.trials:
            try:
                self.trials[k] = Trial(self.point(k), {})
            except Exception:  # the subject does not accept such an input
                return None
        trial = self.trials[k]
        if name not in trial.pairs:
            key = self.keys[name]
            try:
                grads = trial.point.analytic(trial.point.r)
            except Exception:  # it may also fail at the given point
                grads = {key: None}
            most = MANY if k == LENGTHS else FEWER
            trial.pairs[name] = compare(trial.point, key, name, grads[key], most)
        return trial

    def _confirmed_at(self) -> str:
        labels = [self.trials[k].point.label for k in (0, *self.others[:1]) if k in self.trials]
        draws = "at a second draw" if len(self.trials) > 1 else ""
        more = f"at {' and '.join(labels)}" if len(labels) > 1 else ""
        return " and ".join(part for part in (draws, more) if part)

    def _other_points(self) -> list[tuple[Point, dict[str, Pair]]]:
        """A second draw, of another batch size if possible, and the gradients measured there."""
        found: list[tuple[Point, dict[str, Pair]]] = []
        for k in (*self.others, LENGTHS):
            if found and k in self.others:
                continue
            for name in self.keys:
                self._trial_at(name, k)
            if k in self.trials:
                found.append((self.trials[k].point, self.trials[k].pairs))
        return found

    # --- the line ----------------------------------------------------------------------------

    def _add_lines(self, diagnosis: Diagnosis, wrong: list[Pair]) -> None:
        """Give the first finding a search for its line; and the next one that is not explained."""
        if not diagnosis.findings:
            return
        first, *rest = diagnosis.findings
        if self._add_line(first, bool(wrong)):
            return  # one line explains them all
        for finding in [f for f in rest if f.kind == "unknown" and f.tensor in self.keys][:1]:
            self._add_line(finding, bool(wrong))  # two slips hide each other

    def _add_line(self, finding: Finding, wrong: bool) -> bool:
        """Give a finding a search for its line; search at once if the line says more. Whether a line
        was found that explains every wrong gradient.
        """
        found: dict[bool, Edit | None] = {}

        def edit(deep: bool) -> Edit | None:
            if deep not in found:
                point, pairs = self.trials[0].point, self.trials[0].pairs
                tensor = finding.tensor if finding.tensor in self.keys else None
                try:
                    # A line that is missing is no edit; a name that is not added is one.
                    named = finding.name.isidentifier()
                    stages = 2 if finding.kind == "missing_term" and not named else 4
                    more = (self.reference, deep, self._other_points, tensor, stages, self.search)
                    known = find_edit(self.subject, point, pairs, self.keys, *more)
                except Exception:
                    known = None
                found[deep] = known
            return found[deep]

        def place() -> Place | None:
            known = edit(deep=True)
            return None if known is None else known.place

        finding.search = place
        if not wrong:
            return False
        deep = is_vague(finding) or finding.cost >= 2.5
        known = edit(deep) if deep or finding.kind in REINTERPRETED else None
        zero = finding.kind == "zero" and finding.tensor in self.keys
        last = edit(deep=True) if zero else None
        if last is not None and last.kind == "not_added":  # only the last round of a loop counts
            finding.message, known = last.message(finding.tensor), last
        if known is not None:
            reword(finding, known)
        elif isinstance(self.subject, FunctionSubject) and is_thin(finding):
            as_pattern(finding)
        return known is not None and known.whole


class Unusable(Exception):
    """There are no gradients to compare; the finding says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def _diagnose_part(part: Subject, contract_checked: bool) -> Diagnosis:
    return Examination(part, is_part=True, contract_checked=contract_checked).diagnose()


def _alternative(guesses: list[Guess]) -> str:
    """Another relation that fits as well and is as simple."""
    best = guesses[0]
    names = [key[2:] for key in best.keys if key.startswith("c=")]
    if len(names) > 1 and max(map(len, names[:2])) <= 4:
        return f"the factor {names[1]}"  # two lengths are equal here
    if len(guesses) > 1 and guesses[1].free < best.free + 0.02:
        return guesses[1].message
    return ""
