"""What ``fit(progress=True)`` shows on stderr, where that is a terminal or a notebook's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from tinyae.data.batches import count, is_rows
from tinyae.data.streams import Stream
from tinyae.param import Array
from tinyae.progress import bar_class, hold, is_watched, release
from tinyae.training.history import Epoch


class Progress:
    """A tqdm bar that counts batches; one line per epoch where tqdm is not installed.

    Shows nothing unless ``wanted``, nor where nobody watches. ``done`` epochs came from a checkpoint.
    What runs between the batches, such as validation, has no bar of its own.
    """

    def __init__(self, wanted: bool, epochs: int, done: int) -> None:
        self.wanted, self.epochs, self.number = wanted and is_watched(), epochs, done
        self.bar: Any = None
        self.tqdm = bar_class() if self.wanted else None
        hold()

    def over(self, steps: Iterator[Any], length: int | None) -> Iterator[Any]:
        """The batches of the next epoch, counted by the bar as they are taken.

        ``length`` is how many they are, None if that is not known.
        """
        self.number += 1
        if self.tqdm is None:
            return steps
        if self.bar is None:
            left = self.epochs - self.number + 1
            self.bar = self.tqdm(
                total=None if length is None else left * length, unit="batch", mininterval=0.2
            )
        self.bar.set_description_str(f"epoch {self.number}/{self.epochs}", refresh=False)
        return self._counted(steps, max((length or 0) // 100, 1))

    def _counted(self, steps: Iterator[Any], stride: int) -> Iterator[Any]:
        """Updating the bar takes time, so it happens once every ``stride`` batches."""
        i = 0
        for i, batch in enumerate(steps, 1):
            yield batch
            if i % stride == 0:
                self.bar.update(stride)
        self.bar.update(i % stride)

    def report(self, epoch: Epoch) -> None:
        shown = {"loss": epoch.terms["total"]}
        if epoch.validation:
            shown["validation"] = epoch.validation["total"]
        text = ", ".join(f"{name} {value:.5g}" for name, value in shown.items())
        if self.bar is not None:
            self.bar.set_postfix_str(text)
        elif self.wanted:
            line = f"epoch {epoch.epoch}/{self.epochs}: {text}, {epoch.seconds:.1f} s"
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        release()
        if self.bar is not None:
            self.bar.close()


def batches_per_epoch(x: Any, batch_size: int, weights: Array | None = None) -> int | None:
    """How many batches an epoch has; None for an iterable that does not know its length."""
    if is_rows(x) or isinstance(x, Stream):
        rows = x.rows if isinstance(x, Stream) else count(x)
        if weights is not None:  # those of weight 0 are not drawn
            rows = int((weights > 0).sum())
        return -(-rows // batch_size)
    return len(x) if hasattr(x, "__len__") else None
