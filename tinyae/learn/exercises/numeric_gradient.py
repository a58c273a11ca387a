"""02: the numeric gradient."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner, Unusable
from tinyae.learn.track import Exercise
from tinyae.learn.wording import difference, listed
from tinyae.param import Array

H, H_TEXT = 1e-5, "1e-5"


def wave(x: Any) -> float:
    """f = Σ sin x"""
    return float(np.sin(x).sum())


def product(x: Any) -> float:
    """f = Σ x² · Σ x, in which every entry matters to every slope"""
    return float((x**2).sum() * x.sum())


def check(e: Examiner) -> None:
    x = np.array([0.3, 0.7, 1.1])
    try:
        _values(e, "f(x) = Σ sin x, x (3,)", wave, x, np.cos(x))
        for shape in ((2, 3), (2, 2, 5)):
            a = np.random.default_rng(0).normal(size=shape)
            right = 2 * a * a.sum() + (a**2).sum()
            _values(e, f"f(x) = Σ x² · Σ x, x {shape}", product, a, right)
        _moves(e, np.array([[0.3, 0.7, 1.1], [0.2, 0.4, 0.6]]))
        _order(e, x)
    except Unusable:
        return


def _gradient(e: Examiner, f: Callable[[Any], float], x: Array, h: float = H) -> Array:
    return e.results("numeric_gradient", {"f": f, "x": x, "h": h}, ("slope",))["slope"]


def _values(e: Examiner, what: str, f: Callable[[Any], float], x: Array, right: Array) -> None:
    found = _gradient(e, f, x)
    wrong = difference(found, right)
    table = {"x": x, "yours": found, "right": right} if x.size <= 6 else {}
    otherwise = f"the slope {wrong}{_why(found, right)}" + (listed(table) if table else "")
    e.holds("values", f"{what}, h = {H_TEXT}", not wrong, otherwise)


def _why(found: Array, right: Array) -> str:
    """What the wrong slopes have in common, if it says something."""
    if found.shape != right.shape or not found.any():
        return ""
    with np.errstate(all="ignore"):
        ratio = found / right
    for factor, text in (
        (2, "All are twice too large: the two points lie 2h apart"),
        (0.5, "All are half of it: divide once by the distance of the two points"),
        (-1, "The sign is turned: f(x + h) − f(x − h), in this order"),
        (
            H**2,
            "All are h² times too small: `/ 2 * h` divides by 2, then multiplies; write / (2 * h)",
        ),
    ):
        if np.allclose(ratio, factor, rtol=1e-3, atol=0):
            return f". {text}"
    if np.array_equal(found, np.round(found)):
        return ". All are whole numbers: the array that holds them must be one of floats"
    return ""


def _moves(e: Examiner, x: Array) -> None:
    """Which entries have moved when f is called."""
    moved: list[int] = []

    def f(a: Any) -> float:
        moved.append(int((np.abs(np.asarray(a) - x) > H / 2).sum()))
        return wave(a)

    _gradient(e, f, x)
    what = f"x {x.shape}: at each call of f one entry has moved, the others are as they were"
    otherwise = ""
    if any(n > 1 for n in moved):
        otherwise = f"at some call {max(moved)} had. Put each back before the next is moved"
        if max(moved) == x.shape[1]:
            otherwise = "a whole row had: x[i] is a row here. np.ndindex(x.shape) goes by entries"
    elif 0 in moved:
        otherwise = "at some call none had: a central difference steps to both sides"
    e.holds("moves", what, not otherwise, otherwise)
    calls = 2 * x.size
    if not otherwise:
        what = f"x {x.shape}: f is called twice an entry, {calls} times"
        e.holds("calls", what, len(moved) == calls, f"here {len(moved)} times")


def _order(e: Examiner, x: Array) -> None:
    """How the error falls with h."""
    steps = (1e-1, 1e-2, 1e-3)
    errors = [float(np.abs(_gradient(e, wave, x, h) - np.cos(x)).max()) for h in steps]
    ratios = [a / b if b else np.inf for a, b in pairwise(errors)]
    fell = " and ".join(f"{r:.3g}" for r in ratios)
    if all(8 < r < 12 for r in ratios):
        otherwise = f"it falls by {fell}, as with a step to one side: step to both sides of x"
    elif all(0.5 < r < 2 for r in ratios):
        otherwise = f"it falls by {fell}: it does not come from h. Mend the values first"
    else:
        otherwise = f"it falls by {fell}"
    e.holds(
        "order",
        "f(x) = Σ sin x: the error falls by 100 when h falls by 10 (h = 0.1, 0.01, 0.001)",
        all(95 < r < 105 for r in ratios),
        otherwise,
    )


EXERCISE = Exercise(
    title="The numeric gradient",
    fill=("numeric_gradient",),
    hints=(
        "A slope is rise over run. Do it for one entry first: move it up by h, then down by h, and "
        "compare the two values of f.",
        "Go over all entries with np.ndindex(x.shape), which gives the index tuples for any number "
        "of axes. Remember the entry's value before, and put it back after. The run is 2h.",
        "Work on x.copy(). In the loop: x[i] = before + h; above = f(x); x[i] = before - h; "
        "below = f(x); x[i] = before; slope[i] = (above - below) / (2 * h).",
    ),
    check=check,
)
