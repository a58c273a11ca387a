"""How training scales with rows, steps, threads, width and depth.

    python benchmarks/scale.py [--only rows steps threads width depth workers] [--threads 2]
    python benchmarks/scale.py --quick          # does it run?

    rows      µs per sample of ``ta.fit`` on a memory-mapped file of 1 thousand to 1 million rows
              (256 MB), 64-32-8-32-64 at batch 128. Peak memory is the process's private memory,
              without the pages of the file, which the system may drop
    steps     private memory after a number of training steps, which must not grow
    threads   ms per training step of every network with one thread and with two
    width     784-w-784 at batch 128: ms grow linearly in w once matrix products dominate
    depth     256-256-…-256 at batch 128: ms grow linearly in the number of layers
    workers   on paper, at what batch tinyae.distributed pays: µs a sample and the weights' bytes
              are measured here, and so is Dask's time for a task; the network's speed is assumed

Each row of the first three is measured in its own process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import timing

ROOT = Path(__file__).resolve().parent.parent
FEATURES, BATCH = 64, 128

FITTED = """
import numpy as np
import tinyae as ta
from benchmarks import timing
x = np.load({file!r}, mmap_mode="r")[:{rows}]
pair = ta.dense_encoder_decoder(({features},), [32, 8], rng=np.random.default_rng(0))
model = ta.Autoencoder(*pair, ta.MSE())
ta.fit(model, x[:{batch}], epochs=2, batch_size={batch}, progress=False)  # compiles what there is
with timing.Held() as held:
    history = ta.fit(model, x, epochs={epochs}, batch_size={batch}, progress=False)
print(float(np.median(history["seconds"])) / len(x), held.before, held.most)
"""

STEPPED = """
from benchmarks import timing
from benchmarks.peers.networks import NETWORKS
from benchmarks.train_step import our_step
network = NETWORKS[{network!r}]
step = our_step(network, network.data(network.batches[0]))
taken = 0
for steps in {counts}:
    while taken < steps:
        step()
        taken += 1
    print(timing.held_memory())
"""


def child(arguments: Sequence[str], threads: int) -> str:
    """What a fresh Python process prints."""
    pools = dict.fromkeys(timing.THREADS, str(threads))
    settings = {**os.environ, **pools, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"scale: a child process failed:\n{done.stderr}")
    return done.stdout


def rows(common: Any, options: Any) -> None:
    import numpy as np

    counts = [1000] if options.quick else [10**3, 10**4, 10**5, 10**6]
    lines = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        file, rng = str(Path(folder) / "x.npy"), np.random.default_rng(0)
        x = np.lib.format.open_memmap(file, "w+", np.float32, (counts[-1], FEATURES))
        for start in range(0, len(x), 10**5):
            x[start : start + 10**5] = rng.random(x[start : start + 10**5].shape, np.float32)
        x.flush()
        for count in counts:
            epochs = 1 if options.quick else max(1, 10**5 // count)
            names = {"file": file, "rows": count, "features": FEATURES, "batch": BATCH}
            code = FITTED.format(**names, epochs=epochs)
            seconds, before, most = map(float, child(["-c", code], options.threads).split())
            grown = (most - before) / 1e6
            more = [f"{x.itemsize * FEATURES * count / 1e6:,.1f}", f"{before / 1e6:.0f}"]
            lines.append([f"{count:,}", timing.digits(seconds * 1e6), *more, f"{grown:.1f}"])
    common.table(
        "Rows of a memory-mapped file; reach: µs flat, memory flat",
        ["rows", "µs a sample", "file, MB", "held before, MB", "at most, MB more"],
        lines,
    )


def steps(common: Any, options: Any) -> None:
    counts = [5, 10] if options.quick else [100, 500, 2000]
    lines = []
    for key in ["dense"] if options.quick else ["dense", "ecg", "conv"]:
        code = STEPPED.format(network=key, counts=counts)
        held = [float(line) for line in child(["-c", code], options.threads).split()]
        grown = (held[-1] - held[-2]) / (counts[-1] - counts[-2])
        lines.append([key, *(f"{h / 1e6:.2f}" for h in held), f"{grown:,.0f}"])
    heads = ["MB held", *(f"after {count:,} steps" for count in counts), "bytes a step, lately"]
    common.table("Memory held; reach: 0 bytes a step", heads, lines)


def threads(common: Any, options: Any) -> None:
    script = [str(ROOT / "benchmarks" / "train_step.py"), "--peers", "", "--json", "-"]
    script += ["--quick", "--only", "dense-32"] if options.quick else ["--repeats", "5"]
    results = []
    for count in (1, 2):
        printed = child([*script, "--threads", str(count)], count)
        figures = json.loads(printed.splitlines()[-1])
        results.append(
            {row: timing.Spread(**spreads["tinyae"]) for row, spreads in figures.items()}
        )
    one, two = results
    common.table(
        "ms a training step: median (quartiles)",
        ["network-batch", "1 thread", "2 threads", "times faster"],
        [
            [row, str(one[row]), str(two[row]), f"{one[row].median / two[row].median:.2f}"]
            for row in one
        ],
    )


def width(common: Any, options: Any) -> None:
    widths = [4, 8] if options.quick else [16, 64, 256, 1024]
    sizes = {f"784-{w}-784": (784, [w]) for w in widths}
    grown(common, options, "Width", sizes)


def depth(common: Any, options: Any) -> None:
    depths = [1, 2] if options.quick else [1, 2, 4, 8]
    sizes = {f"{2 * d} layers of 256": (256, [256] * d) for d in depths}
    grown(common, options, "Depth", sizes)


def grown(common: Any, options: Any, title: str, sizes: dict[str, tuple[int, list[int]]]) -> None:
    """One row for each network: ms per step and GFLOP/s.

    A step takes 2·N·|W| operations forward, as many for dW, and as many for dx except in the first
    layer.
    """
    runs = {name: stepper(*size) for name, size in sizes.items()}
    plan = {"repeats": 1, "settle": 0.0, "block": 0.0} if options.quick else {"repeats": 4}
    spreads = timing.interleaved({name: run for name, (run, _, _) in runs.items()}, **plan)
    lines = []
    for name, (_, weights, first) in runs.items():
        rate = 2 * BATCH * (3 * weights - first) / spreads[name].median
        lines.append([name, f"{weights:,}", str(spreads[name]), f"{rate / 1e9:.0f}"])
    common.table(title, ["network", "weights", "ms a step", "GFLOP/s"], lines)


def stepper(features: int, units: list[int]) -> tuple[Callable[[], float], int, int]:
    """A training step, the number of weights, and the number of weights in the first layer."""
    import numpy as np

    import tinyae as ta
    from benchmarks.peers.networks import Network
    from benchmarks.train_step import our_step

    def make(rng: np.random.Generator) -> ta.Autoencoder:
        return ta.Autoencoder(*ta.dense_encoder_decoder((features,), units, rng=rng), ta.MSE())

    network = Network("", make, (features,), (BATCH,))
    sizes = [p.size for p in network.model().params.values() if len(p.shape) > 1]
    return our_step(network, network.data(BATCH)), sum(sizes), sizes[0]


def workers(common: Any, options: Any) -> None:
    """From which batch W workers are faster than one, and which is half as fast as W times one.

    A batch of B rows takes s B on one worker. On W it takes s B / W and what is sent: the weights
    go out and the gradients come back along a tree, ⌈log₂ W⌉ hops each of a task's time o and S bytes at
    β bytes a second:

        T(W) = s B / W + c,   c = 2 (⌈log₂ W⌉ + 1) (o + S / β)
        faster than one from B = c / (s (1 − 1/W)) on;  an efficiency of ½ from B = c W / s on

    With weights averaged every K steps c is paid once for K batches, so both are divided by K.
    """
    overhead = task_seconds(options.quick)
    shapes = {
        "784-64-784": (784, [64]),
        "784-1000-500-250-30 and back": (784, [1000, 500, 250, 30]),
    }
    if options.quick:
        shapes = {"8-4-8": (8, [4])}
    runs = {name: stepper(*size) for name, size in shapes.items()}
    plan = {"repeats": 1, "settle": 0.0, "block": 0.0} if options.quick else {"repeats": 4}
    spreads = timing.interleaved({name: run for name, (run, _, _) in runs.items()}, **plan)
    lines = []
    for name, (_, weights, _) in runs.items():
        seconds, size = spreads[name].median / BATCH, 4 * weights
        for count in (2, 8, 32):
            cells = []
            for rate in (125e6, 1250e6):  # bytes a second: 1 and 10 Gbit/s
                c = 2 * (math.ceil(math.log2(count)) + 1) * (overhead + size / rate)
                least, half = c / (seconds * (1 - 1 / count)), c * count / seconds
                cells += [f"{least:,.0f}", f"{half:,.0f}", f"{half / 16:,.0f}"]
            lines.append([name, f"{seconds * 1e6:.1f}", f"{size / 1e6:.2f}", str(count), *cells])
    heads = ["network", "µs a sample", "MB", "workers"]
    for rate in ("1", "10"):
        heads += [f"{rate} Gbit/s: faster from", "half from", "half, K = 16"]
    common.table(
        f"Rows of a batch from which workers pay; a task takes {overhead * 1e3:.1f} ms",
        heads,
        lines,
    )


def task_seconds(quick: bool) -> float:
    """What Dask takes to send a small task to another process and to fetch its result."""
    from dask.distributed import Client, LocalCluster

    settings = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**settings, processes=not quick) as cluster, Client(cluster) as client:
        client.submit(abs, -1, pure=False).result()
        times = []
        for _ in range(3 if quick else 50):
            start = time.perf_counter()
            client.submit(abs, -1, pure=False).result()
            times.append(time.perf_counter() - start)
    return min(times)


QUESTIONS = {
    "rows": rows,
    "steps": steps,
    "threads": threads,
    "width": width,
    "depth": depth,
    "workers": workers,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="for the file of rows; the system's for passing files")
    parser.add_argument("--quick", action="store_true", help="small: does it run?")
    options = parser.parse_args(arguments)
    timing.limit_threads(options.threads)  # before anything imports NumPy
    common = importlib.import_module("benchmarks.recipes.common")
    with timing.Neighbours() as others:
        for name in options.only:
            QUESTIONS[name](common, options)
    print(others)
    print(common.machine())


if __name__ == "__main__":
    main()
