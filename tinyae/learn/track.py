"""The exercises in their order, and the file that a learner gets for each."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

# From easy to hard, in parts.
PARTS = {
    "mse": "Losses",
    "dense_dw": "Layers",
    "autoencoder": "Autoencoders",
    "batch_norm": "Batches and images",
    "reparameterisation": "Models that generate",
    "capstone": "All together",
    "silu": "What newer models are made of",
}
ORDER = (
    "mse",
    "numeric_gradient",
    "bce_with_logits",
    "softmax_cross_entropy",
    "softmax_vjp",
    "dense_dw",
    "dense_dx_db",
    "relu",
    "sigmoid_tanh",
    "autoencoder",
    "tied_weights",
    "penalties",
    "dropout_denoising",
    "sparse_kl",
    "contractive",
    "batch_norm",
    "conv2d_dw_db",
    "conv2d_dx",
    "conv_transpose",
    "pool_upsample",
    "reparameterisation",
    "vae_kl",
    "gan_generator",
    "capstone",
    "silu",
    "embedding",
    "layer_norm",
    "straight_through",
    "attention",
    "gru_cell",
    "diffusion_weight",
    "gradient_penalty",
)


@dataclass(frozen=True)
class Exercise:
    """``fill`` names the functions to write. ``check(e)`` makes all checks by an Examiner.

    ``task`` describes the task if it is not to write those functions; ``names_lines`` is False if
    the task is to find the wrong lines, which the doctor then does not correct.
    """

    title: str
    fill: tuple[str, ...]
    hints: tuple[str, str, str]
    check: Callable[[Any], None]
    task: str = ""
    names_lines: bool = True


@dataclass(frozen=True)
class Entry:
    """An exercise's place in the track. Its files are read only when needed."""

    number: int
    name: str

    @property
    def part(self) -> str:
        """The heading that the exercise stands under first; "" for the others."""
        return PARTS.get(self.name, "")

    @property
    def id(self) -> str:
        return f"{self.number:02d}_{self.name}"

    @cached_property
    def exercise(self) -> Exercise:
        module = import_module(f"tinyae.learn.exercises.{self.name}")
        return module.EXERCISE

    @property
    def solution_path(self) -> Path:
        return HERE / "solutions" / f"{self.id}.py"

    def solution(self) -> str:
        return self.solution_path.read_text(encoding="utf-8")

    @property
    def library(self) -> tuple[Path, str]:
        """The file of the library that does what the exercise asks for, and the name in it."""
        see = re.search(r"^See    tinyae/(\S+), (\w+):", self.solution(), re.MULTILINE)
        assert see is not None, f"{self.id} does not say where the library does it"
        return HERE.parent / see[1], see[2]

    def start(self) -> str:
        """The text of the learner's file at the start."""
        own = HERE / "starts" / f"{self.id}.py"
        if own.exists():
            return own.read_text(encoding="utf-8")
        return without_bodies(self.solution(), self.exercise.fill)


TRACK = tuple(Entry(i + 1, name) for i, name in enumerate(ORDER))


def find(text: str) -> Entry:
    """6, 06, dense_dw, 06_dense_dw, or the exercise's file.

    Raises
        ValueError  there is no such exercise
    """
    wanted = Path(text).name.removesuffix(".py")
    for entry in TRACK:
        if wanted in (entry.name, entry.id) or (wanted.isdecimal() and int(wanted) == entry.number):
            return entry
    raise ValueError(
        f"there is no exercise {text!r}; pass a number from 1 to {len(TRACK)} or a name such as "
        f"{TRACK[5].id}: `tinyae learn list` shows them"
    )


def without_bodies(source: str, names: tuple[str, ...]) -> str:
    """The source with those functions' bodies reduced to a docstring and NotImplementedError."""
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            docstring = node.body[0]
            assert isinstance(docstring, ast.Expr), f"{node.name} needs a docstring"
            assert docstring.end_lineno is not None
            lines[docstring.end_lineno : node.end_lineno] = ["    raise NotImplementedError"]
    return "\n".join(lines) + "\n"
