"""The twins of whole steps: from a batch to the loss and back to the gradients.

``step`` is the twin of ``Autoencoder.step``. ``decoder_step`` and ``variational_decoder_step`` are
the twins of the two models' ``decoder_step``, which starts from a code. If all layers are dense, one
kernel does the whole step; ``step`` gives a convolutional network its batch in micro-batches.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from tinyae.fusion.microbatches import MIN_SAMPLES, microbatch_size, microbatches
from tinyae.fusion.mlp import FusedMLP
from tinyae.fusion.plan_cache import is_unmodified, plans_for
from tinyae.fusion.sequential import MIN_BATCH, flat_layers, fuse_all
from tinyae.layers import Layer
from tinyae.likelihoods import Bernoulli
from tinyae.losses import L1, MSE, BCEWithLogits
from tinyae.models import Autoencoder, VariationalAutoencoder
from tinyae.param import Array

# The losses that the kernels have: means over all entries, for any y.
_LOSSES = {MSE: "mse", L1: "l1", BCEWithLogits: "bce_with_logits"}


def step(model: Autoencoder, x: Array, target: Array) -> float:
    if not _is_batch(x, target):
        return NotImplemented
    parts = model.encoder, model.decoder
    plans = plans_for(*parts, model.loss)
    loss = _kernel_loss(plans, model.loss)
    if loss is None:
        return NotImplemented
    mlp = _fused_mlp(plans, parts, x, target)
    if mlp is not None:
        if not mlp.first_learns:
            return NotImplemented  # the definition leaves the frozen layers out
        model.loss.check_target(target)
        return mlp.backprop(x, target, loss)[0]
    size = _microbatch_size(plans, parts, x, target)
    if not size or len(x) < size + MIN_SAMPLES:  # it would be one micro-batch
        return NotImplemented
    model.loss.check_target(target)  # all of it, before any gradient is added
    total = 0.0  # L = Σ weight · L of the micro-batch
    for batch in microbatches(x, target, size):
        z, encoder_cache = model.encoder.forward(batch.x)
        y, decoder_cache = model.decoder.forward(z)
        L, dy = model.loss(y, batch.target)
        dy *= batch.weight
        dz = model.decoder.backward(dy, decoder_cache)
        model.encoder.backward_params(dz, encoder_cache)
        total += batch.weight * L
    return total


def decoder_step(model: Autoencoder, z: Array, target: Array) -> tuple[float, Array]:
    if not _is_batch(z, target):
        return NotImplemented
    plans = plans_for(model.decoder, model.loss)
    loss = _kernel_loss(plans, model.loss)
    mlp = _fused_mlp(plans, (model.decoder,), z, target) if loss is not None else None
    if loss is None or mlp is None:
        return NotImplemented
    model.loss.check_target(target)
    L, dz = mlp.backprop(z, target, loss, input_grad=True)
    return L, cast(Array, dz)


def variational_decoder_step(
    model: VariationalAutoencoder, z: Array, x: Array
) -> tuple[float, Array]:
    likelihood = model.likelihood
    if type(likelihood) is not Bernoulli or not is_unmodified(likelihood) or not _is_batch(z, x):
        return NotImplemented
    mlp = _fused_mlp(plans_for(model.decoder, likelihood), (model.decoder,), z, x)
    if mlp is None:
        return NotImplemented
    likelihood.check_target(x)
    nll, dz = mlp.backprop(z, x, "bce_with_logits", per_sample=True, input_grad=True)
    return nll, cast(Array, dz)


def _kernel_loss(plans: dict[Any, Any], loss: Any) -> str | None:
    """The kernels' name for the loss, if they have it and it is unmodified."""
    if "loss" not in plans:
        plans["loss"] = _LOSSES.get(type(loss)) if is_unmodified(loss) else None
    name: str | None = plans["loss"]
    return name


def _is_batch(x: Any, target: Any) -> bool:
    return (
        isinstance(x, np.ndarray)
        and isinstance(target, np.ndarray)
        and x.ndim >= 2 <= target.ndim
        and len(x) == len(target) >= MIN_BATCH
    )


def _fused_mlp(
    plans: dict[Any, Any], parts: tuple[Layer, ...], x: Array, target: Array
) -> FusedMLP | None:
    """One kernel for all these parts, from samples like x to samples like the target."""
    key = "mlp", x.shape[1:], target.shape[1:]
    if key not in plans:
        plans[key] = fuse_all(flat_layers(parts), *key[1:])
    mlp: FusedMLP | None = plans[key]
    return mlp if mlp is not None and x.dtype == target.dtype == mlp.dtype else None


def _microbatch_size(
    plans: dict[Any, Any], parts: tuple[Layer, ...], x: Array, target: Array
) -> int:
    key = "microbatch", x.dtype, target.dtype, x.shape[1:], target.shape[1:]
    if key not in plans:
        plans[key] = microbatch_size(parts, x[:1], target[:1])
    size: int = plans[key]
    return size
