"""Processes that are killed while they save.

The law: afterwards the file holds one complete version, and at most one temporary file is left,
which the next save deletes. On Linux none is left, but for the moment between two system calls.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import tinyae as ta

SAVER = """
import sys
import numpy as np
import tinyae as ta
layer = ta.Dense(300, 300, init=ta.Zeros())
layer.b.value[...] = 0
print("ready", flush=True)
while True:
    layer.b.value += 1
    ta.save(layer, sys.argv[1])
"""


def kill(rng: random.Random, folder: Path) -> str | None:
    """Kill a process that saves without end; then load, and save again."""
    path = folder / "m.npz"
    path.unlink(missing_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while not path.exists():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
    left = len(list(folder.iterdir())) - 1
    layer = ta.load(path)
    if len(np.unique(layer.b.value)) != 1:
        return "the file holds parts of two versions"
    ta.save(layer, path)
    if left > 1 or len(list(folder.iterdir())) != 1:
        return f"{left} temporary files, {len(list(folder.iterdir())) - 1} after another save"
    return None
