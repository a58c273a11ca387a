"""Where in the arena each intermediate result lies, so that the arena is small.

A block of numbers lives from the operation that writes it first to the one that reads it last.
Blocks that live at once must not overlap; others may share a place. An arena can never be smaller
than the most that lives at once, and often need not be larger.

Source    Wilson, Johnstone, Neely & Boles (1995), §3, for first fit; to find the arrangement is
          dynamic storage allocation (Garey & Johnson 1979, problem SR2), hard in general and easy
          for the handful of blocks of a network
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_TRIES = 20_000  # placements tried before the best so far is taken


class Block(NamedTuple):
    """So many numbers, needed from operation ``first`` to operation ``last``, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: Block) -> bool:
        """Whether both live at once."""
        return self.first <= other.last and other.first <= self.last


def least(blocks: Sequence[Block]) -> int:
    """The most that lives at once: no arena can be smaller."""
    return max(
        (sum(b.size for b in blocks if b.meets(a) and b.first <= a.first) for a in blocks),
        default=0,
    )


def place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """The offset of each block, and the size of the arena.

    Each block is put at the lowest place that is free of those already put which it meets. Some
    order of putting them gives the smallest arena of all (by rising offset in such an arena), so
    all orders are tried, the largest first, until one reaches :func:`least` or the tries are up.
    """
    bound = least(blocks)
    order = sorted(range(len(blocks)), key=lambda k: (-blocks[k].size, blocks[k].first))
    search = _Search(blocks, order, bound)
    search.go({}, 0)
    return [search.best[k] for k in range(len(blocks))], search.size


class _Search:
    """Depth first through the orders; a branch ends where it is no better than the best so far."""

    def __init__(self, blocks: Sequence[Block], order: Sequence[int], bound: int) -> None:
        self.blocks, self.order, self.bound = blocks, order, bound
        self.size = sum(b.size for b in blocks) + 1
        self.best: dict[int, int] = {}
        self.tries = 0

    def go(self, put: dict[int, int], size: int) -> None:
        if len(put) == len(self.blocks):
            self.best, self.size = dict(put), size
            return
        for k in self.order:
            if k in put:
                continue
            if self.best and (self.size <= self.bound or self.tries > _TRIES):
                return
            self.tries += 1
            offset = self._lowest(k, put)
            end = max(size, offset + self.blocks[k].size)
            if end < self.size:
                self.go(put | {k: offset}, end)

    def _lowest(self, k: int, put: dict[int, int]) -> int:
        block, offset = self.blocks[k], 0
        for at, other in sorted((at, j) for j, at in put.items() if block.meets(self.blocks[j])):
            if offset + block.size <= at:
                break
            offset = max(offset, at + self.blocks[other].size)
        return offset
