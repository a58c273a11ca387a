"""How well a model reconstructs, beside PCA with as many numbers a sample."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinyae import metrics, pca
from tinyae.arrays import in_unit_interval
from tinyae.models import ConditionalVariationalAutoencoder, DenoisingAutoencoder, Model
from tinyae.param import Array
from tinyae.wording import counted

_NOISY_ROWS = 20_000  # by which the number of components for noisy rows is chosen


class Quality(NamedTuple):
    """One line of the comparison.

    Units     ``mse`` squared scaled units; ``decibels`` a peak signal-to-noise ratio for data in
              0…1, else a signal-to-noise ratio; ``ssim`` None unless the samples are such images
    """

    name: str
    size: int | None
    mse: float
    decibels: float
    ssim: float | None


@dataclass(frozen=True)
class Comparison:
    """The qualities of a model and of PCA on the same rows, as the model scales them.

    ``given`` is what the model gets, noisy for a denoising one; ``target`` what it has to give.
    ``pca`` may have more components than the code has numbers; None without rows to fit it.
    """

    qualities: list[Quality]
    bounded: bool
    size: int
    given: Array
    target: Array
    y: Array
    pca: metrics.PCA | None

    @property
    def ratio(self) -> str:
        """What the decibels are."""
        return "PSNR dB" if self.bounded else "SNR dB"

    @property
    def own(self) -> Quality:
        """The model's line."""
        return self.qualities[int(self.denoises)]

    @property
    def of_pca(self) -> Quality | None:
        """PCA's line, with as many components as the code has numbers, for noisy rows fewer."""
        rest = self.qualities[int(self.denoises) + 1 :]
        return rest[0] if rest else None

    @property
    def denoises(self) -> bool:
        return self.given is not self.target


def compare(model: Any, x: Any, train: Array | None = None, components: int = 1) -> Comparison:
    """The model's reconstructions of x, and those of PCA fitted to ``train``, if it is given.

    x             rows in their own units, or (rows, labels) for a conditional model
    components    PCA's, if they are to be more than the code's

    A denoising model and its PCA are given noisy rows, the same for both, and "noisy" says how far
    these are from the truth. PCA then has at most as many components as the code has numbers, and as
    many as denoise ``train`` best.

    Raises
        ValueError   a reconstruction has another shape than a sample
        MemoryError  PCA would take too much memory
    """
    bare, labels = model.in_scaled_units(), None
    if isinstance(model, ConditionalVariationalAutoencoder):
        x, labels = x
    target = scaled(model, x)
    given = target
    if isinstance(model, DenoisingAutoencoder) and model.corruption is not None:
        given = model.corruption(target, np.random.default_rng(0))
    y = bare.reconstruct(given if labels is None else (given, labels))
    if y.shape != target.shape:
        raise ValueError(
            f"a sample has shape {target.shape[1:]}, its reconstruction {y.shape[1:]}: they cannot "
            "be compared; use `tinyae reconstruct`"
        )
    z = bare.encode(given[:1] if labels is None else (given[:1], labels[:1]))
    bounded, denoises = in_unit_interval(target), given is not target
    structural = bounded and target.ndim == 4 and min(target.shape[2:]) >= 11  # SSIM's window
    spread = float(target.var())

    def quality(name: str, size: int | None, y: Array) -> Quality:
        error = metrics.mse(y, target)
        if bounded:
            decibels = metrics.psnr(y, target)
        else:
            decibels = 10 * math.log10(spread / error) if error and spread else math.inf
        return Quality(name, size, error, decibels, metrics.ssim(y, target) if structural else None)

    qualities = [quality("noisy", None, given)] if denoises else []
    qualities.append(quality("autoencoder" + ", denoised" * denoises, z.size, y))
    linear = None
    if train is not None:
        width = math.prod(target.shape[1:])
        size = min(z.size, width, len(train))
        most = min(max(size, components), width, len(train))
        _check_memory(len(train), width, most)
        rows = scaled(model, train)
        linear = pca.PCA(most).fit(rows)
        if denoises:
            size = _best_size(truncated(linear, size), rows, model.corruption)
        y_pca = truncated(linear, size).reconstruct(given).astype(np.float32)
        of_noisy = " on noisy" if denoises else ""
        qualities.append(quality(f"PCA{of_noisy}, {counted(size, 'component')}", size, y_pca))
        if bounded:
            qualities.append(quality("  the same, clipped to 0…1", size, np.clip(y_pca, 0, 1)))
    return Comparison(qualities, bounded, z.size, given, target, y, linear)


def scaled(model: Model, x: Any) -> Array:
    """Rows as the model's layers see them, in float32."""
    return np.asarray(model.as_input(np.asarray(x)), np.float32)


def truncated(pca: metrics.PCA, size: int) -> metrics.PCA:
    """A fitted PCA's first components: the PCA of that size."""
    first = copy.copy(pca)
    first.n_components = size
    first.components_ = pca.components_[:size]
    first.explained_variance_ = pca.explained_variance_[:size]
    first.explained_variance_ratio_ = pca.explained_variance_ratio_[:size]
    return first


def _best_size(pca: metrics.PCA, x: Array, corruption: Any) -> int:
    """The number of components that reconstruct x best from noisy x: each lets noise pass, too.

    With k of them the squared error is Σⱼ≤ₖ (c̃ⱼ − cⱼ)² + Σⱼ>ₖ cⱼ² and what PCA leaves out, where c
    and c̃ are the components of x and of noisy x.
    """
    x = x[:_NOISY_ROWS]
    c, noisy = pca.transform(x), pca.transform(corruption(x, np.random.default_rng(1)))
    gain = np.square(c).sum(axis=0) - np.square(noisy - c).sum(axis=0)
    return int(np.argmax(np.cumsum(gain))) + 1


def _check_memory(rows: int, width: int, size: int) -> None:
    if not pca.is_affordable(rows, width, size):
        raise MemoryError(f"its axes of {width:,} numbers take too much memory")
