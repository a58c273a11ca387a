"""Progress on a terminal or in a notebook, for whatever takes longer than two seconds.

    with work("PCA", 12, "block") as w:        # a bar on stderr, once two seconds have passed
        for block in w.over(blocks):
            …
        w.say("eigenvectors", long=True)       # announced at once

Nothing is shown where nobody watches: where stderr is neither a terminal nor a notebook's, inside
``quiet()``, on another thread than the main one, and inside of other work that is shown. A bar
vanishes when its work is done. ``fit`` shows its own from the start: :mod:`tinyae.training.progress`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 2.0  # seconds before a bar appears

_held = 0  # how many on the main thread have asked for quiet, or show a bar of their own


def is_watched() -> bool:
    """Whether somebody may see what is written to stderr: a terminal, or a notebook."""
    if sys.stderr is None:
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def bar_class() -> Any:
    """tqdm's, in the terminal or the notebook; None where it is not installed."""
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
    except ModuleNotFoundError:
        return None
    return tqdm


def hold() -> None:
    """No bar from here on, until :func:`release` on the same thread."""
    global _held
    _held += _on_main_thread()


def release() -> None:
    global _held
    _held -= _on_main_thread()


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """No bar inside; with ``wanted=False`` as it was before."""
    if not wanted:
        yield
        return
    hold()
    try:
        yield
    finally:
        release()


class Work:
    """Something that takes a while. ``total`` is how many steps it has, None if that is not known."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self.start = time.monotonic()
        self.bar: Any = None
        self.shown = not _held and _on_main_thread() and is_watched()

    def step(self, n: int = 1) -> None:
        """So many steps more are done."""
        self.done += n
        if self.shown:
            self._show(time.monotonic() - self.start >= PATIENCE)

    def expect(self, n: int) -> None:
        """So many steps more are to come."""
        self.total = (self.total or 0) + n

    def say(self, text: str, long: bool = False) -> None:
        """What is being done now. A long step is announced at once: nothing is counted during it."""
        if self.shown:
            self._show(long, f"{self.what}: {text}")

    def over(self, steps: Iterable[T]) -> Iterator[T]:
        """The steps, counted as they are done."""
        for step in steps:
            yield step
            self.step()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _show(self, due: bool, text: str | None = None) -> None:
        if self.bar is None:
            make = bar_class() if due else None
            if make is None:
                return
            self.bar = make(total=self.total, desc=self.what, unit=f" {self.unit}", leave=False)
            self.bar.start_t -= time.monotonic() - self.start  # what has passed already
        if text is not None:
            self.bar.set_description_str(text, refresh=False)
        self.bar.total = self.total
        self.bar.update(self.done - self.bar.n)
        if text is not None:
            self.bar.refresh()


@contextmanager
def work(what: str, total: int | None = None, unit: str = "step") -> Iterator[Work]:
    """Work with a bar if it takes long. What runs inside has none."""
    found = Work(what, total, unit)
    hold()
    try:
        yield found
    finally:
        release()
        found.close()
