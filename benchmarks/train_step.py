"""The time of one training step (forward, backward, optimizer), against PyTorch and JAX.

    python benchmarks/train_step.py [--only dense-32 conv] [--peers torch,jax] [--threads 2]
    python benchmarks/train_step.py --separate       # each contestant in its own process
    python benchmarks/train_step.py --quick          # does it run?

Contestants take turns in one process (timing.py). Each row gives the median and quartiles of one
step in milliseconds, the ratio of the best peer's median to ours, and the floor and our share of it
(floor.py). All start with the same weights (float32), on the same batch, with Adam 1e-3. Before
timing, the losses of the first three steps must agree. Networks: peers/networks.py.

    tinyae          terms = model.backprop(x, rng); optimizer.step(model.params)
    PyTorch eager   zero_grad, forward, backward, default Adam
    PyTorch fused   the same with Adam(fused=True)
    torch.compile   torch.compile of forward and loss, Adam(fused=True); needs a C++ compiler
    JAX jit         all of it in one jitted function that may reuse its buffers
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import timing
from benchmarks.floor import COLUMNS, measure_machine, work_of_step
from benchmarks.peers import compiler, present

OURS = "tinyae"
OTHERS = {  # name: package, file in peers/, function in that file
    "PyTorch eager": ("torch", "with_torch", "eager"),
    "PyTorch fused": ("torch", "with_torch", "fused"),
    "torch.compile": ("torch", "with_torch", "compiled"),
    "JAX jit": ("jax", "with_jax", "jitted"),
}


def our_step(network: Any, x: Any) -> Callable[[], float]:
    """A training step as in ``ta.fit``, which also sets the allocator to keep freed memory."""
    import numpy as np

    import tinyae as ta
    from tinyae.memory import keep_freed_memory

    keep_freed_memory()
    model, optimizer, rng = network.model(), ta.Adam(1e-3), np.random.default_rng(0)
    params = model.params

    def step() -> float:
        terms = model.backprop(x, rng)
        optimizer.step(params)
        return terms["total"]

    return step


def contestants(network: Any, x: Any, names: Sequence[str], threads: int) -> dict[str, Any]:
    """Name → step; ours comes first, because the others are compared with it."""
    steps: dict[str, Callable[[], Any]] = {OURS: our_step(network, x)}
    for name in names:
        _, file, function = OTHERS[name]
        module = importlib.import_module(f"benchmarks.peers.{file}")
        steps[name] = getattr(module, function)(network.model(), x, threads)
    return steps


def runnable(wanted: str) -> list[str]:
    """The peers whose package is wanted and installed; reports missing ones."""
    peers = present(wanted, ["torch", "jax"])
    names = [name for name, (package, _, _) in OTHERS.items() if package in peers]
    if "torch.compile" in names and compiler() is None:
        print("skipped: torch.compile; it needs a C++ compiler; install g++")
        names.remove("torch.compile")
    return names


def same_losses(steps: dict[str, Callable[[], Any]], tolerance: float) -> None:
    """Take three steps with each (also a warm-up); raise unless all have the same losses.

    Raises
        ValueError  a loss differs from ours by more than the relative ``tolerance``
    """
    losses = {name: [float(step()) for _ in range(3)] for name, step in steps.items()}
    for name, values in losses.items():
        for k, (got, want) in enumerate(zip(values, losses[OURS])):
            if not abs(got - want) <= tolerance * abs(want):
                raise ValueError(
                    f"train_step: the loss of step {k + 1} is {got:.6g} with {name}, {want:.6g} "
                    "with tinyae: they do not train the same network"
                )


def races(only: Sequence[str], quick: bool) -> list[tuple[str, Any, int]]:
    """Rows (name, network, batch size). ``only`` selects by network or name: dense, dense-32."""
    from benchmarks.peers.networks import NETWORKS

    rows = [
        (f"{key}-{n}", network, n) for key, network in NETWORKS.items() for n in network.batches
    ]
    for name in only:
        if not any(name in (row, row.rpartition("-")[0]) for row, _, _ in rows):
            names = ", ".join(row for row, _, _ in rows)
            raise SystemExit(f"train_step: no row is named {name!r}; choose from {names}")
    if only:
        rows = [row for row in rows if row[0] in only or row[0].rpartition("-")[0] in only]
    return [(row, network, min(n, 8) if quick else n) for row, network, n in rows]


def race(network: Any, n: int, names: Sequence[str], options: Any) -> dict[str, timing.Spread]:
    """Time all contestants in turns; with ``--alone``, only that one, after comparing losses."""
    if options.alone:
        names = [name for name in names if name == options.alone]
    steps = contestants(network, network.data(n), names, options.threads)
    same_losses(steps, 0.02 if network.random else 1e-4)
    if options.alone:
        steps = {options.alone: steps[options.alone]}
    if options.quick:
        return timing.interleaved(steps, 1, 0.0, 0.0)
    return timing.interleaved(steps, options.repeats)


def apart(row: str, names: Sequence[str], options: Any) -> dict[str, timing.Spread]:
    """Time each contestant in its own process, one after the other."""
    results = {}
    for name in [OURS, *names]:
        package = OTHERS[name][0] if name in OTHERS else ""
        command = [sys.executable, __file__, "--only", row, "--alone", name, "--peers", package]
        command += ["--threads", str(options.threads), "--repeats", str(options.repeats)]
        command += ["--json", "-"] + ["--quick"] * options.quick
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"train_step: {name} alone failed:\n{done.stderr}")
        spreads = json.loads(done.stdout.splitlines()[-1])[row]
        results.update({name: timing.Spread(**s) for name, s in spreads.items()})
    return results


def line(title: str, spreads: dict[str, timing.Spread], names: Sequence[str]) -> list[str]:
    """A row of the table: each contestant's times, the best peer, and its time over ours."""
    cells = [str(spreads[name]) if name in spreads else "–" for name in names]
    winner = timing.best({name: s for name, s in spreads.items() if name != OURS})
    if winner is None or OURS not in spreads:
        return [title, *cells, "–", "–"]
    return [title, *cells, winner, f"{spreads[winner].median / spreads[OURS].median:.2f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="dense, dense-32, …")
    parser.add_argument("--peers", default="torch,jax", help="any of torch,jax; '' for none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10, help="blocks per contestant")
    parser.add_argument("--separate", action="store_true", help="one process per contestant")
    parser.add_argument("--alone", default="", help="time one contestant by its name")
    parser.add_argument(
        "--json", metavar="FILE", help="also write the figures; - prints them as the last line"
    )
    parser.add_argument("--quick", action="store_true", help="tiny batches: does it run?")
    options = parser.parse_args(arguments)
    timing.limit_threads(options.threads)  # before anything imports NumPy
    common = importlib.import_module("benchmarks.recipes.common")
    names = runnable(options.peers)
    figures, lines, floors = {}, [], []
    rows = races(options.only, options.quick)
    with timing.Neighbours() as others:
        machine = measure_machine([], options.threads, 64 if options.quick else 1024)
        for row, network, n in rows:
            spreads = (
                apart(row, names, options) if options.separate else race(network, n, names, options)
            )
            figures[row] = {name: s._asdict() for name, s in spreads.items()}
            lines.append((f"{network.title} × {n}", spreads))
            work = work_of_step(network.model(), network.data(n))
            ours = spreads.get(OURS)
            floors.append(work.columns(machine, ours.median, 1e3) if ours else ["–"] * 3)
            print(f"{row}: {', '.join(line(*lines[-1], [OURS])[1:])}", file=sys.stderr, flush=True)
    shown = list(dict.fromkeys(name for _, spreads in lines for name in spreads))
    heads = ["network × batch", *shown, "best peer", "ratio", *COLUMNS]
    title = f"ms a training step: median (quartiles), {options.threads} threads, float32; {machine}"
    table = [line(row, spreads, shown) + cells for (row, spreads), cells in zip(lines, floors)]
    common.table(title, heads, table)
    print(others)
    print(common.machine())
    if options.json == "-":
        print(json.dumps(figures))
    elif options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
