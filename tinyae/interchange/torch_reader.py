"""``from_torch``: a PyTorch network as layers, with its weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae import layers
from tinyae.initializers import Zeros
from tinyae.layers import Layer
from tinyae.param import Array

_ASK = "write it with modules that have a layer, or convert the parts around it"


def from_torch(net: Any) -> layers.Sequential:
    """A ``torch.nn.Sequential`` as a Sequential of layers, with copies of its weights.

    The layers compute what ``net`` does, and so do their gradients. Networks with a ``forward`` of
    their own have no order that could be read: build them from layers, then
    :func:`tinyae.load_torch_state` copies the weights.

    Raises
        TypeError   ``net`` is no module, or has one that tinyae has no layer for
        ValueError  a module has an argument that the layer does not have
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(net, torch.nn.Module):
        raise TypeError(
            f"from_torch: got a {type(net).__name__}, expected a torch.nn.Sequential; pass the "
            "network itself (a file of weights goes to load_torch_state)"
        )
    made = _Reader(torch.nn).read(net)
    return made if isinstance(made, layers.Sequential) else layers.Sequential(made)


class _Reader:
    """Modules to layers; a module that occurs twice is one layer."""

    def __init__(self, nn: Any) -> None:
        self.nn = nn
        self.made: dict[int, Layer] = {}
        self.table = _table(nn)

    def read(self, module: Any) -> Layer:
        if id(module) not in self.made:
            self.made[id(module)] = self._read(module)
        return self.made[id(module)]

    def _read(self, module: Any) -> Layer:
        name = type(module).__name__
        if type(module) is self.nn.Sequential:
            return self.sequential(list(module))
        if type(module).__module__ == "tinyae.interchange.torch_modules":
            return self.own(name, module)
        make = self.table.get(type(module))
        if make is None:
            known = ", ".join(sorted(cls.__name__ for cls in self.table))
            raise TypeError(
                f"from_torch: {name} has no layer; {_ASK}. Those that have one: Sequential, {known}"
            )
        made = make(module)
        return made if isinstance(made, Layer) else layers.Sequential(*made)

    def sequential(self, modules: list[Any]) -> Layer:
        parts: list[Layer] = []
        if len(modules) == 2 and type(modules[0]).__name__ == "SamePad":
            return _same(self.read(modules[1]), modules[1])
        if len(modules) == 2 and getattr(modules[0], "transposed", False) and _crops(modules[1]):
            return _same(self.read(modules[0]), modules[0])
        for k, module in enumerate(modules):
            pooled = isinstance(module, (self.nn.AdaptiveAvgPool2d, self.nn.AdaptiveMaxPool2d))
            if pooled and not isinstance((modules[k + 1 :] or [None])[0], self.nn.Flatten):
                raise ValueError(
                    f"from_torch: {type(module).__name__} keeps images of one pixel, tinyae's "
                    "GlobalAvgPool2d gives rows; let nn.Flatten() follow"
                )
            if not isinstance(module, self.nn.Identity):
                parts.append(self.read(module))
        return layers.Sequential(*parts)

    def own(self, name: str, module: Any) -> Layer:
        if name in ("Residual", "Skip"):
            return getattr(layers, name)(self.read(module.layer))
        if name == "Parallel":
            return layers.Parallel(*map(self.read, module.branches))
        if name == "TiedLinear":
            dense = self.read(module.linear[0])
            assert isinstance(dense, layers.Dense)
            return _filled(layers.TiedDense(dense), b=module.bias)
        if name == "TopK":
            return layers.TopK(module.k, module.inference_k)
        if name == "BatchNorm":
            return _batch_norm(module)
        if name == "PixelNorm":
            return layers.PixelNorm(module.eps)
        raise TypeError(f"from_torch: {name} stands before a convolution; convert both together")


def array(tensor: Any) -> Array:
    """A copy of a tensor as float32 or float64."""
    a = tensor.detach().cpu()
    return (a.double() if a.dtype.itemsize == 8 else a.float()).numpy().copy()


def _filled(layer: Any, **tensors: Any) -> Any:
    """The layer with these values; None leaves what the layer begins with."""
    for name, tensor in tensors.items():
        if tensor is not None:
            target = getattr(layer, name)
            target = getattr(target, "value", target)
            target[...] = array(tensor).reshape(target.shape)
    return layer


def _dtype(module: Any) -> Any:
    p = next(iter(module.parameters()), None)
    return np.float32 if p is None or p.dtype.itemsize < 8 else np.float64


def _expect(module: Any, name: str, *allowed: Any) -> None:
    value = getattr(module, name)
    if value not in allowed:
        raise ValueError(
            f"from_torch: {type(module).__name__} has {name}={value!r}, expected "
            f"{' or '.join(map(repr, allowed))}; {_ASK}"
        )


def _number(value: Any) -> Any:
    """1-D modules keep their arguments in tuples of one."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def _linear(m: Any) -> Layer:
    layer = layers.Dense(m.in_features, m.out_features, init=Zeros(), dtype=_dtype(m))
    return _filled(layer, W=m.weight, b=m.bias)


def _convolution(cls: Any) -> Callable[[Any], Any]:
    def make(m: Any) -> Any:
        _expect(m, "padding_mode", "zeros", "reflect")
        before: list[Layer] = []
        padding = 0 if m.padding == "valid" else _number(m.padding)
        if m.padding_mode == "reflect":
            if len(m.kernel_size) != 2 or isinstance(padding, str):
                raise ValueError(f"from_torch: {m} mirrors its border, expected zeros; {_ASK}")
            before, padding = [layers.Pad2d(padding, "reflect")], 0
        more = {"dilation": _number(m.dilation), "groups": m.groups}
        if m.transposed:
            more["output_padding"] = _number(m.output_padding)
        arguments = m.in_channels, m.out_channels, _number(m.kernel_size), _number(m.stride)
        layer = cls(*arguments, padding, init=Zeros(), dtype=_dtype(m), **more)
        _filled(layer, W=m.weight, b=m.bias)
        return [*before, layer] if before else layer

    return make


def _crops(module: Any) -> bool:
    return "ConstantPad" in type(module).__name__ and min(module.padding) < 0


def _same(layer: Any, module: Any) -> Layer:
    """A convolution with padding="same", as to_torch writes it"""
    k, s = _number(module.kernel_size), _number(module.stride)
    cls, size = type(layer), (layer.in_channels, layer.out_channels)
    same = cls(*size, k, s, "same", init=Zeros(), dtype=layer.dtype)
    return _filled(same, W=module.weight, b=module.bias)


def _pool(cls: Any) -> Callable[[Any], Any]:
    def make(m: Any) -> Any:
        arguments = [_number(a) for a in (m.kernel_size, m.stride, m.padding)]
        more = {}
        if "Max" in cls.__name__:
            _expect(m, "return_indices", False)
            more["dilation"] = _number(m.dilation)
        else:
            if hasattr(m, "divisor_override"):
                _expect(m, "divisor_override", None)
            if m.count_include_pad and np.any(arguments[2]):
                if m.ceil_mode or cls is not layers.AvgPool2d:
                    raise ValueError(
                        f"from_torch: {m} counts the padding, which {cls.__name__} does not; pass "
                        "count_include_pad=False"
                    )
                return [layers.Pad2d(arguments[2]), cls(*arguments[:2])]
        return cls(*arguments, m.ceil_mode, **more)

    return make


def _global_pool(cls: Any) -> Callable[[Any], Layer]:
    def make(m: Any) -> Layer:
        _expect(m, "output_size", 1, (1, 1))
        return cls()

    return make


def _upsample(m: Any) -> Layer:
    _expect(m, "mode", "nearest", "linear", "bilinear")
    _expect(m, "align_corners", None, False)
    pair = m.scale_factor if isinstance(m.scale_factor, tuple) else (m.scale_factor,) * 2
    if m.size is not None or any(s is None or s != int(s) for s in pair) or len(pair) > 2:
        raise ValueError(f"from_torch: {m}, expected a whole scale_factor; {_ASK}")
    if len(pair) == 1 or m.mode == "linear":
        return layers.Upsample1d(int(pair[0]), m.mode)
    return layers.Upsample2d((int(pair[0]), int(pair[1])), m.mode)


def _pad(mode: str) -> Callable[[Any], Layer]:
    def make(m: Any) -> Layer:
        if hasattr(m, "value"):
            _expect(m, "value", 0, 0.0)
        left, right, top, bottom = m.padding
        return layers.Pad2d((top, bottom, left, right), mode)

    return make


def _flatten(m: Any) -> Layer:
    _expect(m, "start_dim", 1)
    _expect(m, "end_dim", -1)
    return layers.Flatten()


def _unflatten(m: Any) -> Layer:
    _expect(m, "dim", 1)
    return layers.Reshape(*m.unflattened_size)


def _batch_norm(m: Any) -> Layer:
    _expect(m, "track_running_stats", True)
    momentum = 0.1 if m.momentum is None else m.momentum
    layer = layers.BatchNorm(m.num_features, m.eps, momentum, dtype=_dtype(m))
    more = {"running_mean": m.running_mean, "running_var": m.running_var}
    return _filled(layer, gamma=m.weight, beta=m.bias, **more)


def _layer_norm(m: Any) -> Layer:
    layer = layers.LayerNorm(tuple(m.normalized_shape), m.eps, dtype=_dtype(m))
    return _filled(layer, gamma=m.weight, beta=m.bias)


def _rms_norm(m: Any) -> Layer:
    eps = float(np.finfo(_dtype(m)).eps) if m.eps is None else m.eps
    layer = layers.RMSNorm(tuple(m.normalized_shape), eps, dtype=_dtype(m))
    return _filled(layer, gamma=m.weight)


def _group_norm(m: Any) -> Layer:
    layer = layers.GroupNorm(m.num_groups, m.num_channels, m.eps, dtype=_dtype(m))
    return _filled(layer, gamma=m.weight, beta=m.bias)


def _instance_norm(m: Any) -> Layer:
    _expect(m, "track_running_stats", False)
    layer = layers.InstanceNorm(m.num_features, m.eps, dtype=_dtype(m))
    return _filled(layer, gamma=m.weight, beta=m.bias)


def _prelu(m: Any) -> Layer:
    return _filled(layers.PReLU(m.num_parameters, dtype=_dtype(m)), a=m.weight)


def _softmax(m: Any) -> Layer:
    _expect(m, "dim", 1)
    return layers.Softmax()


def _softplus(m: Any) -> Layer:
    _expect(m, "beta", 1, 1.0)
    return layers.Softplus()


def _gelu(m: Any) -> Layer:
    return layers.TanhGELU() if m.approximate == "tanh" else layers.GELU()


def _glu(m: Any) -> Layer:
    _expect(m, "dim", 1)
    return layers.GLU()


def _plain(cls: Any) -> Callable[[Any], Layer]:
    return lambda m: cls()


def _table(nn: Any) -> dict[Any, Callable[[Any], Any]]:
    names = ("ReLU", "SELU", "Sigmoid", "Tanh", "SiLU", "Mish", "Hardswish")
    return {
        **{getattr(nn, name): _plain(getattr(layers, name)) for name in names},
        nn.Linear: _linear,
        nn.Conv1d: _convolution(layers.Conv1d),
        nn.Conv2d: _convolution(layers.Conv2d),
        nn.ConvTranspose1d: _convolution(layers.ConvTranspose1d),
        nn.ConvTranspose2d: _convolution(layers.ConvTranspose2d),
        nn.MaxPool1d: _pool(layers.MaxPool1d),
        nn.MaxPool2d: _pool(layers.MaxPool2d),
        nn.AvgPool1d: _pool(layers.AvgPool1d),
        nn.AvgPool2d: _pool(layers.AvgPool2d),
        nn.AdaptiveAvgPool2d: _global_pool(layers.GlobalAvgPool2d),
        nn.AdaptiveMaxPool2d: _global_pool(layers.GlobalMaxPool2d),
        nn.Upsample: _upsample,
        nn.UpsamplingNearest2d: _upsample,
        nn.GLU: _glu,
        nn.PixelShuffle: lambda m: layers.PixelShuffle(m.upscale_factor),
        nn.ZeroPad2d: _pad("zero"),
        nn.ConstantPad2d: _pad("zero"),
        nn.ReflectionPad2d: _pad("reflect"),
        nn.Flatten: _flatten,
        nn.Unflatten: _unflatten,
        nn.BatchNorm1d: _batch_norm,
        nn.BatchNorm2d: _batch_norm,
        nn.LayerNorm: _layer_norm,
        nn.GroupNorm: _group_norm,
        nn.InstanceNorm1d: _instance_norm,
        nn.InstanceNorm2d: _instance_norm,
        nn.RMSNorm: _rms_norm,
        nn.LeakyReLU: lambda m: layers.LeakyReLU(m.negative_slope),
        nn.ELU: lambda m: layers.ELU(m.alpha),
        nn.Hardsigmoid: lambda m: layers.HardSigmoid(1 / 6),
        nn.Softplus: _softplus,
        nn.GELU: _gelu,
        nn.PReLU: _prelu,
        nn.Softmax: _softmax,
        nn.Dropout: lambda m: layers.Dropout(m.p, rng=np.random.default_rng(0)),
    }
