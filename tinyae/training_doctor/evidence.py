"""What the training doctor examines: a copy of the model, some samples, the layers' outputs."""

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

_SAMPLES = 1024  # for judging the units
_FITTED = 4096  # samples for fitting PCA
_CHUNK = 256  # samples in one forward pass
FLAT = 0.01  # a sigmoid this close to 0 or 1 has less than a twentieth of its largest slope
UNINFORMED = 0.9  # of the data's variance: a larger error means that the code tells nothing


@dataclass
class Activity:
    """The outputs of one ReLU, Sigmoid or Tanh over all samples; for images a unit is a channel.

    ``awake``      whether each unit is above 0 for some sample
    ``highest``    each unit's largest input
    ``deviation``  the standard deviation of each unit's input (NaN if the input is unknown)
    ``flat``       the share of each unit's outputs where the curve is flat
    """

    name: str
    part: Module
    awake: Array
    highest: Array
    deviation: Array
    flat: Array

    @property
    def units(self) -> int:
        return len(self.awake)


class _UnitStatistics:
    """Sums over chunks of samples, so that no layer's output is kept."""

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
        deviation = np.sqrt(np.maximum(squares.sum(axis=0) / self.n - mean**2, 0))
        shares = flat.sum(axis=0) / self.n
        return Activity(
            name, self.part, np.asarray(awake.any(axis=0)), highest.max(axis=0), deviation, shares
        )


@dataclass
class Evidence:
    """The material of a diagnosis. Everything runs on copies of the model."""

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
        """A new generator, always in the same state."""
        return np.random.default_rng(self.seed)

    def model_copy(self) -> Any:
        """A copy of the model that may run and learn."""
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
        """A few hundred rows at a time, and at least two, because BatchNorm needs them."""
        n = count(batch)
        for part in np.array_split(np.arange(n), max(n // _CHUNK, 1)):
            yield rows(batch, slice(part[0], part[-1] + 1))

    # --- layers ----------------------------------------------------------------------------

    @cached_property
    def activities(self) -> list[Activity]:
        """The activity of every layer that can die or saturate, by the names of ``trace``."""
        model, rng = self.model_copy(), self.rng
        statistics: dict[str, _UnitStatistics] = {}
        # a user's model may have no trace
        with np.errstate(all="ignore"), suppress(NotImplementedError):
            for chunk in self.chunks(self.sample):
                before: Array = np.empty(0)
                for name, y in model.trace(chunk, rng):
                    part = part_named(model, name)
                    if isinstance(part, (ReLU, Sigmoid, Tanh)) and name != self.output_layer:
                        x = before if before.shape == y.shape else np.full_like(y, np.nan)
                        statistics.setdefault(name, _UnitStatistics(part)).add(x, y)
                    before = y
        return [unit.activity(name) for name, unit in statistics.items()]

    @property
    def decoder(self) -> Any:
        """The decoder, or a GAN's generator; None for a classifier."""
        return getattr(self.model, "generator", None) or getattr(self.model, "decoder", None)

    @cached_property
    def output_layer(self) -> str:
        """The name of the decoder's last layer that changes values, not only shapes."""
        if self.decoder is None:
            return ""
        _, last = output_range(self.decoder)
        prefix = "generator" if isinstance(self.model, GAN) else "decoder"
        return next(
            (name for name, part in innermost_layers(self.decoder, prefix) if part is last), ""
        )

    @cached_property
    def code_layer(self) -> str:
        """The name of the encoder's last layer."""
        encoder = getattr(self.model, "encoder", None)
        if encoder is None:
            return ""
        return list(innermost_layers(encoder, "encoder"))[-1][0]

    @property
    def sparse(self) -> bool:
        """Whether a penalty on the code wants many of its units to be silent."""
        return isinstance(self.model, SparseAutoencoder)

    @property
    def top_k(self) -> int:
        """k if the encoder ends in a TopK; else 0."""
        last = part_named(self.model, self.code_layer) if self.code_layer else None
        return (last.inference_k or last.k) if isinstance(last, TopK) else 0

    # --- codes and reconstructions ----------------------------------------------------------

    @property
    def reconstructs(self) -> bool:
        """Whether the model has a reconstruction to compare with the data."""
        return isinstance(self.model, (Autoencoder, VariationalAutoencoder))

    def input_and_target_of(self, batch: Any) -> tuple[Any, Array]:
        """The model's input, and what it has to reconstruct."""
        if isinstance(self.model, Autoencoder):
            return self.model.input_and_target(batch, self.rng)
        return batch, batch[0] if isinstance(batch, tuple) else batch

    @cached_property
    def input_and_target(self) -> tuple[Any, Array]:
        """Input and target of the sample."""
        return self.input_and_target_of(self.sample)

    @cached_property
    def codes(self) -> Array:
        """z of the sample, (N, …), in inference mode."""
        with np.errstate(all="ignore"):
            return np.asarray(self.model_copy().encode(self.input_and_target[0]), np.float64)

    @cached_property
    def reconstruction(self) -> Array:
        """The reconstruction of the sample, in inference mode."""
        with np.errstate(all="ignore"):
            return np.asarray(self.model_copy().reconstruct(self.input_and_target[0]), np.float64)

    @cached_property
    def to_fit(self) -> Array:
        """Targets for fitting PCA, more of them than in the sample."""
        return self.input_and_target_of(self._take(_FITTED))[1]

    @cached_property
    def posterior(self) -> tuple[Array, Array]:
        """μ and ln σ² of the sample, for a variational model."""
        model = self.model_copy()
        parts = [model.posterior(*model._split(c)) for c in self.chunks(self.sample)]
        mu, logvar = (np.concatenate(p).astype(np.float64) for p in zip(*parts))
        return mu.reshape(len(mu), -1), logvar.reshape(len(mu), -1)


def _by_unit(y: Array) -> Array:
    """One column for each unit; for images one for each channel, with a row for each pixel."""
    return np.moveaxis(y, 1, -1).reshape(-1, y.shape[1]) if y.ndim > 1 else y[:, None]


def part_named(model: Module, name: str) -> Module | None:
    """The part with a dotted name."""
    part: Module | None = model
    for key in name.split("."):
        part = part.children.get(key) if part is not None else None
    return part


def innermost_layers(part: Module, name: str) -> Iterator[tuple[str, Module]]:
    """The layers of a part that contain no others, by name, in the order of forward."""
    if not part.children:
        yield name, part
    for key, child in part.children.items():
        yield from innermost_layers(child, f"{name}.{key}")
