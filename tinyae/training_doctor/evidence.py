"""What the run doctor looks at: a copy of the model, some samples, and what becomes of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tinyae.data.batches import count, rows
from tinyae.layers import Module, ReLU, Sigmoid, Tanh, TopK
from tinyae.models import (
    GAN,
    Autoencoder,
    Model,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from tinyae.models.checks import output_range
from tinyae.optim import Optimizer
from tinyae.param import Array
from tinyae.training import History

_SAMPLES = 1024  # that the units are judged by
_FITTED = 4096  # that PCA learns from
_CHUNK = 256
FLAT = 0.01  # a sigmoid this near to 0 or 1 passes on less than a twentieth of its best slope


@dataclass
class Activity:
    """What the units of one ReLU, Sigmoid or Tanh do over all samples; of images, a channel is one.

    ``awake``     units that are above 0 for some sample
    ``highest``   each unit's largest input, and ``spread`` its deviation (NaN if the input is unknown)
    ``flat``      the share of each unit's outputs that lie where the curve is flat
    """

    name: str
    part: Module
    awake: Array
    highest: Array
    spread: Array
    flat: Array

    @property
    def units(self) -> int:
        return len(self.awake)


class _Tally:
    """Sums over chunks, so that no layer's output is kept."""

    def __init__(self, part: Module) -> None:
        self.part = part
        self.n = 0
        self.parts: list[tuple[Array, Array, Array, Array, Array]] = []

    def add(self, x: Array, y: Array) -> None:
        inputs, outputs = _by_unit(x).astype(np.float64), _by_unit(y)
        if isinstance(self.part, Tanh):
            outputs = 0.5 * (outputs + 1)
        self.n += len(outputs)
        flat = (outputs < FLAT) | (outputs > 1 - FLAT)
        self.parts.append(
            (
                outputs.max(axis=0) > 0,
                inputs.max(axis=0),
                inputs.sum(axis=0),
                np.square(inputs).sum(axis=0),
                flat.sum(axis=0),
            )
        )

    def activity(self, name: str) -> Activity:
        awake, highest, sums, squares, flat = (np.stack(column) for column in zip(*self.parts))
        mean = sums.sum(axis=0) / self.n
        spread = np.sqrt(np.maximum(squares.sum(axis=0) / self.n - mean**2, 0))
        shares = flat.sum(axis=0) / self.n
        return Activity(
            name, self.part, np.asarray(awake.any(axis=0)), highest.max(axis=0), spread, shares
        )


@dataclass
class Evidence:
    """Everything is found on copies: the model that is examined never runs."""

    model: Model
    history: History
    x: Any
    seed: int
    failure: str = ""
    optimizer: Optimizer | None = None
    batch_size: int = 32
    notes: list[str] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def rng(self) -> np.random.Generator:
        """A new generator, the same each time it is asked for."""
        return np.random.default_rng(self.seed)

    def twin(self) -> Any:
        """A copy that may run and learn."""
        return copy.deepcopy(self.model)

    @cached_property
    def sample(self) -> Any:
        """Up to 1,024 of the samples, in the model's dtype."""
        return self._take(_SAMPLES)

    def _take(self, most: int) -> Any:
        n = count(self.x)
        if n <= most:
            return self.model.as_input(self.x)
        chosen = np.sort(self.rng.permutation(n)[:most])
        return self.model.as_input(rows(self.x, chosen))

    def chunks(self, batch: Any) -> Iterator[Any]:
        """A few hundred rows at a time, at least two: a batch norm needs that many."""
        n = count(batch)
        for part in np.array_split(np.arange(n), max(n // _CHUNK, 1)):
            yield rows(batch, slice(part[0], part[-1] + 1))

    # --- layers ----------------------------------------------------------------------------

    @cached_property
    def activities(self) -> list[Activity]:
        """Of every activation that can die or saturate, by the names of ``trace``."""
        twin, rng = self.twin(), self.rng
        tallies: dict[str, _Tally] = {}
        # a model of one's own need not have a trace
        with np.errstate(all="ignore"), suppress(NotImplementedError):
            for chunk in self.chunks(self.sample):
                before: Array = np.empty(0)
                for name, y in twin.trace(chunk, rng):
                    part = _part(twin, name)
                    if isinstance(part, (ReLU, Sigmoid, Tanh)) and name != self.output_layer:
                        x = before if before.shape == y.shape else np.full_like(y, np.nan)
                        tallies.setdefault(name, _Tally(part)).add(x, y)
                    before = y
        return [tally.activity(name) for name, tally in tallies.items()]

    @property
    def decoder(self) -> Any:
        """What makes the data: the decoder, or a GAN's generator; None for a classifier."""
        return getattr(self.model, "generator", None) or getattr(self.model, "decoder", None)

    @cached_property
    def output_layer(self) -> str:
        """The name of the decoder's last layer that is not about shape."""
        if self.decoder is None:
            return ""
        _, last = output_range(self.decoder)
        prefix = "generator" if isinstance(self.model, GAN) else "decoder"
        return next((name for name, part in _walk(self.decoder, prefix) if part is last), "")

    @cached_property
    def code_layer(self) -> str:
        """The name of the encoder's last layer."""
        encoder = getattr(self.model, "encoder", None)
        if encoder is None:
            return ""
        return list(_walk(encoder, "encoder"))[-1][0]

    @property
    def sparse(self) -> bool:
        """Is the code paid for, so that many of its units should be silent?"""
        return isinstance(self.model, SparseAutoencoder)

    @property
    def top_k(self) -> int:
        """How many units of a code are not 0, where a TopK ends the encoder; else 0."""
        last = _part(self.model, self.code_layer) if self.code_layer else None
        return (last.inference_k or last.k) if isinstance(last, TopK) else 0

    # --- codes and reconstructions ----------------------------------------------------------

    @property
    def reconstructs(self) -> bool:
        return isinstance(self.model, (Autoencoder, VariationalAutoencoder))

    def pair(self, batch: Any) -> tuple[Any, Array]:
        """What the model is given, and what it must give back."""
        if isinstance(self.model, Autoencoder):
            return self.model.input_and_target(batch, self.rng)
        return batch, batch[0] if isinstance(batch, tuple) else batch

    @cached_property
    def source_and_target(self) -> tuple[Any, Array]:
        return self.pair(self.sample)

    @cached_property
    def codes(self) -> Array:
        """z of the sample, (N, …), in inference mode."""
        with np.errstate(all="ignore"):
            return np.asarray(self.twin().encode(self.source_and_target[0]), np.float64)

    @cached_property
    def reconstruction(self) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.twin().reconstruct(self.source_and_target[0]), np.float64)

    @cached_property
    def to_fit(self) -> Array:
        """Targets for PCA to learn from, more of them than the sample."""
        return self.pair(self._take(_FITTED))[1]

    @cached_property
    def posterior(self) -> tuple[Array, Array]:
        """μ and ln σ² of the sample, for a variational model."""
        twin = self.twin()
        parts = [twin.posterior(*twin._split(c)) for c in self.chunks(self.sample)]
        mu, logvar = (np.concatenate(p).astype(np.float64) for p in zip(*parts))
        return mu.reshape(len(mu), -1), logvar.reshape(len(mu), -1)


def _by_unit(y: Array) -> Array:
    """A column a unit: of images, a channel, with a row for each place."""
    return np.moveaxis(y, 1, -1).reshape(-1, y.shape[1]) if y.ndim > 1 else y[:, None]


def _part(model: Module, name: str) -> Module | None:
    part: Module | None = model
    for key in name.split("."):
        part = part.children.get(key) if part is not None else None
    return part


def _walk(part: Module, name: str) -> Iterator[tuple[str, Module]]:
    """A part's innermost layers, by name, in order."""
    if not part.children:
        yield name, part
    for key, child in part.children.items():
        yield from _walk(child, f"{name}.{key}")
