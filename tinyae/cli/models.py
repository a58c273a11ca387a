"""Build, load and describe the models that the verbs work on."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinyae as ta
from tinyae import pca
from tinyae.cli.wording import an
from tinyae.layers import Layer, activation
from tinyae.losses import Loss
from tinyae.models.from_pca import encoder_decoder_from_pca, size_of_code
from tinyae.param import Array


def _kebab(name: str) -> str:
    """LeakyReLU → leaky-relu, SiLU → silu"""
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "-", name).lower()


ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    _kebab(f.__name__): f for f in activation.activations()
}
KINDS = ("plain", "denoising", "sparse", "contractive", "variational", "conditional", "gan")
LOSSES: dict[str, type[Loss]] = {"mse": ta.MSE, "l1": ta.L1, "huber": ta.Huber, "bce": ta.BCE}
UNITS = [256, 64]  # widths of dense layers, from the first hidden one to the code
SHARE = 0.9  # of the variance, that decides the size of a code which starts from PCA
DENOISER = (32, 32, 32)  # channels of a denoiser of pictures
ReconstructingModel = ta.Autoencoder | ta.VariationalAutoencoder

# The options of `train` that only some kinds have, and what they are where not given.
_DENSE = ("plain", "denoising", "contractive")
OPTIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "noise": (("denoising",), 0.2),
    "sparsity": (("sparse",), 0.05),
    "weight": (("sparse", "contractive"), None),
    "beta": (("variational", "conditional"), 1.0),
    "activation": ((*_DENSE, "sparse", "variational", "conditional"), "relu"),
    "code_activation": (_DENSE, "linear"),
    "output": ((*_DENSE, "sparse"), None),
    "loss": ((*_DENSE, "sparse"), "mse"),
    "channels": (("plain", "denoising"), None),
    "false_positive_rate": ((*_DENSE, "sparse", "variational"), 0.05),
}


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


def starts_from_pca(args: argparse.Namespace, x: Array, bounded: bool) -> bool:
    """Whether the options ask for a network of which PCA is a special case, and x is not too large.

    Its code and output are linear. That is the default, but for pictures in 0…1, whose output is a
    sigmoid.
    """
    shape, code = x.shape[1:], (args.units or UNITS)[-1]
    linear = args.output in (None, "linear") and args.code_activation == "linear"
    picture = bounded and len(shape) > 1 and args.output is None
    kind = args.model in ("plain", "denoising") and args.loss != "bce"
    if not kind or not linear or picture or args.channels or is_conv_denoiser(args, shape):
        return False
    return pca.is_affordable(len(x), math.prod(shape), code)


def model_from_pca(
    args: argparse.Namespace, x: Array, bounded: bool, rng: np.random.Generator
) -> ta.Autoencoder:
    """That network, started from the principal axes of the rows x, which are scaled.

    Without ``--units`` its code has as many numbers as PCA needs for 0.9 of the variance.
    """
    *hidden, latent_dim = args.units or UNITS[1:] * 2
    axes = pca.PCA(min(latent_dim, len(x), math.prod(x.shape[1:]))).fit(x)
    if not args.units:
        latent_dim = size_of_code(SHARE, axes)
    layers, dtype = ACTIVATIONS[args.activation], np.dtype(np.float32)
    parts = encoder_decoder_from_pca(x.shape[1:], latent_dim, axes, hidden, rng, dtype, layers)
    return _with_noise(args, ta.Autoencoder(*parts, LOSSES[args.loss]()), bounded)


def _with_noise(args: argparse.Namespace, plain: ta.Autoencoder, bounded: bool) -> ta.Autoencoder:
    """The model itself, or for ``--model denoising`` its layers with a corruption."""
    if args.model != "denoising":
        return plain
    noise = ta.GaussianNoise(args.noise, clip=(0, 1) if bounded else None)
    return ta.DenoisingAutoencoder(plain.encoder, plain.decoder, plain.loss, noise)


def check_options(args: argparse.Namespace) -> None:
    """Raise for an option that does nothing for the chosen kind; fill in what is not given.

    Raises
        ValueError  such an option
    """
    for name, (kinds, default) in OPTIONS.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
        elif args.model not in kinds:
            raise ValueError(
                f"train: --{name.replace('_', '-')} does nothing for --model {args.model}; it is for "
                f"{', '.join(kinds)}: leave it out"
            )
    if args.channels and args.code_activation != "linear":
        raise ValueError("train: --code-activation does nothing with --channels; leave it out")


def model_from_options(
    args: argparse.Namespace,
    shape: Sequence[int],
    bounded: bool,
    classes: int,
    rng: np.random.Generator,
) -> ta.Model:
    """The model that the options of ``tinyae train`` ask for.

    ``bounded`` says that the data, as they are scaled, lie in 0…1: it decides the defaults of output
    and likelihood.
    """
    denoiser = is_conv_denoiser(args, shape)
    units = args.units or ([] if args.channels else UNITS)
    if args.model in ("variational", "conditional"):
        return _variational(args, shape, units, bounded, classes, rng)
    if args.model == "gan":
        return ta.GAN(*ta.dense_gan(tuple(shape), units[:-1] or units, units[-1], rng=rng))
    # a sigmoid after convolutions may saturate at black and stay there
    output = args.output or ("sigmoid" if bounded and not args.channels else "linear")
    loss = LOSSES[args.loss]()
    if denoiser:
        return _conv_denoiser(args, shape, bounded, loss, rng)
    plain = _with_noise(args, _plain(args, shape, units, output, loss, rng), bounded)
    if args.model == "sparse":
        penalty = ta.KLSparsity(args.sparsity, args.weight or 1e-3)
        return ta.SparseAutoencoder(plain.encoder, plain.decoder, loss, penalty)
    if args.model == "contractive":
        return ta.ContractiveAutoencoder(plain.encoder, plain.decoder, loss, args.weight or 1e-4)
    return plain


def is_conv_denoiser(args: argparse.Namespace, shape: Sequence[int]) -> bool:
    """Whether the options ask for a denoiser of pictures without a narrow code.

    It is the default for pictures, unless an option names something that only others have.
    """
    others = args.units or args.output or args.code_activation != "linear"
    wanted = args.channels or (len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= 8)
    return args.model == "denoising" and bool(wanted) and len(shape) == 3 and not others


def _conv_denoiser(
    args: argparse.Namespace,
    shape: Sequence[int],
    bounded: bool,
    loss: Loss,
    rng: np.random.Generator,
) -> ta.Autoencoder:
    encoder, decoder = ta.conv_denoiser(
        shape, args.channels or DENOISER, activation=ACTIVATIONS[args.activation], rng=rng
    )
    return _with_noise(args, ta.Autoencoder(encoder, decoder, loss), bounded)


def _plain(
    args: argparse.Namespace,
    shape: Sequence[int],
    units: Sequence[int],
    output: str,
    loss: Loss,
    rng: np.random.Generator,
) -> ta.Autoencoder:
    if not args.channels:
        code = "sigmoid" if args.model == "sparse" else args.code_activation
        return dense_autoencoder(shape, units, args.activation, code, output, loss, rng)
    if len(units) > 1:
        raise ValueError(
            f"train: --units has {len(units)} numbers with --channels, expected the size of the code, "
            "or none for a code of pictures"
        )
    encoder, decoder = ta.conv_encoder_decoder(
        shape,
        args.channels,
        latent_dim=units[0] if units else None,
        activation=ACTIVATIONS[args.activation],
        output=ACTIVATIONS.get(output),
        rng=rng,
    )
    return ta.Autoencoder(encoder, decoder, loss)


def _variational(
    args: argparse.Namespace,
    shape: Sequence[int],
    units: Sequence[int],
    bounded: bool,
    classes: int,
    rng: np.random.Generator,
) -> ta.Model:
    likelihood = ta.Bernoulli() if bounded else ta.LearntGaussian()
    activation = ACTIVATIONS[args.activation]
    encoder, mean, logvar, decoder = ta.dense_variational(
        shape, units, activation=activation, rng=rng
    )
    if args.model == "variational":
        return ta.VariationalAutoencoder(encoder, mean, logvar, decoder, likelihood, args.beta)
    hidden, latent = mean.in_features, mean.out_features
    heads = [ta.Dense(hidden + classes, latent, rng=rng) for _ in range(2)]
    first = decoder.layers[0]
    assert isinstance(first, ta.Dense)
    first = ta.Dense(latent + classes, first.out_features, rng=rng)
    return ta.ConditionalVariationalAutoencoder(
        encoder=encoder,
        mean=heads[0],
        logvar=heads[1],
        decoder=ta.Sequential(first, *decoder.layers[1:]),
        likelihood=likelihood,
        beta=args.beta,
        classes=classes,
    )


def load_model(path: str, verb: str, does: str) -> Any:
    """A saved model that has a method: "encode", "decode", "reconstruct" or "sample".

    Raises
        ValueError  the file holds something else
    """
    model = ta.load(path)
    if not isinstance(model, ta.Model):
        raise ValueError(f"{verb}: {path} holds {an(type(model).__name__)}, expected a model")
    if not hasattr(model, does):
        instead = {
            "sample": "which has no distribution to draw from; train one with --model variational",
            "decode": "which has no decoder",
        }.get(does, "which has no encoder; train one with another --model")
        raise ValueError(f"{verb}: {path} holds {an(type(model).__name__)}, {instead}")
    return model


def architecture(model: ta.Model) -> str:
    """The model's class and its layers, on one line."""
    parts = [repr(part) for part in vars(model).values() if isinstance(part, Layer)]
    return f"{type(model).__name__}: {' → '.join(parts)}"
