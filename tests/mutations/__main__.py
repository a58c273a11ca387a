"""``python -m tests.mutations``: how good the gradient doctor is, and how fast.

--show WORD     print the diagnoses of the mutations whose names contain WORD
--readable      let the doctor read the mutated source; by default it is hidden, because
                comparing it with the library's source would be no diagnosis
--failures      list wrong diagnoses in the tuned half
--suite         apply each mutation to a copy of the tree and run the relevant tests
--only WORD     only mutations whose names contain WORD
--part I/N      with --suite: the I-th of N slices
--jobs J        with --suite: the number of copies that run at once
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict

from . import BANK, FUSED
from .suite import run
from .verdict import Verdict, diagnosed, judge


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--show", metavar="WORD")
    parser.add_argument("--readable", action="store_true")
    parser.add_argument("--failures", action="store_true")
    parser.add_argument("--suite", action="store_true")
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--part", default="1/1", metavar="I/N")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    chosen = [m for m in BANK if given.only in m.name]
    if given.show is not None:
        for m in (m for m in BANK if given.show in m.name):
            print(f"--- {m.name}\n    {m.where}: {m.old!r} → {m.new!r}")
            print(diagnosed(m.case(given.readable)), end="\n\n")
        return 0
    if given.suite:
        chosen += [m for m in FUSED if given.only in m.name]
        part, parts = map(int, given.part.split("/"))
        return run(chosen[part - 1 :: parts], given.jobs)
    verdicts = [judge(m, given.readable) for m in chosen]
    for tuned in (True, False):
        half = [v for v in verdicts if v.mutation.tuned == tuned]
        if half:
            print(f"{'tuned on' if tuned else 'not tuned on'}: {len(half)} mutations")
            print(table(half) + "\n")
    if given.failures:
        for v in verdicts:
            if v.mutation.tuned and v.value != "right":
                print(failure(v))
    return 0


def table(verdicts: list[Verdict]) -> str:
    """One row for each kind of mistake (its first true kind), and one for all."""
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for v in verdicts:
        groups[v.mutation.kinds[0].partition(":")[0]].append(v)
    lines = [f"  {'mistake':<15} {'right':>11} {'unknown':>8} {'misleading':>11} {'median':>10}"]
    for name, group in (*sorted(groups.items()), ("all", verdicts)):
        right, unknown, misleading = (
            sum(v.value == value for v in group) for value in ("right", "unknown", "misleading")
        )
        median = 1e3 * statistics.median(v.seconds for v in group)
        lines.append(
            f"  {name:<15} {f'{right} of {len(group)}':>11} {unknown:>8} {misleading:>11} "
            f"{median:>7.1f} ms"
        )
    n = len(verdicts)
    shares = (f"{v} {sum(x.value == v for x in verdicts) / n:.1%}" for v in ("right", "misleading"))
    return "\n".join([*lines, "  " + ", ".join(shares)])


def failure(v: Verdict) -> str:
    """A description of a wrong diagnosis in the tuned half."""
    m = v.mutation
    first = v.diagnosis.findings[0] if v.diagnosis.findings else None
    said = "nothing" if first is None else f"[{first.kind} {first.name}] {first.tensor}"
    message = "" if first is None else " ".join(first.message.split())
    return (
        f"\n{v.value}: {m.name}   ({m.file}, {m.where})\n  {m.old!r} → {m.new!r}\n"
        f"  wrong {', '.join(m.wrong)}; true would be: {', '.join(m.kinds)}\n"
        f"  said {said}: {message}"
    )


if __name__ == "__main__":
    sys.exit(main())
