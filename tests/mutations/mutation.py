"""Mutation: an edit of one function, as data."""

from __future__ import annotations

import ast
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tinyae

ROOT = Path(tinyae.__file__).parent


@dataclass(frozen=True)
class Case:
    """The subject of a check: a layer or a model with x, or a loss with y and a target."""

    subject: Any
    x: Any
    target: Any = None

    @property
    def kind(self) -> str:
        if self.target is not None:
            return "loss"
        return "model" if hasattr(self.subject, "backprop") else "layer"


@dataclass(frozen=True)
class Mutation:
    """An edit of one function, and what a correct diagnosis says.

    name      describes the fault; its crc32 decides which half the mutation belongs to
    file      in tinyae/
    where     the function, e.g. "Dense.backward_params", in which ``old`` occurs exactly once
    old, new  source text
    subject   builds a Case from the (mutated) library
    wrong     the wrong gradients, by the check's row names
    kinds     correct first findings: "factor", or "factor:1/N" if a word must occur in the text;
              several words are separated by "|"
    seen_by   "check": the analytic gradient differs from the numeric one, or the check reports
              another fault. "two forwards": only a second forward before the backward shows it
    parts     other gradients that may be named: those of the faulty part
    """

    name: str
    file: str
    where: str
    old: str
    new: str
    subject: Callable[[Any], Case]
    wrong: tuple[str, ...]
    kinds: tuple[str, ...]
    seen_by: str = "check"
    parts: tuple[str, ...] = ()

    @property
    def tuned(self) -> bool:
        """Whether the doctor may be tuned on it."""
        return zlib.crc32(self.name.encode()) % 2 == 0

    def source(self) -> str:
        return (ROOT / self.file).read_text(encoding="utf-8")

    def function(self) -> tuple[int, str, str]:
        """The function's first line number, its text, and its text after the edit.

        Raises
            LookupError  the source has changed: no such function, or ``old`` does not occur once
        """
        part = _definition(ast.parse(self.source()), self.where)
        if part is None:
            raise LookupError(f"{self.name}: {self.file} has no {self.where} (any more)")
        lines = self.source().splitlines(keepends=True)[part.lineno - 1 : part.end_lineno]
        text = "".join(lines)
        if text.count(self.old) != 1:
            raise LookupError(
                f"{self.name}: {self.where} in {self.file} holds the old text "
                f"{text.count(self.old)} times, expected once: follow the source with the bank"
            )
        return part.lineno, text, text.replace(self.old, self.new)

    def patched(self) -> str:
        """The edited source of the whole file."""
        first, text, edited = self.function()
        lines = self.source().splitlines(keepends=True)
        rest = lines[first - 1 + len(text.splitlines()) :]
        return "".join([*lines[: first - 1], edited, *rest])

    def lines(self) -> set[str]:
        """The edited lines before and after, without indentation."""
        _, text, edited = self.function()
        return {line.strip() for line in set(text.splitlines()) ^ set(edited.splitlines())}

    def case(self, readable: bool = False) -> Case:
        """The subject to diagnose; its source is hidden unless ``readable``."""
        from .library import mutated

        return self.subject(mutated(self, readable))


def _definition(tree: ast.AST, where: str) -> Any:
    for name in where.split("."):
        found = [n for n in ast.iter_child_nodes(tree) if getattr(n, "name", None) == name]
        if len(found) != 1:
            return None
        tree = found[0]
    return tree


def normal(seed: int, *shape: int) -> Any:
    """Random numbers, away from kinks at 0."""
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.1, 2, shape)
