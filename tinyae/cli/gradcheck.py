"""``tinyae gradcheck``: every backward pass of the library against numeric gradients."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_seed_and_kernels, add_verb
from tinyae.cli.wording import count, done


def add_parser(verbs: Any) -> None:
    parser = add_verb(verbs, "gradcheck", run, "tinyae gradcheck --kernels numpy")
    parser.add_argument("--verbose", action="store_true", help="print every table")
    add_seed_and_kernels(parser)


def run(args: argparse.Namespace) -> int:
    """Compare every backward pass of the library with numeric gradients, in float64."""
    from tinyae import catalog

    failed = checks = 0
    print(f"{'':26}{'worst relative error':>22}  verdict      (kernels: {ta.kernels.active()})")
    for name, report in catalog.check_all(np.random.default_rng(args.seed)):
        worst = max((row.error for row in report.rows), default=0.0)
        print(f"{name:26}{worst:22.1e}  {'pass' if report.ok else 'FAIL'}")
        if not report.ok or args.verbose:
            print(report)
        failed += not report.ok
        checks += 1
    found = "every gradient agrees" if not failed else f"{failed} of the above disagree"
    done("gradcheck", f"{count(checks, 'check')}, {found}")
    return 1 if failed else 0
