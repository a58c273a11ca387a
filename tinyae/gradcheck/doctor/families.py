"""The families of relations that are tried for a wrong gradient, the simplest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tinyae.gradcheck.doctor.hypotheses import (
    arrays,
    carried,
    common,
    norms,
    operators,
    paths,
    projections,
    slopes,
    terms,
    windows,
)
from tinyae.gradcheck.doctor.hypotheses.factors import factors
from tinyae.gradcheck.doctor.hypotheses.guess import Guess
from tinyae.gradcheck.doctor.hypotheses.products import products
from tinyae.gradcheck.doctor.hypotheses.summands import summands
from tinyae.gradcheck.doctor.subjects import FunctionSubject, ModelSubject
from tinyae.gradcheck.doctor.trial import Trial
from tinyae.param import Array

if TYPE_CHECKING:
    from tinyae.gradcheck.doctor.examination import Examination

Family = Callable[[str, Array, Array, Trial, int], Iterable[Guess]]


def families(examination: Examination) -> list[tuple[str, Family]]:
    """What is tried, by the title under which it is ruled out, in this order."""
    subject = examination.subject

    def simple(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        made = arrays.simple(name, a, n, trial)
        # In a model an equal offset at every entry is most likely an accident.
        offset = ("offset", "constant")
        return [g for g in made if not (subject.composite and g.keys[0].startswith(offset))]

    def named(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        known = examination.named_tensors(k, trial)
        if not known:
            return []
        made = [
            *factors(name, a, n, trial, known),
            *norms.norms(name, a, n, known),
        ]
        if common.is_partial(a, n):  # a ratio of two functions is 1 where both are the same
            return [g for g in made if g.kind == "missing_factor"]
        return made

    def sums(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        known = examination.named_tensors(k, trial)
        if not known:
            return []
        made = [*products(name, a, n, trial, known), *summands(name, a, n, trial, known)]
        made = made or [*slopes.other_function(name, a, n, known)]
        more = None if made else _without_upstream(a, n, known)
        return made if more is None else summands(name, *more[:2], trial, more[2])

    def passing(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        known = examination.named_tensors(k, trial)
        inner = examination.inner_tensors(k, trial)
        if not known:
            return []
        made = [*products(name, a, n, trial, known | inner)] if inner else []
        return [*made, *paths.paths(name, a, n, trial, known | inner)]

    def conv(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        return windows.windows(name, a, n, trial, examination.keys[name])

    def parts(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        made: list[Guess] = []
        for how, found in terms.summands(subject, trial.point, examination.keys[name], n, k):
            made += terms.coefficients(name, a, trial, how, found)
        return made

    def branches(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        return [g for g in places(name, a, n, trial, k) if "a mask is missing" not in g.message]

    def places(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        return common.what_is_common(name, a, n, trial, examination.named_tensors(k, trial))

    def through_time(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        return carried.carried(name, a, n, trial, examination.keys[name])

    def adjoint(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        return _as_far_as_it_runs(operators.operators(name, a, n, trial, examination.keys[name]))

    def projected(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        x = trial.point.values.get(examination.keys[name])
        made = list(projections.projected(name, a, n, x))
        penalty = not trial.point.y.ndim
        return made or (projections.direct_path(name, a, n, x) if penalty else [])

    def interpolation(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        return _as_far_as_it_runs(operators.linear(name, a, n, trial, examination.keys[name]))

    def weights(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        return _as_far_as_it_runs(operators.weighted(name, a, n, trial, examination.keys[name]))

    def reach(name: str, a: Array, n: Array, trial: Trial, k: int) -> Iterable[Guess]:
        return _as_far_as_it_runs(operators.reaches(name, a, n, trial, examination.keys[name]))

    families: list[tuple[str, Family]] = []
    if examination.trials[0].point.values and any(
        p.n.ndim in (3, 4) for p in examination.trials[0].pairs.values()
    ):
        families.append(("a displaced or flipped kernel", conv))
    if isinstance(subject, FunctionSubject):
        families.append(("forward's own operation in place of its transpose", adjoint))
    families.append(("a factor, another order, an offset", simple))
    if isinstance(subject, ModelSubject) or getattr(subject.module, "children", None):
        families.append(("a term or a path with a wrong coefficient", parts))
    families.append(("a factor of the named tensors", named))
    families.append(("one branch with a wrong slope", branches))
    families.append(("a term or an operand of the named tensors", sums))
    if any(a.ndim == 3 for a in examination.trials[0].point.tensors.values()):
        families.append(("what a step hands back to the one before", through_time))
    if isinstance(subject, FunctionSubject):
        families.append(("a term or an operand of the named tensors", passing))
    families.append(("a norm or a mean that was held constant", projected))
    if isinstance(subject, FunctionSubject):
        families.append(("the adjoint of an interpolation", interpolation))
        families.append(("the adjoint but for weights", weights))
        families.append(("which entries of dy are read", reach))
    families.append(("what the wrong entries have in common", places))
    if not isinstance(subject, FunctionSubject) and not subject.composite:
        families.append(("forward's own operation in place of its transpose", adjoint))
        families.append(("which entries of dy are read", reach))
    return families


def _without_upstream(
    a: Array, n: Array, known: dict[str, Array]
) -> tuple[Array, Array, dict[str, Array]] | None:
    """Both gradients divided by dy, and the tensors without it, where L, and so dy, is one number."""
    dy = known.get("dy")
    if dy is None or dy.ndim or not dy:
        return None
    return a / dy, n / dy, {k: t for k, t in known.items() if k != "dy"}


def _as_far_as_it_runs(guesses: Iterable[Guess]) -> list[Guess]:
    """The guesses, or none if the subject does not run at the x and dy that they try."""
    try:
        return list(guesses)
    except Exception:
        return []
