"""Wrong: a backward pass with a mistake that people are known to make, and what names it.

``says`` lists key phrases. A diagnosis is right at first mention if its first finding contains one
of them; "a & b" needs both. Spaces do not matter, nor how minus signs, dots and powers are written.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

# Families that were written while the doctor was mended, and so were seen.
SEEN = ("threads", "closures", "second", "third")
# True, but without a cause.
VAGUE = ("unknown", "entries", "invariant", "axis_factor", "offset", "pattern")


@dataclass(frozen=True)
class Wrong:
    """One wrong backward pass.

    name     the function that builds it; its crc32 decides the half it belongs to, unless its
             family is one of those that were seen
    source   where people were seen to make the mistake, or the formula that is mistaken
    says     key phrases of a good diagnosis
    build    returns subject, x and the further arguments of ``diagnose``
    hidden   the gradients are right at the given input; the mistake shows elsewhere
    """

    name: str
    source: str
    says: tuple[str, ...]
    build: Callable[[], Any]
    hidden: bool = False

    @property
    def looked_at(self) -> bool:
        """Whether the doctor may be mended by looking at it."""
        return self.family in SEEN or zlib.crc32(self.name.encode()) % 2 == 0

    @property
    def family(self) -> str:
        """The module that it stands in."""
        return str(self.build.__module__).rpartition(".")[2]


class Outcome(NamedTuple):
    case: Wrong
    value: str  # right, vague, misleading or silent
    seconds: float
    text: str


BANK: list[Wrong] = []


def wrong(source: str, *says: str, hidden: bool = False) -> Any:
    """Register a wrong backward pass."""

    def register(build: Callable[[], Any]) -> Callable[[], Any]:
        BANK.append(Wrong(build.__name__, source, says, build, hidden))
        return build

    return register


def draw(*shape: int, seed: int = 0) -> Any:
    """Random numbers, away from kinks at 0."""
    rng = np.random.default_rng([seed, *shape])
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.1, 1.6, shape)


def onehot(columns: int, *labels: int) -> Any:
    return np.eye(columns)[list(labels)]


def diagnosed(built: Any) -> Any:
    """The diagnosis of what a case builds."""
    from tinyae.gradcheck import diagnose

    subject, x, *more = built
    if callable(more[0] if more else None):
        more = [{"backward": more[0], **(more[1] if len(more) > 1 else {})}]
    return diagnose(subject, x, **(more[0] if more else {}))


def judge(case: Wrong, times: int = 2) -> Outcome:
    """Diagnose and print it, twice, since the first run may load; processor time of the last."""
    try:
        for _ in range(times - 1):
            str(diagnosed(case.build()))
        built = case.build()
        start = time.process_time()
        diagnosis = diagnosed(built)
        text = str(diagnosis)
    except Exception as refused:  # even a clear message is no diagnosis
        return Outcome(case, "misleading", 0.0, f"  found      refused: {refused!r}")
    seconds = time.process_time() - start
    return Outcome(case, verdict(case, diagnosis), seconds, text)


def alarm(build: Callable[[], Any]) -> str:
    """What the doctor has against a right backward pass; "" if nothing."""
    try:
        diagnosis = diagnosed(build())
    except Exception as error:
        return repr(error)
    return "" if diagnosis.ok else str(diagnosis)


def verdict(case: Wrong, diagnosis: Any) -> str:
    if diagnosis.ok or not diagnosis.findings:
        return "silent"
    first = diagnosis.findings[0]
    if first.kind == "unknown":
        return "vague"
    said = plain(f"{first.message} ; {first.do} ; {first.name} ; {first.place.fix}")
    if "; it should be " in first.message:
        return "right"  # both formulas were verified, at several sizes
    if any(all(occurs(plain(p), said) for p in phrase.split("&")) for phrase in case.says):
        return "right"
    return "vague" if first.kind in VAGUE else "misleading"


def plain(text: str) -> str:
    """The text in lower case without spaces, with one way of writing each sign."""
    for old, new in (("−", "-"), ("·", "*"), ("²", "^2"), ("³", "^3"), ("**", "^"), ("½", "0.5")):
        text = text.replace(old, new)
    return re.sub(r"\s+", "", text.lower()).replace("np.", "")


def occurs(phrase: str, text: str) -> bool:
    """Whether a phrase occurs; a number at its ends must not go on."""
    start = r"(?<![\d.])" if phrase[:1].isdigit() else ""
    end = r"(?!\.?\d)" if phrase[-1:].isdigit() else ""
    return re.search(start + re.escape(phrase) + end, text) is not None
