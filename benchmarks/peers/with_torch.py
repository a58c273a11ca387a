"""The networks in PyTorch: the same layers, weights and losses, in idiomatic PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import tinyae as ta


def layers_of(layer: ta.Layer) -> nn.Module:
    """A tinyae layer as a module with a copy of its weights.

    Raises
        TypeError  there is no translation for its type
    """
    if isinstance(layer, ta.Sequential):
        return nn.Sequential(*map(layers_of, layer.layers))
    if isinstance(layer, ta.Dense):
        return _filled(nn.Linear(layer.in_features, layer.out_features), layer)
    if isinstance(layer, ta.Conv2d):
        sizes = (layer.in_channels, layer.out_channels, layer.kernel_size)
        return _filled(nn.Conv2d(*sizes, layer.stride, layer.padding), layer)
    if isinstance(layer, ta.ConvTranspose2d):
        sizes = (layer.in_channels, layer.out_channels, layer.kernel_size)
        options = (layer.stride, layer.padding, layer.output_padding)
        return _filled(nn.ConvTranspose2d(*sizes, *options), layer)
    if isinstance(layer, ta.BatchNorm):
        module = nn.BatchNorm2d(layer.num_features, layer.eps, layer.momentum)
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(layer.gamma.value))
            module.bias.copy_(torch.from_numpy(layer.beta.value))
        return module
    if isinstance(layer, ta.MaxPool2d):
        return nn.MaxPool2d(layer.kernel_size, layer.stride)
    if isinstance(layer, ta.Skip):
        return Skip(layers_of(layer.layer))
    if isinstance(layer, ta.Reshape):
        return nn.Unflatten(1, layer.shape)
    simple = {
        ta.Flatten: nn.Flatten,
        ta.ReLU: nn.ReLU,
        ta.ELU: nn.ELU,
        ta.Sigmoid: nn.Sigmoid,
        ta.Tanh: nn.Tanh,
    }
    if type(layer) not in simple:
        raise TypeError(f"PyTorch: no translation of {layer}; add one to benchmarks/peers")
    return simple[type(layer)]()


class Skip(nn.Module):
    """Input and output, concatenated"""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.layer(x)], dim=1)


def _filled(module: nn.Module, layer: Any) -> nn.Module:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(layer.W.value))
        module.bias.copy_(torch.from_numpy(layer.b.value))
    return module


class Plain(nn.Module):
    """Reconstruction with MSE or L1, plus the contractive penalty if it has a weight."""

    def __init__(self, model: ta.Autoencoder) -> None:
        super().__init__()
        self.encoder, self.decoder = layers_of(model.encoder), layers_of(model.decoder)
        self.loss = {ta.MSE: F.mse_loss, ta.L1: F.l1_loss}[type(model.loss)]
        self.weight = getattr(model, "weight", 0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(x))

    def objective(self, x: torch.Tensor) -> torch.Tensor:
        h = self.encoder(x)
        L = self.loss(self.decoder(h), x)
        if not self.weight:
            return L
        # Rifai et al. (2011), eq. 6: ‖J‖² = Σⱼ (hⱼ (1 − hⱼ))² Σᵢ W²ⱼᵢ, averaged over samples
        dense = next(m for m in self.encoder if isinstance(m, nn.Linear))
        slope = h * (1 - h)
        contraction = slope.square().mean(dim=0) @ dense.weight.square().sum(dim=1)
        return L + self.weight * contraction


class Variational(nn.Module):
    """Bernoulli −ELBO in nats per sample, with one draw of z."""

    def __init__(self, model: ta.VariationalAutoencoder) -> None:
        super().__init__()
        self.encoder, self.decoder = layers_of(model.encoder), layers_of(model.decoder)
        self.mean, self.logvar = layers_of(model.mean), layers_of(model.logvar)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.mean(self.encoder(x))).sigmoid()

    def objective(self, x: torch.Tensor) -> torch.Tensor:
        h = self.encoder(x)
        mu, logvar = self.mean(h), self.logvar(h)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        nll = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()
        return (nll + kl) / len(x)


def module_of(model: ta.Model) -> nn.Module:
    return Variational(model) if isinstance(model, ta.VariationalAutoencoder) else Plain(model)


def eager(model: ta.Model, x: np.ndarray, threads: int) -> Callable[[], Any]:
    """A training step with the default Adam."""
    return _step(model, x, threads, fused=False, compiled=False)


def fused(model: ta.Model, x: np.ndarray, threads: int) -> Callable[[], Any]:
    """The same with Adam in one pass over all params."""
    return _step(model, x, threads, fused=True, compiled=False)


def compiled(model: ta.Model, x: np.ndarray, threads: int) -> Callable[[], Any]:
    """The same with forward, loss and backward compiled for this batch size."""
    torch._dynamo.reset()  # otherwise a second batch size is compiled for all sizes, and is slower
    return _step(model, x, threads, fused=True, compiled=True)


def _step(
    model: ta.Model, x: np.ndarray, threads: int, fused: bool, compiled: bool
) -> Callable[[], Any]:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net, batch = module_of(model), torch.from_numpy(x)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=fused)
    objective = torch.compile(net.objective, dynamic=False) if compiled else net.objective

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        L = objective(batch)
        L.backward()
        optimizer.step()
        return L.detach()

    return step


def inference(model: ta.Model, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """Reconstruct a batch under ``inference_mode``, from a NumPy array to a NumPy array."""
    torch.set_num_threads(threads)
    net = module_of(model).eval()

    def run() -> np.ndarray:
        with torch.inference_mode():
            return net(torch.from_numpy(x)).numpy()

    return run


def twin(kernel: str, *arguments: Any) -> Callable[[], Any] | None:
    """PyTorch's equivalent of a tinyae kernel, on the same arrays; None if there is none."""
    tensors = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments]
    if kernel in ("mlp", "mlp_backward"):
        return _mlp(*arguments)
    if kernel == "mlp_backprop":
        return _mlp_step(*arguments)
    if kernel == "adam":
        return _fused_adam(*arguments)
    if kernel == "affine_grad":
        dy, x, dW, db = (a.clone() for a in tensors)
        return lambda: (dW.addmm_(dy.T, x), db.add_(dy.sum(dim=0)))
    if kernel == "bias_grad":
        db = tensors[1].clone()
        return lambda: db.add_(tensors[0].sum(dim=(0, 2, 3)))
    if kernel in _TWINS:
        f = _TWINS[kernel]
        return lambda: f(*tensors)
    fused = kernel.endswith("_relu")
    kernel = kernel.removesuffix("_relu")
    if kernel not in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad"):
        return None
    a, b, stride, (top, bottom, left, right), *rest = tensors
    if (top, left) != (bottom, right):
        return None  # PyTorch pads both sides equally
    pad = (top, left)
    after = rest[kernel != "conv2d" :]
    bias, relu, mask = [*after, *(None, fused, None)[len(after) :]]
    if kernel == "conv2d":
        return lambda: _after_relu(F.conv2d(a, b, bias, stride, pad), relu, mask)
    if kernel == "conv2d_weight_grad":  # a is x, b is dy
        shape = (b.shape[1], a.shape[1], *rest[0])
        return lambda: nn.grad.conv2d_weight(a, shape, b, stride, pad)
    sizes = zip(rest[0], a.shape[2:], stride, pad, b.shape[2:])
    output_padding = [size - ((rows - 1) * s - 2 * p + k) for size, rows, s, p, k in sizes]
    if any(not 0 <= m < s for m, s in zip(output_padding, stride)):
        return None
    return lambda: _after_relu(
        F.conv_transpose2d(a, b, bias, stride, pad, output_padding), relu, mask
    )


def _after_relu(y: torch.Tensor, relu: bool, mask: torch.Tensor | None) -> torch.Tensor:
    y = y.relu_() if relu else y
    return y if mask is None else _TWINS["relu_backward"](y, mask)


def _forward(layers: Any, parts: Any, y: torch.Tensor) -> torch.Tensor:
    for (W, b, *_), layer in zip(parts, layers):
        y = F.linear(y, W, b)
        if layer.f != "linear":
            y = _TWINS[layer.f.lower()](y, *([layer.alpha] if layer.f == "ELU" else []))
    return y


def _mlp(layers: Any, x: Any, *backward_arguments: Any) -> Callable[[], Any]:
    """The operations of consecutive dense layers, forward or backward."""
    parts = [[torch.from_numpy(a) for a in layer[:4]] for layer in layers]
    functions = [(layer.f, layer.alpha) for layer in layers]

    def forward() -> None:
        _forward(layers, parts, x_tensor)

    def backward() -> None:
        g = dy
        for k in reversed(range(len(parts))):
            (W, _, dW, db), (f, alpha) = parts[k], functions[k]
            if f != "linear":
                more = [alpha] if f == "ELU" else []
                g = _TWINS[f"{f.lower()}_backward"](g, caches[k], *more)
            dW.addmm_(g.T, ys[k - 1] if k else x_tensor)
            db.add_(g.sum(dim=0))
            if k or backward_arguments[-1]:
                g = g @ W

    x_tensor = torch.from_numpy(x)
    if not backward_arguments:
        return forward
    ys = [torch.from_numpy(y) for y in backward_arguments[0]]
    caches = ys[: len(parts)]
    for k, z in zip(layers.cached_x, ys[len(parts) :]):
        caches[k] = z
    dy = torch.from_numpy(backward_arguments[1])
    parts = [[a.clone() for a in part] for part in parts]
    return backward


def _mlp_step(
    layers: Any, x: Any, target: Any, loss: str, per_sample: bool, input_grad: bool
) -> Callable[[], Any]:
    """Forward, loss and PyTorch's own backward."""
    parts = [[torch.from_numpy(a.copy()).requires_grad_() for a in layer[:2]] for layer in layers]
    x_tensor = torch.from_numpy(x.copy()).requires_grad_(input_grad)
    target_tensor = torch.from_numpy(target)
    features = target.shape[1] if per_sample else 1

    def run() -> None:
        y = _forward(layers, parts, x_tensor)
        (features * _LOSSES[loss](y, target_tensor)).backward()

    return run


def _fused_adam(
    rows: Any, learning_rate: float, beta1: float, beta2: float, eps: float, t: int
) -> Callable[[], Any]:
    """One pass over all params, without clearing their gradients."""
    value, grad, m, v = ([torch.from_numpy(a.copy()) for a in column] for column in zip(*rows))
    steps = [torch.tensor(float(t)) for _ in value]
    settings = {"lr": learning_rate, "beta1": beta1, "beta2": beta2, "eps": eps}
    settings |= {"weight_decay": 0.0, "amsgrad": False, "maximize": False}
    return lambda: torch._fused_adam_(value, grad, m, v, [], steps, **settings)


_TWINS: dict[str, Callable[..., Any]] = {
    "affine": F.linear,
    "matmul": torch.mm,
    "matmul_nt": lambda a, b: torch.mm(a, b.T),
    "matmul_tn": lambda a, b: torch.mm(a.T, b),
    "max_pool2d": lambda x, kernel, stride: F.max_pool2d(x, kernel, stride, return_indices=True),
    "relu": torch.relu,
    "elu": F.elu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "erfc": torch.erfc,
    "relu_backward": lambda dy, y: torch.ops.aten.threshold_backward(dy, y, 0),
    "elu_backward": lambda dy, x, alpha: torch.ops.aten.elu_backward(dy, alpha, 1, 1, False, x),
    "sigmoid_backward": torch.ops.aten.sigmoid_backward,
    "tanh_backward": torch.ops.aten.tanh_backward,
}

_LOSSES: dict[str, Callable[..., Any]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
}
