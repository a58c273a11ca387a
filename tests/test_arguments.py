"""Wrong arguments of everything public: a ValueError or a TypeError that names the argument.

Each public callable has a call that works (``CALLS``). Then one argument at a time is replaced by
values of another kind than its annotation says.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike

import tinyae as ta
from tinyae.initializers import Initializer
from tinyae.optim import weights


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


X = rng().random((6, 4), dtype=np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def pair() -> tuple[ta.Sequential, ta.Sequential]:
    return ta.dense_encoder_decoder((4,), [3, 2], rng=rng())


def autoencoder(loss: Any = None) -> ta.Autoencoder:
    return ta.Autoencoder(*pair(), loss or ta.MSE())


def variational() -> ta.VariationalAutoencoder:
    return ta.VariationalAutoencoder(*ta.dense_variational((4,), [3, 2], rng=rng()))


def contractive() -> ta.ContractiveAutoencoder:
    return ta.ContractiveAutoencoder(*pair(), ta.MSE(), probes=1)


def gan() -> ta.GAN:
    return ta.GAN(*ta.dense_gan((4,), (3,), 2, rng=rng()))


def cyclegan() -> ta.CycleGAN:
    generators, judges = ((ta.Dense(4, k, rng=rng()) for _ in "yx") for k in (4, 1))
    return ta.CycleGAN(*generators, *judges)


def stargan() -> ta.StarGAN:
    return ta.StarGAN(ta.Dense(7, 4, rng=rng()), ta.Dense(4, 4, rng=rng()), domains=3)


def classifier() -> ta.Classifier:
    return ta.Classifier(ta.Dense(4, 3, rng=rng()))


def code_prior() -> ta.CodePrior:
    return ta.CodePrior(4, (2,), 3, dim=4, depth=1, heads=2, rng=rng())


def stack() -> ta.StackedAutoencoder:
    return ta.stack_of((4,), [3, 2], rng=rng())


def synthesis(
    block: Any, rng: np.random.Generator | None, init: Initializer | None, dtype: DTypeLike
) -> ta.Synthesis:
    return ta.Synthesis(block, rng=rng, init=init, dtype=dtype)


def parts() -> dict[str, Any]:
    return dict(zip(("encoder", "decoder"), pair()), loss=ta.MSE())


def heads() -> dict[str, Any]:
    layers = ta.dense_variational((4,), [3, 2], rng=rng())
    return dict(zip(("encoder", "mean", "logvar", "decoder"), layers), likelihood=ta.Bernoulli())


def conv_denoiser() -> ta.DenoisingAutoencoder:
    pair = ta.conv_denoiser((1, 1, 4), [2], rng=rng())
    return ta.DenoisingAutoencoder(*pair, ta.MSE(), ta.GaussianNoise())


SHAPE = {"shape": (4,), "units": [3, 2], "rng": rng()}
FIT = {"x": X, "epochs": 1, "progress": False}
EVERYTHING_OF_FIT = {
    "batch_size": 4,
    "rng": 0,
    "clip_norm": 1.0,
    "early_stopping": ta.EarlyStopping(),
    "optimizer": ta.SGD(0.1),
    "validation": X,
    "reduce_on_plateau": ta.ReduceLROnPlateau(),
    "every": 1,
    "accept_changes": (),
    "augment": ta.GaussianNoise(0.0),
    "on_epoch": lambda epoch: None,
}
VAE = {"beta": 1.0, "free_bits": 0.0, "warm_up": 0, "logvar_range": (-9.0, 9.0), "resample": None}
CONV = {
    "in_channels": 1,
    "out_channels": 2,
    "kernel_size": 3,
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
}
NEW = {"rng": rng(), "init": ta.HeNormal(), "dtype": np.float32}
R1 = {"r1": 0.1, "r1_samples": 8}
SAE = {"in_features": 4, "features": 6, "dead_after": 9, **NEW}
STEPS = {"learning_rate": 1e-3}
DECAY = {"l2": 0.1, "decay": weights}
ADAM = {**STEPS, "beta1": 0.9, "beta2": 0.9, "eps": 1e-8}

CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Param": (ta.Param, {"value": X, "grad": X, "trainable": True}),
    "Normal": (ta.Normal, {"std": 1.0}),
    "Orthogonal": (ta.Orthogonal, {"gain": 1.0}),
    "Autoencoder": (ta.Autoencoder, parts()),
    "DenoisingAutoencoder": (
        ta.DenoisingAutoencoder,
        {**parts(), "corruption": ta.GaussianNoise()},
    ),
    "GaussianNoise": (ta.GaussianNoise, {"std": 0.1, "clip": (0.0, 1.0)}),
    "MaskingNoise": (ta.MaskingNoise, {"p": 0.1}),
    "SaltAndPepper": (ta.SaltAndPepper, {"p": 0.1, "low": 0.0, "high": 1.0}),
    "RandomAffine": (
        ta.RandomAffine,
        dict.fromkeys(("rotation", "stretch", "slant", "shift"), 0.1),
    ),
    "start_from_linear_filter": (
        ta.start_from_linear_filter,
        {"model": conv_denoiser(), "x": X[:, None, None], "rng": rng()},
    ),
    "RandomCrop": (ta.RandomCrop, {"size": (2, 2)}),
    "SparseAutoencoder": (ta.SparseAutoencoder, {**parts(), "penalty": ta.L1Sparsity()}),
    "L1Sparsity": (ta.L1Sparsity, {"weight": 1.0}),
    "KLSparsity": (ta.KLSparsity, {"target": 0.1, "weight": 1.0}),
    "ContractiveAutoencoder": (
        ta.ContractiveAutoencoder,
        {**parts(), "weight": 1e-3, "probes": 2},
    ),
    "VariationalAutoencoder": (ta.VariationalAutoencoder, {**heads(), **VAE}),
    "ConditionalVariationalAutoencoder": (
        ta.ConditionalVariationalAutoencoder,
        {**heads(), **VAE, "classes": 3},
    ),
    "ImportanceWeightedAutoencoder": (
        ta.ImportanceWeightedAutoencoder,
        {**heads(), **VAE, "samples": 3},
    ),
    "WassersteinAutoencoder": (
        ta.WassersteinAutoencoder,
        {**parts(), "weight": 0.1, "kernel": ta.GaussianKernel()},
    ),
    "InverseMultiquadratic": (ta.InverseMultiquadratic, {"scales": (0.5, 1.0)}),
    "GaussianKernel": (ta.GaussianKernel, {"width": 0.5}),
    "AdversarialAutoencoder": (
        ta.AdversarialAutoencoder,
        {**parts(), "discriminator": ta.Dense(2, 1, rng=rng()), "weight": 0.1}
        | {"generator_loss": ta.Saturating()},
    ),
    "Gaussian": (ta.Gaussian, {"std": 1.0}),
    "LearntGaussian": (
        ta.LearntGaussian,
        {"std": 1.0, "logvar_range": (-9.0, 9.0), "dtype": np.float32},
    ),
    "HeteroscedasticGaussian": (ta.HeteroscedasticGaussian, {"logvar_range": (-9.0, 9.0)}),
    "Laplace": (ta.Laplace, {"scale": 1.0}),
    "linear": (ta.linear, {"z0": X, "z1": X, "t": 0.5}),
    "spherical": (ta.spherical, {"z0": X, "z1": X, "t": 0.5}),
    "StackedAutoencoder": (lambda block: ta.StackedAutoencoder(block), {"block": autoencoder()}),
    "UNet": (
        ta.UNet,
        {"in_channels": 1, "out_channels": 1, "widths": [2, 3], "loss": ta.MSE(), "dims": 2}
        | {"corruption": ta.GaussianNoise(0.1), **NEW},
    ),
    "VQVAE": (
        ta.VQVAE,
        {**parts(), "codes": 4, "dim": 2, "commitment": 0.25, "decay": 0.9, "dtype": np.float32},
    ),
    "VQGAN": (
        ta.VQGAN,
        {**parts(), "discriminator": ta.patch_discriminator(1, (2,), rng=rng()), "codes": 4}
        | {"dim": 2, "weight": 0.8, "generator_loss": ta.NonSaturating(), "commitment": 0.25}
        | {"decay": 0.9, "dtype": np.float32},
    ),
    "patch_discriminator": (
        ta.patch_discriminator,
        {"in_channels": 1, "channels": (2,), "kernel_size": 4, "rng": rng()},
    ),
    "CodePrior": (
        ta.CodePrior,
        {"codes": 4, "shape": (2, 2), "classes": 3, "dim": 4, "depth": 1, "heads": 2, **NEW},
    ),
    "CosineSchedule": (ta.CosineSchedule, {"steps": 10}),
    "Diffusion": (
        ta.Diffusion,
        {"network": ta.Dense(8, 4, rng=rng()), "shape": (4,), "schedule": ta.CosineSchedule(9)}
        | {"prediction": ta.PredictNoise(), "time_features": 4, "classes": 2, "unlabelled": 0.1},
    ),
    "DiffusionAutoencoder": (
        ta.DiffusionAutoencoder,
        {"encoder": ta.Dense(4, 2, rng=rng()), "network": ta.Dense(10, 4, rng=rng()), "shape": (4,)}
        | {"schedule": ta.CosineSchedule(9), "prediction": ta.PredictNoise(), "time_features": 4},
    ),
    "MaskedAutoencoder": (
        ta.MaskedAutoencoder,
        {"shape": (1, 8, 8), "patch": 4, "dim": 4, "depth": 1, "heads": 2, "decoder_dim": 4}
        | {"decoder_depth": 1, "masked": 0.5, **NEW},
    ),
    "TopKSAE": (ta.TopKSAE, {**SAE, "k": 2, "dead_k": 2}),
    "BatchTopKSAE": (ta.BatchTopKSAE, {**SAE, "k": 2, "dead_k": 2}),
    "MatryoshkaSAE": (
        ta.MatryoshkaSAE,
        {"in_features": 4, "sizes": (2, 5), "k": 2, "dead_after": 9, "dead_k": 2, **NEW},
    ),
    "JumpReLUSAE": (
        ta.JumpReLUSAE,
        {**SAE, "weight": 1.0, "initial_theta": 0.1, "bandwidth": 0.1, "dead_k": 2},
    ),
    "GatedSAE": (ta.GatedSAE, {**SAE, "weight": 1.0}),
    "Classifier": (ta.Classifier, {"network": ta.Dense(4, 3, rng=rng())}),
    "GAN": (
        ta.GAN,
        dict(
            zip(("generator", "discriminator"), ta.dense_gan((4,), (3,), 2, rng=rng())),
            generator_loss=ta.NonSaturating(),
            real_label=1.0,
            latent_dim=2,
        ),
    ),
    "R1GAN": (
        ta.R1GAN,
        dict(
            zip(("generator", "discriminator"), ta.dense_gan((4,), (3,), 2, rng=rng())),
            **{**R1, "latent_dim": 2},
        ),
    ),
    "ProGAN": (
        ta.ProGAN,
        dict(
            zip(("generator", "discriminator"), ta.progan((1, 2, 2), 2, 3, rng=rng())),
            **{**R1, "fade_steps": 0, "latent_dim": 3},
        ),
    ),
    "StyleGAN": (
        ta.StyleGAN,
        dict(
            zip(("generator", "discriminator"), ta.stylegan((1, 2, 2), (2,), 3, rng=rng())),
            **{**R1, "mixing": 0.9, "latent_dim": 3},
        ),
    ),
    "CycleGAN": (
        ta.CycleGAN,
        {name: ta.Dense(4, 4, rng=rng()) for name in ("generator_y", "generator_x")}
        | {name: ta.Dense(4, 1, rng=rng()) for name in ("discriminator_y", "discriminator_x")}
        | {"cycle": 10.0, "identity": 5.0},
    ),
    "StarGAN": (
        ta.StarGAN,
        {"generator": ta.Dense(7, 4, rng=rng()), "discriminator": ta.Dense(4, 4, rng=rng())}
        | {"domains": 3, "classification": 1.0, "reconstruction": 10.0, "penalty": 10.0},
    ),
    "cyclegan": (
        ta.cyclegan,
        {"shape": (1, 4, 4), "channels": 2, "blocks": 1, "output": ta.Sigmoid, "rng": rng()},
    ),
    "stargan": (
        ta.stargan,
        {"shape": (1, 4, 4), "domains": 3, "channels": 2, "blocks": 1}
        | {"output": ta.Sigmoid, "rng": rng()},
    ),
    "progan": (
        ta.progan,
        {"shape": (1, 4, 4), "channels": 2, "latent_dim": 3, "output": ta.Sigmoid, "rng": rng()},
    ),
    "stylegan": (
        ta.stylegan,
        {"shape": (1, 4, 4), "channels": (2, 3), "latent_dim": 3, "mapping_layers": 1}
        | {"output": ta.Sigmoid, "rng": rng()},
    ),
    "WassersteinGAN": (
        ta.WassersteinGAN,
        {"generator": ta.Dense(2, 4, rng=rng()), "discriminator": ta.Dense(4, 1, rng=rng())}
        | {"penalty": 10.0, "latent_dim": 2},
    ),
    "dense_encoder_decoder": (
        ta.dense_encoder_decoder,
        {**SHAPE, **NEW, "activation": ta.ReLU, "code_activation": ta.Tanh, "output": None}
        | {"tied": False},
    ),
    "conv_encoder_decoder": (
        ta.conv_encoder_decoder,
        {"shape": (1, 4, 4), "channels": [2], "latent_dim": 2, "kernel_size": 3, **NEW}
        | {"activation": ta.ReLU, "output": None},
    ),
    "conv_denoiser": (
        ta.conv_denoiser,
        {"shape": (1, 4, 4), "channels": [2], "activation": ta.ReLU, "rng": rng()}
        | {"dtype": np.float32},
    ),
    "unet": (
        ta.unet,
        {"in_channels": 1, "out_channels": 1, "widths": [2, 3], "dims": 2, **NEW},
    ),
    "dense_variational": (
        ta.dense_variational,
        {**SHAPE, **NEW, "activation": ta.ReLU, "output": None},
    ),
    "stack_of": (
        ta.stack_of,
        {**SHAPE, "activation": ta.ReLU, "code_activation": None, "output": None}
        | {"loss": ta.MSE(), "corruption": ta.MaskingNoise(), "tied": False}
        | {"init": ta.HeNormal()},
    ),
    "dense_gan": (
        ta.dense_gan,
        {"shape": (4,), "units": (3,), "latent_dim": 2, "dropout": 0.1, "output": ta.Tanh}
        | {"rng": rng()},
    ),
    "dcgan": (
        ta.dcgan,
        {"shape": (1, 4, 4), "channels": (2,), "latent_dim": 2, "kernel_size": 4}
        | {"output": ta.Tanh, "rng": rng()},
    ),
    "conv_wgan": (
        ta.conv_wgan,
        {"shape": (1, 4, 4), "channels": (2,), "latent_dim": 2, "kernel_size": 4}
        | {"output": ta.Tanh, "rng": rng()},
    ),
    "SGD": (ta.SGD, {**STEPS, **DECAY}),
    "Momentum": (ta.Momentum, {**STEPS, "mu": 0.9, **DECAY}),
    "Nesterov": (ta.Nesterov, {**STEPS, "mu": 0.9, **DECAY}),
    "RMSProp": (ta.RMSProp, {**STEPS, "rho": 0.9, "eps": 1e-8, **DECAY}),
    "MovingAverage": (ta.MovingAverage, {"optimizer": ta.Adam(1e-3), "decay": 0.9}),
    "Adam": (ta.Adam, {**ADAM, **DECAY}),
    "AdamW": (ta.AdamW, {**ADAM, "weight_decay": 0.01, "decay": weights}),
    "Constant": (ta.Constant, STEPS),
    "StepDecay": (ta.StepDecay, {**STEPS, "every": 3, "factor": 0.1}),
    "Exponential": (ta.Exponential, {**STEPS, "factor": 0.9}),
    "Cosine": (ta.Cosine, {**STEPS, "steps": 10, "final": 0.0}),
    "WarmUp": (ta.WarmUp, {"schedule": ta.Constant(0.1), "steps": 3}),
    "clip_by_global_norm": (
        ta.clip_by_global_norm,
        {"params": autoencoder().params, "clip_norm": 1.0},
    ),
    "fit": (
        ta.fit,
        {"model": autoencoder(), **FIT, **EVERYTHING_OF_FIT, "sample_weight": np.ones(len(X))},
    ),
    "EarlyStopping": (ta.EarlyStopping, {"patience": 3, "min_improvement": 0.0}),
    "ReduceLROnPlateau": (
        ta.ReduceLROnPlateau,
        {"factor": 0.1, "patience": 3, "min_improvement": 0.0, "min_factor": 0.01},
    ),
    "diagnose_training": (
        ta.diagnose_training,
        {"history": ta.History(), "model": autoencoder(), "x": X, "rng": 0}
        | {"optimizer": ta.SGD(), "batch_size": 4},
    ),
    "profile": (
        ta.profile,
        {"model": autoencoder(), "x": X, "part": "autoencoder", "repeats": 1}
        | {"budget_ms": 1.0, "budget_kb": 64.0},
    ),
    "report": (
        ta.report.report,
        {"model": autoencoder(), "x": X, "history": ta.History(), "path": None, "labels": LABELS}
        | {"classes": ["a", "b", "c"], "columns": ["p", "q", "r", "s"], "train": X}
        | {"names": list("uvwxyz"), "kind": "table", "title": "a page", "progress": False},
    ),
    "Scaler": (ta.Scaler, {"shift": np.zeros(4), "scale": np.ones(4)}),
    "explain": (ta.explain, {"subject": ta.Dense(4, 2, rng=rng()), "x": X, "rng": 0}),
    "Dense": (ta.Dense, {"in_features": 4, "out_features": 2, **NEW}),
    "TiedDense": (ta.TiedDense, {"dense": ta.Dense(4, 2, rng=rng())}),
    "LeakyReLU": (ta.LeakyReLU, {"alpha": 0.1}),
    "ELU": (ta.ELU, {"alpha": 0.1}),
    "Huber": (ta.Huber, {"delta": 1.0}),
    "WeightedLoss": (ta.WeightedLoss, {"loss": ta.MSE(), "weights": np.ones(3)}),
    "PReLU": (ta.PReLU, {"num_channels": 3, "slope": 0.25, "dtype": np.float32}),
    "HardSigmoid": (ta.HardSigmoid, {"alpha": 0.2}),
    "TopK": (ta.TopK, {"k": 2, "inference_k": 3}),
    "Reshape": (lambda shape: ta.Reshape(shape), {"shape": 4}),
    "Upsample2d": (ta.Upsample2d, {"factor": 2, "mode": "nearest"}),
    "Conv2d": (ta.Conv2d, {**CONV, **NEW}),
    "ConvTranspose2d": (ta.ConvTranspose2d, {**CONV, "output_padding": 0, **NEW}),
    "Conv1d": (ta.Conv1d, {**CONV, **NEW}),
    "ConvTranspose1d": (ta.ConvTranspose1d, {**CONV, "output_padding": 0, **NEW}),
    "MaxPool1d": (
        ta.MaxPool1d,
        {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": False, "dilation": 1},
    ),
    "AvgPool1d": (
        ta.AvgPool1d,
        {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": False, "dilation": 1},
    ),
    "Upsample1d": (ta.Upsample1d, {"factor": 2, "mode": "nearest"}),
    "MaxPool2d": (
        ta.MaxPool2d,
        {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": False, "dilation": 1},
    ),
    "AvgPool2d": (
        ta.AvgPool2d,
        {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": False, "dilation": 1},
    ),
    "PixelShuffle": (ta.PixelShuffle, {"factor": 2}),
    "Pad2d": (ta.Pad2d, {"padding": 1, "mode": "reflect"}),
    "BatchNorm": (
        ta.BatchNorm,
        {"num_features": 3, "eps": 1e-5, "momentum": 0.1, "dtype": np.float32},
    ),
    "LayerNorm": (ta.LayerNorm, {"normalized_shape": 3, "eps": 1e-5, "dtype": np.float32}),
    "GroupNorm": (
        ta.GroupNorm,
        {"num_groups": 2, "num_channels": 4, "eps": 1e-5, "dtype": np.float32},
    ),
    "InstanceNorm": (ta.InstanceNorm, {"num_channels": 3, "eps": 1e-5, "dtype": np.float32}),
    "RMSNorm": (ta.RMSNorm, {"normalized_shape": 3, "eps": 1e-5, "dtype": np.float32}),
    "PixelNorm": (ta.PixelNorm, {"eps": 1e-8}),
    "Dropout": (ta.Dropout, {"p": 0.5, "rng": rng()}),
    "PixelNoise": (ta.PixelNoise, {"size": (2, 2), "rng": rng(), "dtype": np.float32}),
    "Equalized": (ta.Equalized, {"layer": ta.Dense(4, 2, rng=rng()), "gain": 1.0}),
    "MinibatchDeviation": (
        ta.MinibatchDeviation,
        {"eps": 1e-8, "momentum": 0.1, "dtype": np.float32},
    ),
    "Fade": (ta.Fade, {"old": ta.Dense(4, 2, rng=rng()), "new": ta.Dense(4, 2, rng=rng())}),
    "ModulatedConv2d": (
        ta.ModulatedConv2d,
        {"in_channels": 2, "out_channels": 2, "kernel_size": 3, **NEW},
    ),
    "ConditionedBlock": (
        ta.ConditionedBlock,
        {"in_channels": 2, "out_channels": 2, "condition_dim": 3, "groups": 1, **NEW},
    ),
    "PixelAttention": (
        ta.PixelAttention,
        {"channels": 4, "heads": 2, "groups": 2, **NEW},
    ),
    "ConditionedUNet": (
        ta.ConditionedUNet,
        {"channels": 1, "condition_dim": 3, "widths": [2, 4], "patch": 1, "embedding": 4}
        | {"heads": 2, "groups": 2, **NEW},
    ),
    "StyleBlock": (
        ta.StyleBlock,
        {"in_channels": 2, "out_channels": 2, "style_dim": 3, "size": (2, 2), "upsample": False}
        | NEW,
    ),
    "Synthesis": (
        synthesis,
        {"block": ta.StyleBlock(2, 2, 3, (2, 2), rng=rng()), **NEW},
    ),
    "Embedding": (ta.Embedding, {"count": 5, "dim": 3, **NEW}),
    "LearntPositions": (ta.LearntPositions, {"length": 5, "dim": 3, **NEW}),
    "Tokenwise": (ta.Tokenwise, {"layer": ta.ReLU()}),
    "Repeat": (ta.Repeat, {"times": 2}),
    "MultiHeadAttention": (
        ta.MultiHeadAttention,
        {"dim": 4, "heads": 2, "causal": False, **NEW},
    ),
    "TransformerBlock": (
        ta.TransformerBlock,
        {"dim": 4, "heads": 2, "mlp_dim": 3, "causal": False, **NEW},
    ),
    "GRU": (ta.GRU, {"in_features": 3, "hidden": 2, **NEW}),
    "LSTM": (ta.LSTM, {"in_features": 3, "hidden": 2, **NEW}),
    "sequence_autoencoder": (
        ta.sequence_autoencoder,
        {"length": 5, "features": 1, "hidden": 3, "latent_dim": 2, "cell": ta.GRU, **NEW},
    ),
    "Sequential": (lambda layer: ta.Sequential(layer), {"layer": ta.ReLU()}),
    "Residual": (ta.Residual, {"layer": ta.ReLU()}),
    "Skip": (ta.Skip, {"layer": ta.ReLU()}),
    "Parallel": (lambda branch: ta.Parallel(branch), {"branch": ta.ReLU()}),
}


METHODS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "noise": (ta.GaussianNoise(0.1), {"x": X, "rng": rng()}),
    "mask": (ta.MaskingNoise(0.1), {"x": X, "rng": rng()}),
    "salt": (ta.SaltAndPepper(0.1), {"x": X, "rng": rng()}),
    "binarize": (ta.Binarize(), {"x": X, "rng": rng()}),
    "warp": (ta.RandomAffine(), {"x": X[:, None, None], "rng": rng()}),
    "crop": (ta.RandomCrop(2), {"x": X[:, None, None], "rng": rng()}),
    "encode": (autoencoder().encode, {"x": X}),
    "decode": (autoencoder().decode, {"z": X[:, :2]}),
    "reconstruct": (autoencoder().reconstruct, {"x": X}),
    "reconstruction_error": (autoencoder().reconstruction_error, {"x": X, "per_feature": False}),
    "evaluate": (autoencoder().evaluate, {"x": X, "rng": rng(), "batch_size": 4}),
    "check_data": (autoencoder().check_data, {"x": X}),
    "compile": (autoencoder().compile, {"part": "encoder", "input_shape": (4,)}),
    "compiled": (autoencoder().compile(), {"x": X}),
    "jacobian": (contractive().jacobian, {"x": X}),
    "backprop": (lambda rng: contractive().backprop(X, rng), {"rng": rng()}),
    "sample": (variational().sample, {"n": 3, "rng": 0}),
    "draw": (variational().draw, {"n": 3, "rng": 0}),
    "elbo": (variational().elbo, {"x": X, "rng": 0, "samples": 2}),
    "log_likelihood": (variational().log_likelihood, {"x": X, "rng": 0, "samples": 2}),
    "interpolate": (
        variational().interpolate,
        {"x0": X[:1], "x1": X[1:2], "steps": 3, "path": ta.linear},
    ),
    "traverse": (variational().traverse, {"x": X, "dimension": 1, "values": [0.0, 1.0]}),
    "predict": (classifier().predict, {"x": X}),
    "predict_proba": (classifier().predict_proba, {"x": X}),
    "error": (classifier().error, {"x": X, "labels": LABELS}),
    "gan.sample": (gan().sample, {"n": 3, "rng": rng()}),
    "gan.noise": (gan().noise, {"n": 3, "rng": rng()}),
    "gan.decode": (gan().decode, {"z": X[:, :2]}),
    "to_y": (cyclegan().to_y, {"x": X}),
    "to_x": (cyclegan().to_x, {"y": X}),
    "translate": (stargan().translate, {"x": X, "domains": LABELS}),
    "domain_of": (stargan().domain_of, {"x": X}),
    "gan.discriminate": (gan().discriminate, {"x": X}),
    "classifier": (
        stack().classifier,
        {"classes": 3, "rng": rng(), "init": ta.HeNormal()},
    ),
    "pretrain": (stack().pretrain, {"x": X, "train": lambda block, codes: None}),
    "unroll": (stack().unroll, {"loss": ta.MSE()}),
    "loss": (ta.MSE(), {"y": X, "target": X}),
    "likelihood": (ta.Bernoulli(), {"y": X, "x": X}),
    "mse": (ta.metrics.mse, {"x": X, "y": X}),
    "psnr": (ta.metrics.psnr, {"x": X, "y": X, "data_range": 1.0}),
    "ssim": (
        ta.metrics.ssim,
        {"x": np.ones((1, 12, 12)), "y": np.ones((1, 12, 12))} | {"data_range": 1.0},
    ),
    "PCA": (ta.metrics.PCA, {"n_components": 2}),
    "PCA.fit": (ta.metrics.PCA(2).fit, {"x": X}),
    "PCA.transform": (ta.metrics.PCA(2).fit(X).transform, {"x": X}),
    "frechet_distance": (ta.metrics.frechet_distance, {"x": X, "y": X}),
    "code_prior.sample": (
        code_prior().sample,
        {"labels": [0, 1], "rng": 0, "temperature": 1.0, "top_k": 2},
    ),
    "code_prior.log_likelihood": (
        code_prior().log_likelihood,
        {"k": np.zeros((6, 2), int), "labels": LABELS},
    ),
    "roc_auc": (ta.metrics.roc_auc, {"labels": LABELS > 0, "scores": X[:, 0]}),
    "roc_curve": (ta.metrics.roc_curve, {"labels": LABELS > 0, "scores": X[:, 0]}),
    "detection": (ta.metrics.detection, {"labels": LABELS > 0, "flagged": LABELS > 1}),
    "gradcheck": (
        ta.gradcheck.check,
        {"layer": ta.Dense(4, 2, rng=rng()), "x": X, "rng": 0, "max_entries": 5},
    ),
    "check_loss": (
        ta.gradcheck.check_loss,
        {"loss": ta.MSE(), "y": X, "target": X, "rng": 0, "max_entries": 5},
    ),
    "check_model": (
        ta.gradcheck.check_model,
        {"model": autoencoder(), "x": X, "rng": 0, "max_entries": 5},
    ),
    "data.load": (ta.data.load, {"name_or_path": "strokes"}),
    "make_strokes": (ta.data.make_strokes, {"n": 2, "rng": rng(), "size": 28}),
    "make_heartbeats": (
        ta.data.make_heartbeats,
        {"n": 2, "rng": rng(), "length": 140, "abnormal_fraction": 0.4},
    ),
    "make_faces": (
        ta.data.make_faces,
        {"identities": 2, "per_identity": 2, "rng": rng(), "size": 32},
    ),
}

# What is no such thing; the first pattern that an annotation begins with counts.
MASKED = np.ma.masked_greater(X, 0.5)
ARRAYS = [
    *("x", 3, object(), None, MASKED, X.view(np.recarray), X.astype(complex), X.astype("U8")),
    *(X.astype(object), X.astype("M8[s]")),
]
LAYER = "Layer|Loss|Likelihood|Corruption|Penalty|Dense|Autoencoder|Model|Module"
OTHER = "Initializer|GeneratorLoss|Kernel|Optimizer|EarlyStopping|ReduceLROnPlateau|History|Param"
WRONG: dict[str, list[Any]] = {
    r"float \| Schedule": ["x", object(), [1.0], None, float("nan"), -1.0],
    r"CosineSchedule|Prediction": ["x", 3, ta.MSE()],
    r"Schedule": ["x", 3, None],
    r".*Generator|Rng": ["x", 2.5, object(), -1],
    r"bool": ["x", 2.5, object(), None],
    r"float": ["x", object(), [1.0], None, 1j, float("nan")],
    r"tuple\[float": ["x", 3, (1, "y"), (2.0, 1.0), object(), (0.0, float("nan"))],
    r"int \| (Pair|tuple)": ["x", 2.5, object(), (1, 2.5), 0, 10**30],
    r"int": ["x", 2.5, object(), [1], None, float("nan"), -1, 10**30],
    r"(Sequence|tuple)\[int": ["x", object(), [2.5], ["y"], [0], [10**30]],
    r"DTypeLike": ["x", object(), int, np.float16, complex],
    r"Activation|Callable\[\[\], Layer": ["x", 3, ta.Dense],
    r"Callable|Augment|Path|Decay": ["x", 3],
    r"Collection": ["x", 3, ["y"]],
    r"Sequence\[float": ["x", object(), [1j], ["y"], [0], [float("nan")]],
    r"Sequence\[str": ["x", 3, [1.5], ["only one"]],
    r"numbers|Array \| float": ["x", object(), [1j], MASKED],
    r"Array": ARRAYS,
    rf"({LAYER})": ["x", 3, ta.MSE, []],
    rf"({OTHER})": ["x", 3, ta.MSE],
    r"str \|": [2.5, object(), None],
    r"str": [2.5, "x"],
    r"dict": ["x", 3, {"a": 3}],
}
KINDS = {  # of arguments whose annotation says Any, or nothing
    **dict.fromkeys(("x", "x0", "x1", "y", "target", "labels"), "Array"),
    **dict.fromkeys(("layer", "branch", "block", "subject"), "Layer"),
    "model": "Model",
    "loss": "Loss",
    "sample_weight": "numbers",
    "validation": "Array | None",
    "values": "numbers",
    "shape": "int",
    "part": "str",
    "rng": "Rng",
    "input_shape": "tuple[int, ...] | None",
}
# Files have tests of their own; what is left has no wrong arguments, or only the library makes it.
ELSEWHERE = {
    *("save", "load", "from_onnx", "from_torch", "to_torch", "load_torch_state"),
    *("TrainingDiverged", "History"),
}
FILES = {"checkpoint", "resume"}


def annotation(call: Callable[..., Any], argument: str) -> str:
    given = inspect.signature(call).parameters[argument].annotation
    text = given if isinstance(given, str) else getattr(given, "__name__", str(given))
    return KINDS[argument] if text in ("Any", "_empty") else text


def wrong_values(kind: str) -> list[Any]:
    values = next(v for pattern, v in WRONG.items() if re.match(pattern, kind))
    return [v for v in values if not (v is None and "None" in kind)]


EVERY = {**CALLS, **METHODS}
ARGUMENTS = [(name, argument) for name, (_, given) in EVERY.items() for argument in given]


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_a_wrong_argument_is_named(name: str, argument: str) -> None:
    call, given = EVERY[name]
    signed = {"rotation", "gain", "low", "high", "t", "std", "dimension"}  # may be below 0
    for value in wrong_values(annotation(call, argument)):
        if type(value) is int and ((argument in signed and value < 0) or "padding" in argument):
            continue
        if argument == "rng" and value == 10**30:  # a seed like any other
            continue
        with pytest.raises((ValueError, TypeError)) as caught:
            call(**{**given, argument: value})
        message = str(caught.value)
        assert re.search(rf"\b{argument}\b", message, re.IGNORECASE), f"{value!r}: {message}"
        assert re.search("pass|expected|must", message), f"{value!r}: {message}"


def test_every_argument_of_everything_public_is_tried() -> None:
    for name in set(ta.__all__) - ELSEWHERE:
        thing = getattr(ta, name)
        if not callable(thing):
            continue
        wanted = {p for p in inspect.signature(thing).parameters if p not in FILES}
        tried = set(CALLS[name][1]) if name in CALLS else set()
        if name in ("dense_pair", "conv_pair"):  # former names
            continue
        starred = {"layers": "layer", "branches": "branch", "blocks": "block"}
        assert wanted == tried or {starred.get(p, p) for p in wanted} == tried, name


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("diagnose_training",)])
def test_the_calls_are_right_but_for_that_argument(name: str) -> None:
    call, given = EVERY[name]
    call(**copy.deepcopy(given))
