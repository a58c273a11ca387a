"""The cost of starting: import, first training step, size on disk, memory.

    python benchmarks/start.py [--only import step size memory] [--peers torch]
    python benchmarks/start.py --quick          # does it run?

import    ``import tinyae`` against ``import numpy``, each in fresh processes, in turns
step      from the start of ``import tinyae`` to the end of the first training step, with an
          empty Numba cache and with a filled one
size      bytes of the installed packages: tinyae with NumPy, with Numba, with all dependencies
memory    the peak resident set of a process that trains 784-64-784 on Fashion-MNIST for one
          epoch at batch 32, and of one that does the same with PyTorch. Both read the same file,
          either all of it as float32 (188 MB), or as one byte per pixel (47 MB) with each batch
          converted separately; with the Numba kernels and with the NumPy kernels, which suit
          machines with little memory
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import timing
from benchmarks.peers import present

ROOT = Path(__file__).resolve().parent.parent

IMPORT = """
import time
began = time.perf_counter()
import {module}
print(time.perf_counter() - began)
"""

FIRST_STEP = """
import time
began = time.perf_counter()
import numpy as np
import tinyae as ta
from benchmarks.peers.networks import NETWORKS
network = NETWORKS[{network!r}]
model, x, rng = network.model(), network.data({n}), np.random.default_rng(0)
optimizer = ta.Adam(1e-3)
for _ in range(2):
    model.backprop(x, rng)
    optimizer.step(model.params)
    print(time.perf_counter() - began)
"""

PEAK = """
from benchmarks.timing import peak_memory
print(peak_memory())
"""

TRAINED_FLOAT = """
import numpy as np
import tinyae as ta
x = np.load({file!r}).astype(np.float32)
x /= 255
pair = ta.dense_encoder_decoder((1, 28, 28), [64], code_activation=ta.ReLU, rng=np.random.default_rng(0))
model = ta.Autoencoder(*pair, ta.MSE())
ta.fit(model, x, epochs=1, batch_size=32, optimizer=ta.Adam(1e-3), progress=False)
"""

TRAINED_BYTES = """
import numpy as np
import tinyae as ta
x, rng = np.load({file!r}), np.random.default_rng(0)
pair = ta.dense_encoder_decoder((1, 28, 28), [64], code_activation=ta.ReLU, rng=rng)
model, optimizer = ta.Autoencoder(*pair, ta.MSE()), ta.Adam(1e-3)
order = rng.permutation(len(x))
for start in range(0, len(x), 32):
    model.backprop(x[order[start : start + 32]].astype(np.float32) / np.float32(255), rng)
    optimizer.step(model.params)
"""

TORCH = """
import numpy as np
import torch
from torch import nn
torch.set_num_threads({threads})
net = nn.Sequential(
    nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 784), nn.Sigmoid(),
    nn.Unflatten(1, (1, 28, 28)),
)
optimizer, loss = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True), nn.MSELoss()
x = {data}
order = torch.randperm(len(x))
for start in range(0, len(x), 32):
    batch = {batch}
    optimizer.zero_grad()
    loss(net(batch), batch).backward()
    optimizer.step()
"""
TORCH_FLOAT = (
    "torch.from_numpy(np.load({file!r})).float().div_(255)",
    "x[order[start : start + 32]]",
)
TORCH_BYTES = ("torch.from_numpy(np.load({file!r}))", "x[order[start : start + 32]].float() / 255")


class Children:
    """New processes with precompiled bytecode, like that of an installed package.

    The bytecode is kept in a separate folder, so that nothing is written beside the sources.
    """

    def __init__(self, threads: int, folder: Path) -> None:
        self.folder = folder
        self.settings = {
            **os.environ,
            **dict.fromkeys(timing.THREADS, str(threads)),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
            "NUMBA_CACHE_DIR": str(folder / "numba"),
        }

    def run(self, code: str, numba: str = "numba", kernels: str = "") -> list[float]:
        """The numbers that a program prints. ``numba`` is the folder of Numba's cache, and
        ``kernels`` the kernel set, if not the default.

        Raises
            RuntimeError  the program failed
        """
        settings = {**self.settings, "NUMBA_CACHE_DIR": str(self.folder / numba)}
        if kernels:
            settings["TINYAE_KERNELS"] = kernels
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"start: a child process failed:\n{done.stderr}")
        return [float(line) for line in done.stdout.split()]


def imports(children: Children, repeats: int) -> list[list[str]]:
    seconds: dict[str, list[float]] = {"numpy": [], "tinyae": []}
    for k in range(repeats + 1):
        for module, found in seconds.items():
            took = children.run(IMPORT.format(module=module))
            if k:  # the first run compiles to bytecode
                found += took
    numpy, tinyae = (timing.spread(found) for found in seconds.values())
    more = (tinyae.median - numpy.median) * 1e3
    return [
        ["import numpy", f"{numpy} ms", ""],
        ["import tinyae", f"{tinyae} ms", ""],
        ["more than numpy's", f"{timing.digits(more)} ms", "≤ 30 ms"],
    ]


def first_steps(children: Children, repeats: int, networks: Sequence[str]) -> list[list[str]]:
    from benchmarks.peers.networks import NETWORKS

    rows = []
    for key in networks:
        network = NETWORKS[key]
        code = FIRST_STEP.format(network=key, n=network.batches[0])
        children.run(code)  # compiles to bytecode
        empty = children.run(code, numba=key)[0]
        warm = timing.spread([children.run(code, numba=key)[0] for _ in range(repeats)]).median
        reach = ("≤ 8 s", "≤ 1 s") if key == "dense" else ("", "")
        rows += [
            [f"{network.title}, empty cache", f"{empty:.2f} s", reach[0]],
            [f"{network.title}, warm", f"{warm:.2f} s", reach[1]],
        ]
    return rows


def sizes(peers: Sequence[str]) -> list[list[str]]:
    files = (
        f for f in (ROOT / "tinyae").rglob("*") if f.is_file() and "__pycache__" not in f.parts
    )
    tinyae = sum(f.stat().st_size for f in files)
    asked = ["numpy", "numba", "llvmlite", "matplotlib", "tqdm"]
    have = {name: size for name in [*asked, *peers] if (size := installed_size(name)) is not None}
    rows = [["size of tinyae itself", megabytes(tinyae), ""]]
    total = tinyae
    for name in asked:
        if name in have:
            total += have[name]
            rows.append([f"… and {name}", megabytes(total), ""])
    return rows + [
        [f"size of {name} alone", megabytes(have[name]), ""] for name in peers if name in have
    ]


def installed_size(name: str) -> int | None:
    """The bytes of a package's files, as in its wheel; None if it is not installed."""
    try:
        files = importlib.metadata.distribution(name).files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = (Path(str(f.locate())) for f in files if f.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths if path.exists())


def memory(children: Children, threads: int, peers: Sequence[str], quick: bool) -> list[list[str]]:
    import numpy as np

    import tinyae as ta

    rows, has_numba = [], importlib.util.find_spec("numba") is not None
    if quick:
        x = ta.data.make_strokes(64, np.random.default_rng(0))[0]
    else:
        x = ta.data.load("fashion-mnist").x_train
    file = str(children.folder / "x.npy")
    np.save(file, np.rint(x * 255).astype(np.uint8))
    for title, ours, (data, batch) in (
        ("all as float32", TRAINED_FLOAT, TORCH_FLOAT),
        ("a byte a pixel", TRAINED_BYTES, TORCH_BYTES),
    ):
        theirs = None
        if "torch" in peers:
            code = TORCH.format(threads=threads, data=data.format(file=file), batch=batch)
            theirs = children.run(code + PEAK)[0]
        for kernels in ["numba"] * has_numba + ["numpy"]:
            code = ours.format(file=file) + PEAK
            # compile first, because compiling needs memory, too
            children.run(code, kernels=kernels)
            used = children.run(code, kernels=kernels)[0]
            cells = [megabytes(used), ""]
            if theirs is not None:
                cells = [megabytes(used), "≤ 0.5"]
                cells[0] += f"; PyTorch {megabytes(theirs)}; ratio {used / theirs:.2f}"
            rows.append([f"peak memory, {title}, {kernels} kernels", *cells])
    return rows


def megabytes(size: float) -> str:
    return f"{timing.digits(size / 1e6)} MB"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    questions = ["import", "step", "size", "memory"]
    parser.add_argument("--only", nargs="+", choices=questions, default=questions)
    parser.add_argument("--networks", nargs="+", default=["dense", "conv", "vae"])
    parser.add_argument("--peers", default="torch", help="torch; '' for none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15, help="processes per import")
    parser.add_argument("--quick", action="store_true", help="once each, small: does it run?")
    options = parser.parse_args(arguments)
    timing.limit_threads(options.threads)  # before anything imports NumPy
    common = importlib.import_module("benchmarks.recipes.common")
    peers = present(options.peers, ["torch"])
    repeats, networks = options.repeats, options.networks
    if options.quick:
        repeats, networks = 1, networks[:1]
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder, timing.Neighbours() as others:
        children = Children(options.threads, Path(folder))
        if "import" in options.only:
            rows += imports(children, repeats)
        if "step" in options.only:
            rows += first_steps(children, min(repeats, 5), networks)
        if "size" in options.only:
            rows += sizes(peers)
        if "memory" in options.only:
            rows += memory(children, options.threads, peers, options.quick)
    common.table("To begin", ["", "measured", "reach"], rows)
    print(others)
    print(common.machine())


if __name__ == "__main__":
    main()
