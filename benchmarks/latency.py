"""The time of a reconstruction of 1, 32 and 1,024 samples, against ONNX Runtime and PyTorch.

    python benchmarks/latency.py [--only dense conv] [--batches 1 32 1024] [--peers onnxruntime,torch]
    python benchmarks/latency.py --quick        # does it run?

Each call maps a float32 NumPy array to another. Contestants take turns in one process (timing.py);
the table gives the median and quartiles in microseconds. Before timing, all reconstructions must
agree to 1e-5. Networks: peers/networks.py.

    tinyae       model.compile(), one call per batch
    ORT 1, 2     ONNX Runtime with one and two threads and all graph optimisations
    PyTorch      the modules under inference_mode, with --threads threads

``vs ORT`` and ``vs PyTorch`` are their medians over ours; for ONNX Runtime, the better of the two.
``floor``, ``share`` and ``of`` are those of floor.py.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import timing
from benchmarks.floor import COLUMNS, measure_machine, work_of_inference
from benchmarks.peers import present

OURS, PEERS = "tinyae", ["onnxruntime", "torch"]


def ours(model: Any, x: Any) -> Callable[[], Any]:
    compiled = model.compile()
    return lambda: compiled(x)


def contestants(
    network: Any, n: int, peers: Sequence[str], threads: int
) -> dict[str, Callable[[], Any]]:
    """Name → a call that gives the reconstruction, ours first."""
    model, x = network.model(), network.data(n)
    calls = {OURS: ours(model, x)}
    if "onnxruntime" in peers:
        with_onnx = importlib.import_module("benchmarks.peers.with_onnx")
        calls |= {f"ORT {k}": with_onnx.inference(model, x, k) for k in (1, 2)}
    if "torch" in peers:
        with_torch = importlib.import_module("benchmarks.peers.with_torch")
        calls["PyTorch"] = with_torch.inference(model, x, threads)
    return calls


def same_output(calls: dict[str, Callable[[], Any]], want: Any) -> None:
    """Raise unless every call gives the same reconstruction.

    Raises
        ValueError  one has another shape, or differs by more than 1e-5
    """
    for name, call in calls.items():
        got = call()
        if got.shape != want.shape or not abs(got - want).max() <= 1e-5:
            off = abs(got - want).max() if got.shape == want.shape else f"of shape {got.shape}"
            raise ValueError(
                f"latency: {name}'s reconstruction is {off}, expected {want.shape}, 1e-5"
            )


def ratio(spreads: dict[str, timing.Spread], name: str) -> str:
    """The best median of the peers whose names start with ``name``, over ours."""
    winner = timing.best({k: s for k, s in spreads.items() if k.startswith(name)})
    return "–" if winner is None else f"{spreads[winner].median / spreads[OURS].median:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NETWORK", help="dense, ecg, conv, …")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 1024])
    parser.add_argument("--peers", default=",".join(PEERS), help="any of them; '' for none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10, help="blocks per contestant")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="one call each: does it run?")
    options = parser.parse_args(arguments)
    timing.limit_threads(options.threads)  # before anything imports NumPy
    common = importlib.import_module("benchmarks.recipes.common")
    networks = importlib.import_module("benchmarks.peers.networks").NETWORKS
    chosen = options.only or list(networks)
    if unknown := set(chosen) - set(networks):
        parser.error(f"--only is {', '.join(unknown)}, expected some of {', '.join(networks)}")
    peers = present(options.peers, PEERS)
    plan = {"repeats": options.repeats}
    if options.quick:
        plan = {"repeats": 1, "settle": 0.0, "block": 0.0}
    results, figures = [], {}
    with timing.Neighbours() as others:
        machine = measure_machine([], options.threads, 64 if options.quick else 1024)
        for key in chosen:
            network = networks[key]
            for n in [min(n, 8) for n in options.batches] if options.quick else options.batches:
                calls = contestants(network, n, peers, options.threads)
                same_output(calls, network.model().reconstruct(network.data(n)))
                spreads = timing.interleaved(calls, **plan)
                work = work_of_inference(network.model(), network.data(n))
                floor = work.columns(machine, spreads[OURS].median, 1e6)
                results.append((f"{network.title} × {n}", spreads, floor))
                figures[f"{key}-{n}"] = {name: s._asdict() for name, s in spreads.items()}
    names = list(results[0][1])
    common.table(
        f"µs a call: median (quartiles), {options.threads} threads where not said otherwise; {machine}",
        ["network × batch", *names, "vs ORT", "vs PyTorch", *COLUMNS],
        [
            [
                title,
                *(s[name].microseconds() for name in names),
                ratio(s, "ORT"),
                ratio(s, "PyTorch"),
                *floor,
            ]
            for title, s, floor in results
        ],
    )
    print(others)
    print(common.machine())
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
