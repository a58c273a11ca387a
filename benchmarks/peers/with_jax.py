"""The networks in JAX: forward, backward and Adam as one jitted function.

Images are (N, H, W, C), the order in which XLA computes on a CPU; the batch is converted before the
clock starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import tinyae as ta

Apply = Callable[[Any, Any], Any]  # apply(params, x) -> y


def layers_of(layer: ta.Layer) -> tuple[list[Any], Apply]:
    """A tinyae layer as its params, a list of arrays or lists, and a function of them and x.

    Raises
        TypeError  there is no translation for its type
    """
    if isinstance(layer, ta.Sequential):
        parts = [layers_of(part) for part in layer.layers]

        def chain(params: Any, x: Any) -> Any:
            for (_, apply), layer_params in zip(parts, params):
                x = apply(layer_params, x)
            return x

        return [params for params, _ in parts], chain
    if isinstance(layer, ta.Dense):
        return _arrays(layer.W.value, layer.b.value), lambda p, x: x @ p[0].T + p[1]
    if isinstance(layer, ta.Conv2d):
        p, q = layer.padding
        return _convolution(layer.W.value, layer.b.value, layer.stride, ((p, p), (q, q)), (1, 1))
    if isinstance(layer, ta.ConvTranspose2d):
        # the adjoint: zeros between the pixels, kernel rotated by 180°, channels swapped
        W = layer.W.value[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        sides = zip(layer.kernel_size, layer.padding, layer.output_padding)
        pads = tuple((k - 1 - p, k - 1 - p + extra) for k, p, extra in sides)
        return _convolution(W, layer.b.value, (1, 1), pads, layer.stride)
    if isinstance(layer, ta.BatchNorm):
        eps = layer.eps

        def normalize(params: Any, x: Any) -> Any:  # the running statistics are left out
            mean = x.mean(axis=(0, 1, 2))
            variance = jnp.square(x - mean).mean(axis=(0, 1, 2))
            return (x - mean) * (params[0] / jnp.sqrt(variance + eps)) + params[1]

        return _arrays(layer.gamma.value, layer.beta.value), normalize
    if isinstance(layer, ta.MaxPool2d):
        window, strides = (1, *layer.kernel_size, 1), (1, *layer.stride, 1)
        return [], lambda _, x: lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "VALID")
    if isinstance(layer, ta.Skip):
        inner, apply = layers_of(layer.layer)
        return inner, lambda params, x: jnp.concatenate([x, apply(params, x)], axis=-1)
    simple = {
        ta.Flatten: lambda _, x: x.reshape(len(x), -1),  # with one channel, the order is the same
        ta.ReLU: lambda _, x: jax.nn.relu(x),
        ta.ELU: lambda _, x: jax.nn.elu(x),
        ta.Sigmoid: lambda _, x: jax.nn.sigmoid(x),
        ta.Tanh: lambda _, x: jnp.tanh(x),
    }
    if isinstance(layer, ta.Reshape):
        channels, *size = layer.shape
        return [], lambda _, x: x.reshape(len(x), *size, channels)
    if type(layer) not in simple:
        raise TypeError(f"JAX: no translation of {layer}; add one to benchmarks/peers")
    return [], simple[type(layer)]


def _arrays(*arrays: np.ndarray) -> list[Any]:
    return [jnp.array(a) for a in arrays]  # copies, because the training step donates its buffers


def _convolution(W: Any, b: Any, stride: Any, pads: Any, spread: Any) -> tuple[list[Any], Apply]:
    def apply(params: Any, x: Any) -> Any:
        order = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, params[0], stride, pads, spread, dimension_numbers=order)
        return y + params[1]

    return _arrays(W.transpose(2, 3, 1, 0), b), apply


def objective_of(model: ta.Model) -> tuple[Any, Callable[[Any, Any, Any], Any]]:
    """The params, and total(params, x, key)."""
    names = ["encoder", "decoder"]
    names += ["mean", "logvar"] if isinstance(model, ta.VariationalAutoencoder) else []
    parts = {name: layers_of(getattr(model, name)) for name in names}
    params = {name: part_params for name, (part_params, _) in parts.items()}
    run = {name: apply for name, (_, apply) in parts.items()}

    def plain(p: Any, x: Any, key: Any) -> Any:
        h = run["encoder"](p["encoder"], x)
        d = run["decoder"](p["decoder"], h) - x
        L = jnp.abs(d).mean() if isinstance(model.loss, ta.L1) else jnp.square(d).mean()
        if not isinstance(model, ta.ContractiveAutoencoder):
            return L
        W = next(part_params[0] for part_params in p["encoder"] if part_params)
        slope = jnp.square(h * (1 - h)).mean(axis=0)
        return L + model.weight * jnp.square(W).sum(axis=1) @ slope

    def variational(p: Any, x: Any, key: Any) -> Any:
        h = run["encoder"](p["encoder"], x)
        mu, logvar = run["mean"](p["mean"], h), run["logvar"](p["logvar"], h)
        z = mu + jnp.exp(0.5 * logvar) * jax.random.normal(key, mu.shape, mu.dtype)
        y = run["decoder"](p["decoder"], z)
        nll = (jnp.maximum(y, 0) - x * y + jnp.log1p(jnp.exp(-jnp.abs(y)))).sum()
        kl = 0.5 * (jnp.square(mu) + jnp.exp(logvar) - 1 - logvar).sum()
        return (nll + kl) / len(x)

    return params, variational if "mean" in parts else plain


def jitted(model: ta.Model, x: np.ndarray, threads: int) -> Callable[[], Any]:
    """A training step. The environment sets the number of threads before JAX is loaded."""
    params, objective = objective_of(model)
    m, v = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
    batch = jnp.array(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)
    state = [params, m, v, jnp.zeros((), jnp.int32), jax.random.key(0)]

    def update(params: Any, m: Any, v: Any, t: Any, key: Any, x: Any) -> Any:
        """Kingma & Ba (2015), algorithm 1."""
        key, now = jax.random.split(key)
        L, grad = jax.value_and_grad(objective)(params, x, now)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grad)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grad)
        rate = 1e-3 / (1 - 0.9**t)
        root = jnp.sqrt(1 - 0.999**t)
        params = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), params, m, v
        )
        return (params, m, v, t, key), L

    run = jax.jit(update, donate_argnums=(0, 1, 2, 3, 4))

    def step() -> Any:
        state[:], L = run(*state, batch)
        jax.block_until_ready(state)
        return L

    return step
