"""Schedules: their values at the beginning, in the middle and at the end, and their shapes."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyae import optim, schedules
from tinyae.schedules import Constant, Cosine, Exponential, StepDecay, WarmUp


def test_schedules_at_the_beginning_middle_and_end() -> None:
    def values(schedule: Any, *times: int) -> list[float]:
        found = [schedule(t) for t in times]
        assert all(type(value) is float for value in found)
        return found

    assert values(Constant(0.3), 0, 50, 10**6) == [0.3, 0.3, 0.3]
    assert values(StepDecay(0.8, 10, 0.5), 0, 9, 10, 19, 20) == [0.8, 0.8, 0.4, 0.4, 0.2]
    assert values(Exponential(0.8, 0.5), 0, 1, 3) == [0.8, 0.4, 0.1]
    assert values(Cosine(0.8, 100, 0.2), 0, 50, 100, 999) == pytest.approx([0.8, 0.5, 0.2, 0.2])
    assert values(Cosine(1.0, 3), 1, 2) == pytest.approx([0.75, 0.25])
    assert values(WarmUp(Constant(0.8), 4), 0, 1, 3, 4, 99) == pytest.approx(
        [0.2, 0.4, 0.8, 0.8, 0.8]
    )
    inner = Cosine(0.8, 100)
    assert values(WarmUp(inner, 10), 10, 50, 100) == [inner(10), inner(50), inner(100)]
    with pytest.raises(TypeError, match=r"Constant\(0\.1\)"):
        WarmUp(0.1, 5)  # type: ignore[arg-type]


@given(st.floats(1e-6, 10), st.integers(1, 50), st.floats(0, 1), st.floats(0.01, 1))
def test_schedules_shapes(lr: float, steps: int, low: float, factor: float) -> None:
    times = range(steps + 20)
    falling = [Cosine(lr, steps, low * lr), Exponential(lr, factor), StepDecay(lr, steps, factor)]
    for schedule in falling:
        values = [schedule(t) for t in times]
        assert values[0] == pytest.approx(lr)
        assert all(a >= b * (1 - 1e-12) for a, b in pairwise(values))
        assert min(values) >= 0
    cosine = falling[0]
    for t in range(steps + 1):  # symmetric about its middle
        assert cosine(t) + cosine(steps - t) == pytest.approx(lr + low * lr)
    ramp = [WarmUp(Constant(lr), steps)(t) for t in times]
    assert all(b >= a for a, b in pairwise(ramp))
    assert ramp[0] == pytest.approx(lr / steps)
    assert ramp[steps - 1] == lr


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: StepDecay(0.1, 0), "every"),
        (lambda: Cosine(0.1, 0), "steps"),
        (lambda: WarmUp(Constant(0.1), -1), "steps"),
        (lambda: Constant(-1), "learning_rate is -1, expected a finite number"),
        (lambda: Constant(math.nan), "learning_rate is nan"),
        (lambda: Constant("x"), "learning_rate is 'x'"),  # type: ignore[arg-type]
        (lambda: Exponential(0.1, -0.9), "factor"),
        (lambda: Exponential(math.inf, 0.9), "learning_rate"),
        (lambda: StepDecay(0.1, 5, math.nan), "factor"),
        (lambda: Cosine(0.1, 5, -1e-3), "final"),
    ],
)
def test_unfit_settings_are_named(make: Callable[[], Any], word: str) -> None:
    with pytest.raises((TypeError, ValueError), match=word):
        make()


@pytest.mark.parametrize(
    "name", ["Schedule", "Constant", "StepDecay", "Exponential", "Cosine", "WarmUp"]
)
def test_schedules_can_be_imported_from_optim(name: str) -> None:
    assert getattr(optim, name) is getattr(schedules, name)
