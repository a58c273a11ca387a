"""Assign each intermediate result a position in the arena, so that the arena is small.

A block of numbers is live from the operation that first writes it to the one that last reads it.
Blocks that are live at the same time must not overlap; others may share memory. The arena cannot be
smaller than the largest total size of blocks live at once, and often need not be larger.

Source    Wilson, Johnstone, Neely & Boles (1995), §3, for first fit. The problem is dynamic storage
          allocation (Garey & Johnson 1979, problem SR2), which is NP-hard, but easy for the few
          blocks of a network
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

_MAX_TRIES = 20_000  # placements tried before the best so far is taken


class Block(NamedTuple):
    """``size`` numbers that are live from operation ``first`` to operation ``last``, inclusive."""

    size: int
    first: int
    last: int

    def overlaps(self, other: Block) -> bool:
        """Whether both are live at some operation."""
        return self.first <= other.last and other.first <= self.last


def lower_bound(blocks: Sequence[Block]) -> int:
    """The largest total size of blocks live at once: no arena can be smaller."""
    ends = max((b.last for b in blocks), default=-1) + 2
    change = [0] * ends  # of the live size, from one operation to the next
    for b in blocks:
        change[b.first] += b.size
        change[b.last + 1] -= b.size
    return max(accumulate(change), default=0)


def assign_offsets(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """The offset of each block, and the size of the arena.

    First fit: each block goes to the lowest offset where it overlaps no block already placed. Some
    order of placing them gives the smallest possible arena (the order of offsets in that arena). So
    all orders are tried, largest blocks first, until one reaches :func:`lower_bound` or the tries
    are used up.
    """
    if not blocks:
        return [], 0
    bound = lower_bound(blocks)
    order = sorted(range(len(blocks)), key=lambda k: (-blocks[k].size, blocks[k].first))
    search = _Search(blocks, order, bound)
    search.run()
    return [search.best[k] for k in range(len(blocks))], search.size


class _Search:
    """Depth-first search over orders; a branch ends once it is no better than the best so far."""

    def __init__(self, blocks: Sequence[Block], order: Sequence[int], bound: int) -> None:
        self.blocks, self.order, self.bound = blocks, order, bound
        self.size = sum(b.size for b in blocks) + 1
        self.best: dict[int, int] = {}
        self.tries = 0

    def run(self) -> None:
        # With a stack of its own: a network may have more blocks than Python has recursions.
        placed: dict[int, int] = {}
        stack: list[tuple[int | None, int, Iterator[int]]] = [(None, 0, iter(self.order))]
        while stack:
            last, size, candidates = stack[-1]
            k = next((k for k in candidates if k not in placed), None)
            if k is None or (self.best and (self.size <= self.bound or self.tries > _MAX_TRIES)):
                stack.pop()
                if last is not None:
                    del placed[last]
                continue
            self.tries += 1
            offset = self._lowest_free_offset(k, placed)
            end = max(size, offset + self.blocks[k].size)
            if end >= self.size:
                continue
            placed[k] = offset
            if len(placed) == len(self.blocks):
                self.best, self.size = dict(placed), end
                del placed[k]
            else:
                stack.append((k, end, iter(self.order)))

    def _lowest_free_offset(self, k: int, placed: dict[int, int]) -> int:
        block, offset = self.blocks[k], 0
        for start, other in sorted(
            (start, j) for j, start in placed.items() if block.overlaps(self.blocks[j])
        ):
            if offset + block.size <= start:
                break
            offset = max(offset, start + self.blocks[other].size)
        return offset
