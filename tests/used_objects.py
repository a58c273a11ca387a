"""Every kind of public object, made and used: for laws about what happens to it afterwards.

``MAKERS`` maps a name to a function that makes an object. ``use(object)`` uses it as its kind is
used, with inputs that do not change, and returns what came out, as bytes. A copy of an object must
go on as the object itself does.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

import tinyae as ta
from tinyae import catalog, initializers, schedules
from tinyae.likelihoods import Likelihood
from tinyae.models.base import Model

N = 20  # more than the smallest batch that is fused


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _drawn(row: Any) -> Any:
    integers, draws = rng(1), rng(2)
    built, _ = row.build(catalog.integers_from(integers), draws)
    return built


def _small(kind: Callable[..., Any] = ta.Autoencoder, *arguments: Any) -> Any:
    pair = ta.dense_encoder_decoder((6,), [4], rng=rng())
    return kind(*pair, ta.MSE(), *arguments)


def _trained(validation: bool = False) -> Any:
    x = rng(3).random((N, 6), np.float32)
    model = _small()
    history = ta.fit(model, x, epochs=2, batch_size=8, rng=0, progress=False, validation=x)
    return history if validation else model


def _vqgan() -> ta.VQGAN:
    encoder, decoder = ta.conv_encoder_decoder((1, 2, 4), [3], kernel_size=2, rng=rng())
    return ta.VQGAN(encoder, decoder, ta.MSE(), ta.patch_discriminator(1, (2,), rng=rng()), 4, 3)


def _fitted_pca() -> Any:
    return ta.metrics.PCA(2).fit(rng(4).normal(size=(N, 6)).astype(np.float32))


def _compiled(part: str) -> Any:
    compiled = _small().compile(part)
    compiled(rng(5).random((3, 4 if part == "decoder" else 6), np.float32))
    return compiled


def _diagnosis() -> Any:
    return ta.gradcheck.diagnose(ta.Sigmoid(), rng(6).normal(size=(3, 2)), rng=rng(7))


MAKERS: dict[str, Callable[[], Any]] = {
    "Param": lambda: ta.Param(rng().normal(size=(3, 2))),
    "History": lambda: _trained(validation=True),
    "EarlyStopping": ta.EarlyStopping,
    "ReduceLROnPlateau": ta.ReduceLROnPlateau,
    "Scaler": lambda: ta.Scaler.standard(rng(8).normal(size=(N, 3))),
    "GaussianNoise": ta.GaussianNoise,
    "MaskingNoise": ta.MaskingNoise,
    "SaltAndPepper": ta.SaltAndPepper,
    "RandomAffine": ta.RandomAffine,
    "RandomCrop": lambda: ta.RandomCrop(2),
    "Binarize": ta.Binarize,
    "WeightedLoss": lambda: ta.WeightedLoss(ta.MSE(), 0.5),
    "CosineSchedule": lambda: ta.CosineSchedule(10),
    "PredictNoise": ta.PredictNoise,
    "PredictClean": ta.PredictClean,
    "PredictVelocity": ta.PredictVelocity,
    "L1Sparsity": ta.L1Sparsity,
    "KLSparsity": ta.KLSparsity,
    "NonSaturating": ta.NonSaturating,
    "Saturating": ta.Saturating,
    "StackedAutoencoder": lambda: ta.stack_of((6,), [4, 2], rng=rng()),
    "PCA": _fitted_pca,
    "Report": lambda: ta.gradcheck.check(ta.Sigmoid(), rng().normal(size=(3, 2))),
    "Diagnosis": _diagnosis,
    "Dataset": lambda: ta.data.load("heartbeats"),
    **{f"compiled {p}": (lambda p=p: _compiled(p)) for p in ("autoencoder", "encoder", "score")},
    **{
        kind.__name__: kind
        for kind in (ta.MSE, ta.L1, ta.Huber, ta.BCE, ta.BCEWithLogits, ta.Bernoulli)
    },
    **{
        kind.__name__: kind
        for kind in (ta.Gaussian, ta.LearntGaussian, ta.HeteroscedasticGaussian, ta.Laplace)
    },
    **{
        name: kind
        for name, kind in vars(initializers).items()
        if isinstance(kind, type) and issubclass(kind, initializers.Initializer)
        if name != "Initializer"
    },
    **{
        kind.__name__: (lambda kind=kind: kind(1e-2))
        for kind in (ta.SGD, ta.Momentum, ta.Nesterov, ta.RMSProp, ta.Adam, ta.AdamW)
    },
    "MovingAverage": lambda: ta.MovingAverage(ta.Adam(1e-2), 0.9),
    "Constant": lambda: ta.Constant(0.1),
    "StepDecay": lambda: ta.StepDecay(0.1, 5),
    "Exponential": lambda: ta.Exponential(0.1, 0.9),
    "Cosine": lambda: ta.Cosine(0.1, 10),
    "WarmUp": lambda: ta.WarmUp(ta.Cosine(0.1, 10), 3),
    **{row.name: (lambda row=row: _drawn(row)) for row in catalog.LAYERS},
    **{row.name: (lambda row=row: _drawn(row)) for row in catalog.MODELS if " " not in row.name},
    "Autoencoder tied": lambda: _drawn(next(r for r in catalog.MODELS if r.name.endswith("tied"))),
    "GAN": lambda: ta.GAN(*ta.dense_gan((6,), [4], 2, rng=rng())),
    "R1GAN": lambda: ta.R1GAN(*ta.dense_gan((6,), [4], 2, rng=rng())),
    "WassersteinGAN": lambda: ta.WassersteinGAN(
        *(ta.dense_gan((6,), [4], 2, rng=rng())[0], ta.Dense(6, 1, rng=rng()))
    ),
    "ProGAN": lambda: ta.ProGAN(*ta.progan((1, 2, 3), 4, 2, rng=rng())),
    "StyleGAN": lambda: ta.StyleGAN(*ta.stylegan((1, 2, 3), [4], 2, rng=rng())),
    "CycleGAN": lambda: ta.CycleGAN(*ta.cyclegan((1, 4, 4), 2, 1, rng=rng())),
    "StarGAN": lambda: ta.StarGAN(*ta.stargan((1, 4, 4), 3, 2, 1, rng=rng()), domains=3),
    "AdversarialAutoencoder": lambda: _small(
        ta.AdversarialAutoencoder,
        ta.Sequential(ta.Dense(4, 3, rng=rng()), ta.Dense(3, 1, rng=rng())),
    ),
    "VQGAN": lambda: _vqgan(),
    "ModulatedConv2d": lambda: ta.ModulatedConv2d(2, 3, rng=rng()),
    "ConditionedBlock": lambda: ta.ConditionedBlock(2, 3, 4, 1, rng=rng()),
    "StyleBlock": lambda: ta.StyleBlock(2, 3, 4, (2, 3), rng=rng()),
    "InverseMultiquadratic": ta.InverseMultiquadratic,
    "GaussianKernel": ta.GaussianKernel,
}
INPUTS = {row.name: row for row in (*catalog.LAYERS, *catalog.MODELS)}


def use(name: str, thing: Any) -> bytes:
    """Use a thing as its kind is used; what came out, as bytes."""
    return pickle.dumps(_plain(_used(name, thing)))


def _used(name: str, thing: Any) -> Any:
    if isinstance(thing, ta.Layer):
        return _use_layer(name, thing)
    if isinstance(thing, Likelihood):
        y = rng().normal(size=(N, 8 if isinstance(thing, ta.HeteroscedasticGaussian) else 4))
        x = rng(1).uniform(0, 1, (N, 4))
        return thing(y.astype(np.float32), x.astype(np.float32))
    if isinstance(thing, Model):
        return _use_model(name, thing)
    if isinstance(thing, ta.losses.Loss):
        y, target = rng().uniform(0.1, 0.9, (2, N, 5)).astype(np.float32)
        return thing(y, target)
    if isinstance(thing, ta.optim.Optimizer):
        return _use_optimizer(thing)
    if isinstance(thing, initializers.Initializer):
        return thing((4, 3), 3, 4, rng(), np.float32)
    if type(thing).__module__ == schedules.__name__:
        return [thing(t) for t in range(12)]
    if isinstance(thing, ta.EarlyStopping):
        return [thing.stops([1.0] * k) for k in range(8)]
    if isinstance(thing, ta.ReduceLROnPlateau):
        return [thing.rate_factor([1.0] * k) for k in range(24)]
    if isinstance(thing, ta.Scaler):
        return thing.apply(rng(9).normal(size=(4, 3)))
    return _use_other(name, thing)


def _use_layer(name: str, layer: Any) -> Any:
    _, x = INPUTS[name].draw(_lowest(name), rng(3))
    x = np.concatenate([x] * (-(-N // len(x)))).astype(np.float32)
    y, cache = layer.forward(x)
    dx = layer.backward(np.cos(y), cache)
    return y, dx, layer(x), [p.grad for p in layer.params.values()], list(layer.state.values())


def _lowest(name: str) -> Any:
    """The integers that :func:`_drawn` drew, so that x fits the layer."""
    return catalog.integers_from(rng(1))


def _use_model(name: str, model: Any) -> Any:
    if isinstance(model, ta.StackedAutoencoder):
        x = rng(4).random((N, 6), np.float32)
        return ta.fit(model, x, epochs=1, rng=0, progress=False)["total"], model.encode(x)
    if isinstance(model, (ta.GAN, ta.AdversarialAutoencoder)):
        images = isinstance(model, (ta.ProGAN, ta.StyleGAN))
        x = rng(4).random((N, 1, 2, 3) if images else (N, 6), np.float32)
        history = ta.fit(model, x, epochs=1, batch_size=8, rng=0, progress=False)
        return history.epochs[0].terms, model.sample(3, rng(1))
    if isinstance(model, (ta.CycleGAN, ta.StarGAN)):
        x, y = rng(4).random((2, N, 1, 4, 4), np.float32)
        star = isinstance(model, ta.StarGAN)
        domains = np.arange(N) % 3
        batch = x, domains if star else y
        history = ta.fit(model, batch, epochs=1, batch_size=8, rng=0, progress=False)
        return history.epochs[0].terms, model.translate(x, domains) if star else model.to_y(x)
    if isinstance(model, ta.VQGAN):
        x = rng(4).random((N, 1, 2, 4), np.float32)
        history = ta.fit(model, x, epochs=1, batch_size=8, rng=0, progress=False)
        return history.epochs[0].terms, model.encode(x)
    _, batch = INPUTS[name].draw(_lowest(name), rng(3))
    x, *labels = batch if isinstance(batch, tuple) else (batch,)
    times = -(-N // len(x))
    x = np.concatenate([x] * times).astype(np.float32)
    batch = (x, np.concatenate(labels * times)) if labels else x
    terms = model.backprop(batch, rng(5))
    return terms, [p.grad for p in model.params.values()], model.evaluate(batch, rng(6))


def _use_optimizer(optimizer: Any) -> Any:
    """Some steps with the params that it has had from its first use on."""
    model = getattr(optimizer, "its_model", None)
    if model is None:
        model = optimizer.its_model = _small()
    x = rng(7).random((N, 6), np.float32)
    for _ in range(3):
        model.backprop(x)
        optimizer.step(model.params)
    return [p.value for p in model.params.values()], optimizer.state_arrays(model.params)


def _use_other(name: str, thing: Any) -> Any:
    images = rng(8).random((N, 1, 6, 6), np.float32)
    if name in {
        "GaussianNoise",
        "MaskingNoise",
        "SaltAndPepper",
        "RandomAffine",
        "RandomCrop",
        "Binarize",
    }:
        return thing(images, rng(9))
    if name in {"L1Sparsity", "KLSparsity"}:
        return thing(rng().uniform(0.1, 0.9, (N, 4)))
    if name in {"NonSaturating", "Saturating"}:
        return thing(rng().normal(size=(N, 1)))
    if name in {"InverseMultiquadratic", "GaussianKernel"}:
        return thing(rng().uniform(0, 3, (N, N)))
    if name in {"ModulatedConv2d", "StyleBlock", "ConditionedBlock"}:
        x = rng().random((N, 2, 2, 3), np.float32)
        style = rng(1).random((N, 2 if name == "ModulatedConv2d" else 4), np.float32)
        y, cache = thing.forward(x, style)
        return y, thing.backward(np.cos(y), cache), [p.grad for p in thing.params.values()]
    if name.startswith("compiled"):
        return thing(rng(5).random((N, 6), np.float32))
    if name == "CosineSchedule":
        return thing.signal
    if name.startswith("Predict"):
        x, out = rng().normal(size=(2, N, 4))
        return thing.target(x, out, 0.6, 0.8), thing.clean(out, x, 0.6, 0.8)
    if name == "PCA":
        return thing.reconstruct(rng(4).normal(size=(N, 6)).astype(np.float32))
    if name == "Param":
        thing.grad += 1
        return thing.value, thing.grad, thing.T.grad
    if name == "Dataset":
        return thing.x_train, thing.y_train
    return str(thing)


def _plain(result: Any) -> Any:
    """Nested results as lists of bytes and numbers, without what pickle would keep by identity."""
    if isinstance(result, np.ndarray):
        return [str(result.dtype), result.shape, np.ascontiguousarray(result).tobytes()]
    if isinstance(result, dict):
        return [[str(k), _plain(v)] for k, v in result.items()]
    if isinstance(result, list | tuple):
        return [_plain(r) for r in result]
    return repr(result)
