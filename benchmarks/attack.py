"""Attacks in large numbers: hostile files, and whatever else should never break the library.

    python -m benchmarks.attack --list
    python -m benchmarks.attack --files 10000        # each attack on files so many times
    python -m benchmarks.attack --cuts 95000 --flips 31700 --seed 1

Run from the project's root. Prints tries and failures of each attack; the exit code is 1 if any
failed. The tests run the same cases with small budgets. To add an attack is to write a function of a
budget and a seed that returns an :class:`Outcome`, and one line in ``ATTACKS``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks.attacks import (
    Outcome,
    arrays,
    checkpoints,
    concurrency,
    environments,
    kills,
    model_files,
    repeat,
    survival,
    torch_twins,
)

Attack = Callable[[int, int], Outcome]

ATTACKS: dict[str, tuple[Attack, str]] = {
    "cuts": (repeat(model_files.cut), "model files cut anywhere"),
    "flips": (repeat(model_files.flip), "model files with one to four other bytes"),
    "headers": (repeat(model_files.header), "model files with other descriptions or arrays"),
    "bombs": (repeat(model_files.bomb), "small descriptions of enormous models"),
    "members": (repeat(model_files.member), "archives with other members"),
    "swaps": (repeat(model_files.swap), "two arrays of one shape exchanged"),
    "checkpoint-cuts": (repeat(checkpoints.cut), "checkpoints cut anywhere"),
    "checkpoint-flips": (repeat(checkpoints.flip), "checkpoints with one to four other bytes"),
    "checkpoints": (repeat(checkpoints.crafted), "checkpoints with other fields"),
    "misuse": (repeat(arrays.misuse), "backward with right and wrong arrays"),
    "twins": (repeat(arrays.twin), "layers, compiled and fused, against their definitions"),
    "torch": (repeat(torch_twins.twin, torch_twins.NAME), "layers against PyTorch's"),
    "guards": (arrays.guards, "layers and compiled models between guard pages"),
    "threads": (repeat(concurrency.threads), "200 calls from eight threads"),
    "forks": (repeat(concurrency.forks), "ten forks while threads train with NumPy's kernels"),
    "long-runs": (repeat(concurrency.long_run), "1,000 steps in the memory of the first"),
    "cached-code": (repeat(environments.cached_code), "compiled code on disk, damaged"),
    "tables": (repeat(environments.table), "tables of odd cells"),
    "pictures": (repeat(environments.picture), "pictures of any mode, damaged or not"),
    "kills": (repeat(kills.kill), "processes killed while they save"),
    "survival": (repeat(survival.survive), "trainings killed again and again, then compared"),
}
GROUPS = {
    "files": (
        "cuts", "flips", "headers", "bombs", "members", "swaps",
        "checkpoint-cuts", "checkpoint-flips", "checkpoints",
    ),
}  # fmt: skip
SHOWN = 10  # failures of each attack


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.list:
        for name, (_, about) in ATTACKS.items():
            print(f"{name:18}{about}")
        return 0
    budgets = {}
    for name, members in [*GROUPS.items(), *((name, (name,)) for name in ATTACKS)]:
        budget = getattr(options, name.replace("-", "_"))
        if budget is not None:
            budgets.update(dict.fromkeys(members, budget))
    if not budgets:
        print("attack: no attack was chosen; pass e.g. --files 1000, or --list", file=sys.stderr)
        return 2
    failed = 0
    for name, budget in budgets.items():
        start = time.perf_counter()
        outcome = ATTACKS[name][0](budget, options.seed)
        seconds = time.perf_counter() - start
        if outcome.skipped:
            print(f"{name:18}skipped: {outcome.skipped}", flush=True)
            continue
        failed += len(outcome.failures)
        print(
            f"{name:18}{outcome.tries:9,} tries {len(outcome.failures):6,} failures {seconds:8.0f} s",
            flush=True,
        )
        for failure in outcome.failures[:SHOWN]:
            print(f"    {failure}", flush=True)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Attacks in large numbers.", allow_abbrev=False)
    parser.add_argument("--list", action="store_true", help="name the attacks")
    parser.add_argument("--seed", type=int, default=0, help="of all chance (default 0)")
    for name, members in GROUPS.items():
        parser.add_argument(
            f"--{name}", type=int, metavar="N", help=f"each of {', '.join(members)}"
        )
    for name, (_, about) in ATTACKS.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=about)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
