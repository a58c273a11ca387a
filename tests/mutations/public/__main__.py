"""``python -m tests.mutations.public``: the figures of both halves.

--show WORD    print the diagnoses of the half that is looked at, of names that contain WORD
--failures     list what is not right in the half that is looked at
--only A,B     only the cases of these modules, without the right ones
"""

from __future__ import annotations

import argparse
import statistics
import sys

from . import BANK, Outcome, alarm, judge
from .right import RIGHT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations.public", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--show", metavar="WORD")
    parser.add_argument("--failures", action="store_true")
    parser.add_argument("--only", metavar="MODULES")
    given = parser.parse_args()
    bank = [c for c in BANK if given.only is None or c.family in given.only.split(",")]
    if given.show is not None:
        for case in (c for c in bank if c.looked_at and given.show in c.name):
            outcome = judge(case)
            print(f"--- {case.name}: {outcome.value}   {case.says}\n{outcome.text}\n")
        return 0
    outcomes = [judge(case) for case in bank]
    for looked_at in (True, False):
        half = [o for o in outcomes if o.case.looked_at == looked_at]
        print(f"{'looked at' if looked_at else 'not looked at'}: {figures(half)}")
    alarms: dict[str, str] = {}
    if given.only is None:
        alarms = {name: said for name, build in RIGHT if (said := alarm(build))}
        print(f"right ones: {len(RIGHT)} cases, {len(alarms)} false alarms")
    if given.failures:
        for o in outcomes:
            if o.case.looked_at and o.value != "right":
                first = [line for line in o.text.splitlines() if line.startswith("  found")]
                print(f"{o.value:<10} {o.case.name}: {first[0][13:] if first else 'ok'}")
        for name, diagnosis in alarms.items():
            print(f"alarm      {name}: {diagnosis}")
    return 0


def figures(half: list[Outcome]) -> str:
    counts = {
        v: sum(o.value == v for o in half) for v in ("right", "vague", "misleading", "silent")
    }
    shares = ", ".join(f"{v} {n} ({n / len(half):.1%})" for v, n in counts.items())
    times = [1e3 * o.seconds for o in half]
    speed = f"median {statistics.median(times):.1f} ms, longest {max(times):.0f} ms"
    return f"{len(half)} cases: {shares}; {speed}"


if __name__ == "__main__":
    sys.exit(main())
