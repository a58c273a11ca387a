"""Many threads at once, forks among them, and very many steps.

The laws: inference by any number of threads gives each the bits that one thread alone gets, also
while others change kernels. A child can compute, whatever the other threads did at its fork. And a
training of any length keeps to its memory.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import tinyae as ta
from tinyae import catalog, kernels
from tinyae.memory import keep_freed_memory

THREADS, CALLS = 8, 25
FORKS, CHILD_SECONDS = 10, 20
STEPS = 1000  # of one training
LEAK = 1 << 23  # bytes by which a training may grow after its first steps


def _models(chance: random.Random) -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(chance.getrandbits(32))
    model, x = chance.choice(catalog.MODELS[:6]).draw(
        lambda low, high: chance.randint(low, high), rng
    )
    rows = chance.choice([2, 5, 16, 40, 200])
    return model.astype(np.float32), np.concatenate([x] * rows).astype(np.float32)


def threads(chance: random.Random, folder: Path) -> str | None:
    """Eight threads call a model, its compiled form and layers, some of them changing kernels."""
    model, x = _models(chance)
    compiled = model.compile()
    changing = chance.random() < 0.5
    calls = (model.reconstruct, model.encode, compiled, model.reconstruction_error)
    want = {}
    for name in ("numba", "numpy"):
        with kernels.use(name):
            want[name] = [call(x).tobytes() for call in calls]
    default, ready = kernels.active(), threading.Barrier(THREADS)

    def work(seed: int) -> str | None:
        own = random.Random(seed)
        ready.wait()
        for _ in range(CALLS):
            name = own.choice(["numba", "numpy"]) if changing else default
            k = own.randrange(len(calls))
            with kernels.use(name):
                if calls[k](x).tobytes() != want[name][k]:
                    return f"{model}, call {k} with {name}: other bits"
            if kernels.active() != default:
                return f"{kernels.active()} after a block with {name}"
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        return next(
            filter(None, pool.map(work, [chance.getrandbits(32) for _ in range(THREADS)])), None
        )


def forks(chance: random.Random, folder: Path) -> str | None:
    """The process forks while a thread trains with NumPy's kernels; each child takes a step, too.

    A product is shared by the threads of OpenBLAS only where OPENBLAS_NUM_THREADS is not 1.
    """
    rng, stopped = np.random.default_rng(chance.getrandbits(32)), threading.Event()
    x = rng.random((chance.choice([64, 256]), 300), np.float32)

    def train() -> None:
        model, optimizer = _network(), ta.Adam()
        with kernels.use("numpy"):
            while not stopped.is_set():
                model.backprop(x)
                optimizer.step(model.params)

    threads = [threading.Thread(target=train) for _ in range(chance.choice([1, 2]))]
    for thread in threads:
        thread.start()
    try:
        return next(filter(None, (_forked_step(x, chance) for _ in range(FORKS))), None)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _network() -> ta.Autoencoder:
    rng = np.random.default_rng(0)
    return ta.Autoencoder(ta.Dense(300, 200, rng=rng), ta.Dense(200, 300, rng=rng), ta.MSE())


def _forked_step(x: np.ndarray, chance: random.Random) -> str | None:
    time.sleep(chance.random() / 100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with several threads
        child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_SECONDS)
        code = 1
        try:
            with kernels.use("numpy"):
                _network().backprop(x)
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGALRM:
        return f"a child waits for ever, or longer than {CHILD_SECONDS} s"
    return f"a child ended with {code}" if code else None


def long_run(chance: random.Random, folder: Path) -> str | None:
    """A thousand steps with batches of changing size: the process does not grow."""
    model, x = _models(chance)
    optimizer = chance.choice([ta.SGD, ta.Momentum, ta.RMSProp, ta.Adam, ta.AdamW])(1e-4)
    rng = np.random.default_rng(chance.getrandbits(32))
    keep_freed_memory()

    def step() -> None:
        model.backprop(x[: chance.randint(min(2, len(x)), len(x))], rng)
        optimizer.step(model.params)

    for _ in range(200):
        step()
    before = _resident_bytes()
    for _ in range(STEPS):
        step()
    grown = _resident_bytes() - before
    return f"{model}: {grown / 1e6:.1f} MB more after {STEPS} steps" if grown > LEAK else None


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * mmap.PAGESIZE
