"""Names for a factor: 1/35 is 1/(N*D) where there are 5 rows of 7 features."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from tinyae.param import Array

Named = tuple[float, str, float]  # cost (how far-fetched), name, value

_PLAIN = {"1": 1.0, "-1": -1.0, "2": 2.0, "-2": -2.0, "0.5": 0.5, "-0.5": -0.5}
_RARE = {"3": 3.0, "4": 4.0, "-4": -4.0, "0.25": 0.25}
_COUNTED = ("N", "D", "n", "m")  # lengths over which means and unbiased variances are taken
# Sizes of a window: tried before the sizes of the image.
_WINDOW = ("kh", "kw", "kh*kw", "factor[0]", "factor[1]", "prod(factor)")


@lru_cache(maxsize=64)
def names_and_values(
    sizes: tuple[tuple[str, int], ...], scalars: tuple[tuple[str, float], ...]
) -> tuple[list[str], Array]:
    """Every name built from lengths and constants, simplest first, and their values."""
    rows: list[Named] = [(0, name, value) for name, value in _PLAIN.items()]
    rows += [(2.5, name, value) for name, value in _RARE.items()]  # a constant's name says more
    lengths = [(name, float(n)) for name, n in sizes if n > 1]
    for k in range(1, min(len(lengths), 4) + 1):
        for part in itertools.combinations(lengths, k):
            rows += _product("*".join(name for name, _ in part), math.prod(n for _, n in part), k)
    for (p, n), (q, m) in itertools.permutations(lengths, 2):
        rows.append((4, f"{p}/{q}", n / m))
    for name, v in scalars:
        rows += _constant(name, v)
        for length, n in lengths[:3] if name.endswith(".sum()") else ():
            rows += [(3, f"{name}/{length}", v / n), (3, f"{length}/{name}", n / v)]
        if name.isupper():  # a constant of the module
            for k in (1, 2):
                for part in itertools.combinations(lengths[:3], k):
                    under = "*".join(length for length, _ in part)
                    c = v / math.prod(n for _, n in part)
                    under = under if k == 1 else f"({under})"
                    rows += [(6 + k, f"{name}/{under}", c), (6 + k, f"-{name}/{under}", -c)]
    rows.sort(key=lambda row: row[0])
    return [row[1] for row in rows], np.array([row[2] for row in rows])


def _product(text: str, n: float, factors: int) -> Iterator[Named]:
    """n and 1/n, also doubled, halved, negative and squared; for one length √n and n − 1 too."""
    under = text if factors == 1 else f"({text})"
    for up, c in _PLAIN.items():
        more = 0 if abs(c) == 1 else 1
        if factors > 2 and more:
            continue
        head = {"1": "", "-1": "-"}.get(up, f"{up}*")
        yield 2 * factors + more, f"{up}/{under}", c / n
        yield 2 * factors + more, f"{head}{text}", c * n
    yield 3 + 2 * factors, f"{under}^2", n * n
    yield 3 + 2 * factors, f"1/{under}^2", 1 / (n * n)
    if factors == 1:
        yield 4, f"sqrt({text})", math.sqrt(n)
        yield 4, f"1/sqrt({text})", 1 / math.sqrt(n)
    if text in _COUNTED:
        yield 5, f"{text}/({text}-1)", n / (n - 1)
        yield 5, f"({text}-1)/{text}", (n - 1) / n
        yield 6, f"({text}-1)", n - 1
    elif factors == 1:
        yield 8, f"({text}-1)", n - 1
        yield 8, f"1/({text}-1)", 1 / (n - 1)


def _constant(name: str, v: float) -> Iterator[Named]:
    """A constant v of the layer, and 1/v, v², 1 − v, …"""
    text = f"({name})" if "*" in name else name
    yield 1, name, v
    yield 1 if name in _WINDOW else 2, f"1/{text}", 1 / v
    yield 3, f"-{name}", -v
    yield 4, f"2*{name}", 2 * v
    yield 4, f"{text}^2", v * v
    yield 4, f"1/{text}^2", 1 / (v * v)
    yield 4, f"sqrt({name})", math.sqrt(abs(v))
    if v != 1:
        yield 4, f"1-{name}", 1 - v
        yield 4, f"1/(1-{name})", 1 / (1 - v)
