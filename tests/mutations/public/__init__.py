"""Backward passes that are wrong in ways that people are known to get them wrong.

Each is a small function written anew after a public question, report or course; its source stands
beside it. The doctor is mended by looking at one half; of the other only the figures are read.

``case``    Wrong, and when a diagnosis is right
``right``   correct backward passes under trying conditions: no alarm may be raised
``compositions``  some 450 more, put together from pieces
"""

from . import (
    activations,
    algebra,
    closures,
    forms,
    images,
    indexing,
    losses,
    nets,
    norms,
    objectives,
    projections,
    reports,
    second,
    sequences,
    state,
    third,
    threads,
    through_time,
    transforms,
    windows,
)
from .case import BANK, Outcome, Wrong, alarm, diagnosed, judge, verdict

__all__ = ["BANK", "FAMILIES", "Outcome", "Wrong", "alarm", "diagnosed", "judge", "verdict"]

FAMILIES = (
    activations,
    algebra,
    closures,
    forms,
    images,
    indexing,
    losses,
    nets,
    norms,
    objectives,
    projections,
    reports,
    second,
    sequences,
    state,
    third,
    threads,
    through_time,
    transforms,
    windows,
)
