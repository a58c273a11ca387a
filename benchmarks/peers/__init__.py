"""The networks of the benchmarks, and their translations to other libraries.

networks.py     the networks, as tinyae models with their data
with_torch.py   the same layers and weights in PyTorch: eager, fused Adam, torch.compile, inference
with_jax.py     in JAX: one jitted function per training step
with_onnx.py    as an ONNX graph in ONNX Runtime

Each translates a tinyae model layer by layer, so that every network is defined once and all start
from the same weights. Packages that are not installed are reported and skipped.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence

NEEDS = {"torch": ["torch"], "jax": ["jax"], "onnxruntime": ["onnxruntime", "onnx"]}


def present(wanted: str, known: Sequence[str]) -> list[str]:
    """Those of the ``wanted`` peers, e.g. "torch,jax", that are installed; reports the others.

    Raises
        ValueError  a name is not among the ``known``
    """
    installed = []
    for peer in filter(None, wanted.split(",")):
        if peer not in known:
            raise ValueError(f"peers: there is no {peer!r}, expected some of {','.join(known)}")
        missing = [name for name in NEEDS[peer] if importlib.util.find_spec(name) is None]
        if missing:
            names = " ".join(missing)
            print(f"skipped: {peer}; {names} not installed; run pip install {names}", flush=True)
        else:
            installed.append(peer)
    return installed


def compiler() -> str | None:
    """The C++ compiler that torch.compile needs, or None."""
    return shutil.which("g++") or shutil.which("clang++")
