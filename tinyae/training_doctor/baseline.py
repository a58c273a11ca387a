"""How good the reconstruction is: within the decoder's range, better than the mean, than PCA."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.layers import (
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Flatten,
    GlobalAvgPool2d,
    Pad2d,
    PixelShuffle,
    Reshape,
    TiedDense,
    Upsample1d,
    Upsample2d,
)
from tinyae.likelihoods import Gaussian
from tinyae.losses import BCEWithLogits
from tinyae.metrics import PCA
from tinyae.models import (
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from tinyae.models.checks import least_output, output_range
from tinyae.training_doctor.evidence import UNINFORMED, Evidence, innermost_layers
from tinyae.training_doctor.report import Finding
from tinyae.training_doctor.units import ACTIVE_VARIANCE
from tinyae.wording import counted

_OUTSIDE = 1e-3  # share of the data's entries outside the output's range
_SLACK = 1e-3  # of the range, which is tolerated
_NARROW = 0.05  # the data's span over that of the output
_LINEAR = 1.1  # over PCA's error, which is the best that a linear model can reach
_VARIATIONAL = 1.25  # over PCA's error: a smaller KL is worth some of it
_LINEAR_PARTS = (
    Dense,
    TiedDense,
    Conv1d,
    ConvTranspose1d,
    Conv2d,
    ConvTranspose2d,
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool2d,
    Upsample1d,
    Upsample2d,
    PixelShuffle,
    Pad2d,
    Flatten,
    Reshape,
)


def output_bounds(e: Evidence) -> tuple[float, float, str] | None:
    """The range of the reconstruction, and the layer that sets it; None if it is unbounded."""
    if e.decoder is None:
        return None
    loss, likelihood = getattr(e.model, "loss", None), getattr(e.model, "likelihood", None)
    if isinstance(getattr(loss, "unweighted", None), BCEWithLogits) or getattr(
        likelihood, "logits", False
    ):
        return 0.0, 1.0, f"{loss or likelihood}"
    bounds, last = output_range(e.decoder)
    if bounds is not None:
        return (*bounds, f"{last}")
    least = least_output(last)
    return None if least is None else (least, math.inf, f"{last}")


def outside_output_range(e: Evidence) -> Iterator[Finding]:
    """Data that the decoder cannot produce, or that fill only a small part of its range."""
    found = output_bounds(e)
    target = e.input_and_target[1] if e.reconstructs else e.sample
    if found is None or isinstance(target, tuple):
        return
    low, high, last = found
    least, most = float(target.min()), float(target.max())
    slack = _SLACK * (high - low if math.isfinite(high) else 1.0)
    outside = float(((target < low - slack) | (target > high + slack)).mean())
    figures: dict[str, Any] = {"data": (least, most), "output": (low, high), "outside": outside}
    e.notes.append(f"the data lie in [{least:.4g}, {most:.4g}], the output in [{low:g}, {high:g}]")
    if outside > _OUTSIDE:
        yield Finding(
            "output_range",
            last,
            f"{outside:.1%} of the data's entries lie outside [{low:g}, {high:g}], the reach of the "
            f"decoder's end, {last}: the data run from {least:.4g} to {most:.4g}",
            "no weights can reconstruct these entries; the error has a floor, and the output is pressed "
            "against its limit, where gradients vanish",
            "scale the data to the output's range, as it was for training, or end the decoder in a "
            "linear layer with MSE()",
            figures,
        )
    elif math.isfinite(high) and 0 < most - least < _NARROW * (high - low):
        yield Finding(
            "output_range",
            last,
            f"the data lie in [{least:.4g}, {most:.4g}], {(most - least) / (high - low):.2%} of "
            f"[{low:g}, {high:g}], the reach of the decoder's end, {last}",
            "all samples look alike to the loss, whose gradient shrinks with the square of the scale; "
            "perhaps the data were divided by 255 twice",
            "scale the data to the whole range: x = (x - x.min()) / (x.max() - x.min())",
            figures,
        )


def errors(e: Evidence) -> tuple[float, float] | tuple[None, None]:
    """The mean squared error, and the data's variance, which is the error of always giving the mean."""
    if not e.reconstructs:
        return None, None
    target = np.asarray(e.input_and_target[1], np.float64)
    if e.reconstruction.shape != target.shape or len(target) < 2:
        return None, None
    error = float(np.square(e.reconstruction - target).mean())
    variance = float(target.var(axis=0).mean())
    e.measured["error"], e.measured["variance"] = error, variance
    e.notes.append(f"mean squared error {error:.5g}; of the mean alone {variance:.5g}")
    return error, variance


def no_better_than_mean(error: float | None, variance: float | None) -> Iterator[Finding]:
    """A reconstruction that is hardly better than the mean of the data."""
    if error is None or variance is None or error < UNINFORMED * variance:
        return
    yield Finding(
        "no_better_than_mean",
        "",
        f"the mean squared error is {error:.5g}; giving the mean of the data each time has "
        f"{variance:.5g}",
        "the model has learnt at best what all samples share: the code makes no difference",
        "see the findings above, if any; else train longer, with another learning rate, with less of "
        "a penalty on the code",
        {"error": error, "variance": variance},
    )


def no_better_than_pca(e: Evidence, error: float | None) -> Iterator[Finding]:
    """A finding only if reconstruction is the whole objective; for other models just the figures."""
    if error is None or e.codes.ndim < 2:
        return
    source, target = e.input_and_target
    source = source[0] if isinstance(source, tuple) else source
    if np.shape(source) != target.shape:
        return  # input and target differ in shape (super-resolution): PCA does not apply
    k = e.top_k or e.codes[0].size
    if isinstance(e.model, VariationalAutoencoder):
        k = int((e.posterior[0].var(axis=0) > ACTIVE_VARIANCE).sum())
    data = e.to_fit
    if not 0 < k < min(len(data) - 1, data[0].size):
        return
    given = source if isinstance(e.model, DenoisingAutoencoder) else target
    pca_error = float(
        np.square(PCA(k).fit(data).reconstruct(given).astype(np.float64) - target).mean()
    )
    e.measured["PCA error"], e.measured["PCA size"] = pca_error, k
    e.notes.append(f"PCA with {counted(k, 'component')}: mean squared error {pca_error:.5g}")
    if isinstance(e.model, (SparseAutoencoder, ContractiveAutoencoder)):
        return  # they trade some of the error for another aim
    allowed = _VARIATIONAL if isinstance(e.model, VariationalAutoencoder) else 1.0
    if _linear(e):
        allowed = _LINEAR
    likelihood = getattr(e.model, "likelihood", None)
    asked = likelihood.std**2 if isinstance(likelihood, Gaussian) else 0.0
    if error < allowed * pca_error or error < max(asked, 1e-12):
        return  # a Gaussian's σ² says what error is small enough
    yield Finding(
        "no_better_than_pca",
        "",
        f"the mean squared error is {error:.5g}; PCA, a linear code of the same size "
        f"({counted(k, 'number')}), has {pca_error:.5g}",
        "PCA costs one eigendecomposition; a network that does not beat it has not found what is curved "
        "in the data, or is not trained to its end",
        "train longer (is the loss still falling?), with a schedule Cosine(rate, steps=…), with wider "
        "layers before the code; let the code itself be linear",
        {"error": error, "pca": pca_error, "components": k},
    )


def _linear(e: Evidence) -> bool:
    """Whether encoder and decoder consist of linear layers only."""
    model: Any = e.model
    parts = [*innermost_layers(model.encoder, ""), *innermost_layers(model.decoder, "")]
    return all(isinstance(part, _LINEAR_PARTS) for _, part in parts)
