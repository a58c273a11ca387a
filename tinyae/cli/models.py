"""Build, load and describe the models that the verbs work on."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence

import numpy as np

import tinyae as ta
from tinyae.layers import Layer, activation
from tinyae.losses import Loss
from tinyae.param import Array, unique


def _kebab(name: str) -> str:
    """LeakyReLU → leaky-relu, SiLU → silu"""
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "-", name).lower()


ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    _kebab(f.__name__): f for f in activation.activations()
}
KINDS = ("plain", "denoising", "sparse", "contractive", "variational")
LOSSES: dict[str, type[Loss]] = {"mse": ta.MSE, "l1": ta.L1, "huber": ta.Huber, "bce": ta.BCE}
ReconstructingModel = ta.Autoencoder | ta.VariationalAutoencoder


def dense_autoencoder(
    shape: Sequence[int],
    units: Sequence[int],
    activation: str,
    code_activation: str,
    output: str,
    loss: Loss,
    rng: np.random.Generator,
) -> ta.Autoencoder:
    """A plain symmetric autoencoder of dense layers. A name without a layer means linear."""
    encoder, decoder = ta.dense_encoder_decoder(
        shape,
        units,
        activation=ACTIVATIONS[activation],
        code_activation=ACTIVATIONS.get(code_activation),
        output=ACTIVATIONS.get(output),
        rng=rng,
    )
    return ta.Autoencoder(encoder, decoder, loss)


def model_from_options(
    args: argparse.Namespace, shape: Sequence[int], bounded: bool, rng: np.random.Generator
) -> ReconstructingModel:
    """The model that the options of ``tinyae train`` ask for.

    ``bounded`` says that the data lie in 0…1: it decides the defaults of output and likelihood.
    """
    if args.model == "variational":
        parts = ta.dense_variational(
            shape, args.units, activation=ACTIVATIONS[args.activation], rng=rng
        )
        likelihood = ta.Bernoulli() if bounded else ta.LearntGaussian()
        return ta.VariationalAutoencoder(*parts, likelihood, args.beta)
    output = args.output or ("sigmoid" if bounded else "linear")
    code = "sigmoid" if args.model == "sparse" else args.code_activation
    loss = LOSSES[args.loss]()
    plain = dense_autoencoder(shape, args.units, args.activation, code, output, loss, rng)
    if args.model == "denoising":
        noise = ta.GaussianNoise(args.noise, clip=(0, 1) if bounded else None)
        return ta.DenoisingAutoencoder(plain.encoder, plain.decoder, loss, noise)
    if args.model == "sparse":
        penalty = ta.KLSparsity(args.sparsity, args.weight or 1e-3)
        return ta.SparseAutoencoder(plain.encoder, plain.decoder, loss, penalty)
    if args.model == "contractive":
        return ta.ContractiveAutoencoder(plain.encoder, plain.decoder, loss, args.weight or 1e-4)
    return plain


def load_model(path: str) -> ReconstructingModel:
    model = ta.load(path)
    if isinstance(model, (ta.Autoencoder, ta.VariationalAutoencoder)):
        return model
    raise ValueError(f"{path} holds a {type(model).__name__}, expected an autoencoder")


def in_unit_interval(x: Array) -> bool:
    """Whether all entries lie in 0…1. Reads x in chunks: it may be a memory map."""
    chunks = (x[i : i + 10_000] for i in range(0, len(x), 10_000))
    return all(chunk.min() >= 0 and chunk.max() <= 1 for chunk in chunks)


def architecture(model: ta.Model) -> str:
    """The model's class and its layers, on one line."""
    parts = [repr(part) for part in vars(model).values() if isinstance(part, Layer)]
    return f"{type(model).__name__}: {' → '.join(parts)}"


def parameter_count(model: ta.Model) -> int:
    return sum(p.size for p in unique(model.params).values())
