"""PyTorch modules for layers that PyTorch has no module for. Importing this file imports torch.

:func:`tinyae.to_torch` makes them, and :func:`tinyae.from_torch` reads them back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Residual(nn.Module):
    """y = x + f(x)"""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        return x + self.layer(x)


class Skip(nn.Module):
    """y = [x, f(x)] along axis 1"""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        return torch.cat([x, self.layer(x)], dim=1)


class Parallel(nn.Module):
    """y = [f₁(x), …, f_K(x)] along axis 1"""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Any) -> Any:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class TiedLinear(nn.Module):
    """y = x V + b, where V is another Linear's weight"""

    def __init__(self, linear: nn.Linear, bias: Any) -> None:
        super().__init__()
        self.linear = [linear]  # in a list: of the module itself only the weight is shared
        self.weight = linear.weight
        self.bias = nn.Parameter(bias)

    def forward(self, x: Any) -> Any:
        return nn.functional.linear(x, self.weight.T, self.bias)


class TopK(nn.Module):
    """y = x at the k largest entries of each sample, else 0; the first of equal entries pass"""

    def __init__(self, k: int, inference_k: int | None) -> None:
        super().__init__()
        self.k, self.inference_k = k, inference_k

    def forward(self, x: Any) -> Any:
        k = self.k if self.training or self.inference_k is None else self.inference_k
        rows = x.flatten(1)
        places = rows.detach().sort(dim=1, descending=True, stable=True).indices[:, :k]
        mask = torch.zeros_like(rows).scatter(1, places, 1.0)
        return (rows * mask).reshape(x.shape)


class PixelNorm(nn.Module):
    """y = x / √(mean x² + ε) over axis 1"""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Any) -> Any:
        return x / torch.sqrt((x * x).mean(dim=1, keepdim=True) + self.eps)


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm1d and BatchNorm2d in one: x may be (N, D), (N, C, L) or (N, C, H, W)"""

    def _check_input_dim(self, input: Any) -> None:
        pass


class SamePad(nn.Module):
    """The zeros that ⌈length/s⌉ windows need, an odd one at the end: before a strided convolution"""

    def __init__(self, kernel_size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Any) -> Any:
        pad: list[int] = []
        for n, k, s in zip(x.shape[2:], self.kernel_size, self.stride):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            pad = [total // 2, total - total // 2, *pad]  # PyTorch begins with the last axis
        return nn.functional.pad(x, pad)
