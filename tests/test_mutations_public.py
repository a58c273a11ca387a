"""Backward passes that people are known to get wrong: none is silent, few are misread."""

from collections import Counter

import pytest
from mutations.public import BANK, FAMILIES, alarm, judge
from mutations.public.case import SEEN
from mutations.public.compositions import COMPOSED
from mutations.public.right import RIGHT

HALVES = {"looked at": True, "not looked at": False}


def test_the_bank_is_large_and_says_where_each_mistake_was_seen():
    names = [case.name for case in BANK]
    assert len(names) == len(set(names)) >= 120
    split = [case.looked_at for case in BANK if case.family not in SEEN]
    assert 0.4 <= sum(split) / len(split) <= 0.6
    assert all(case.source.startswith(("https://", "http://")) for case in BANK)
    assert all(case.says for case in BANK)
    assert {case.build.__module__ for case in BANK} == {family.__name__ for family in FAMILIES}
    assert len(RIGHT) >= 120


@pytest.mark.parametrize("half", HALVES)
def test_no_mistake_passes_and_few_are_misread(half):
    outcomes = [judge(case, times=1) for case in BANK if case.looked_at == HALVES[half]]
    counts = Counter(outcome.value for outcome in outcomes)
    assert counts["silent"] == 0
    assert counts["misleading"] <= 0.03 * len(outcomes)
    assert counts["right"] >= 0.83 * len(outcomes)


def alarms_in(cases):
    alarms = {name: said for name, build in cases if (said := alarm(build))}
    return "\n".join(map(str, alarms.items()))


def test_no_false_alarm():
    assert not alarms_in([*RIGHT, *COMPOSED[::9]])  # each piece, each condition


@pytest.mark.slow
def test_no_false_alarm_in_any_composition():
    assert len(RIGHT) + len(COMPOSED) >= 500
    assert not alarms_in(COMPOSED)
