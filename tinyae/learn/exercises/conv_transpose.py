"""19: the transposed convolution, the adjoint of a convolution."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner, Unusable
from tinyae.learn.track import Exercise
from tinyae.param import Array

# N, C, O, H, W, kh, kw, stride
CASES = ((5, 3, 2, 4, 3, 3, 2, 1), (3, 2, 1, 3, 4, 3, 2, 2))


def convolve(u: Any, W: Any, stride: int) -> Array:
    """C u: u (N, O, H′, W′) to (N, C, H, W), with W (C, O, kh, kw)."""
    kh, kw = W.shape[2:]
    height, width = (u.shape[2] - kh) // stride + 1, (u.shape[3] - kw) // stride + 1
    y = np.zeros((len(u), len(W), height, width))
    for i in range(height):
        for j in range(width):
            seen = u[:, :, stride * i : stride * i + kh, stride * j : stride * j + kw]
            y[:, :, i, j] = np.einsum("nouv,couv->nc", seen, W)
    return y


def check(e: Examiner) -> None:
    x, W = np.array([[[[1.0, 0.0], [0.0, 10.0]]]]), np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    right = e.solution.conv_transpose2d
    for stride in (1, 2):
        flipped, crowded = right(x, W[:, :, ::-1, ::-1], stride), np.zeros((1, 1, 4, 4))
        crowded[:, :, :3, :3] = right(x, W, 1)
        room = np.zeros((1, 1, 2 * stride + 2, 2 * stride + 2))
        room[:, :, : stride + 2, : stride + 2] = right(x, W, stride)
        remarks = {
            "The kernel is laid down turned by 180°: u and v run upwards in y": flipped,
            "y has room for a kernel too many each way: H′ = s (H − 1) + kh, not s H + kh": room,
        }
        if stride == 1:
            replaced = "Where two kernels overlap the later one has replaced the other: they add"
            remarks[replaced] = _replaced(x, W, stride)
            apart = right(x, W, 2)
            remarks["The kernels lie 2 apart here; they belong s apart, and s is 1"] = apart
        else:
            remarks["The kernels lie 1 apart here; they belong s apart, and s is 2"] = crowded
        inputs = {"x": x, "W": W, "stride": stride}
        e.values("conv_transpose2d", inputs, ("y",), known={"y": remarks})
    e.values(
        "conv_transpose2d_dx",
        {"dy": np.arange(1.0, 10.0).reshape(1, 1, 3, 3), "x": x, "W": W, "stride": 1},
        ("dx",),
    )
    for N, C, O, H, Wd, kh, kw, stride in CASES:
        rng = np.random.default_rng(stride)
        x, W = rng.normal(size=(N, C, H, Wd)), rng.normal(size=(C, O, kh, kw))
        _adjoint(e, x, W, stride, rng)
        e.gradient(
            "conv_transpose2d_dx",
            right,
            {"x": x, "W": W, "stride": stride},
            ("x",),
            sizes={"N": N, "C": C, "O": O, "H": H, "W": Wd},
            note=f"stride = {stride}",
        )


def _replaced(x: Array, W: Array, stride: int) -> Array:
    """What comes out with = in place of +=."""
    height, width, (kh, kw) = *x.shape[2:], W.shape[2:]
    y = np.zeros((1, 1, stride * (height - 1) + kh, stride * (width - 1) + kw))
    for u in range(kh):
        for v in range(kw):
            rows, columns = u + stride * np.arange(height), v + stride * np.arange(width)
            y[0, 0, rows[:, None], columns] = x[0, 0] * W[0, 0, u, v]
    return y


def _adjoint(e: Examiner, x: Array, W: Array, stride: int, rng: np.random.Generator) -> None:
    inputs = {"x": x, "W": W, "stride": stride}
    try:
        y = e.results("conv_transpose2d", inputs, ("y",))["y"]
    except Unusable:
        return
    u = rng.normal(size=e.solution.conv_transpose2d(x, W, stride).shape)
    what = f"⟨Cu, x⟩ = ⟨u, Cᵀx⟩ for random u, x {x.shape}, W {W.shape}, stride {stride}"
    if y.shape != u.shape:
        e.holds("adjoint", what, False, f"Cᵀx has shape {y.shape}, expected {u.shape}")
        return
    left, other = float((convolve(u, W, stride) * x).sum()), float((u * y).sum())
    e.holds("adjoint", what, abs(left - other) < 1e-9 * abs(left), f"{left:.6g} is not {other:.6g}")


EXERCISE = Exercise(
    title="The transposed convolution",
    fill=("conv_transpose2d", "conv_transpose2d_dx"),
    hints=(
        "conv_transpose2d does forward what conv2d_dx of exercise 18 did backward: it scatters. Its own "
        "backward then gathers, as conv2d did forward.",
        "For each tap (u, v): x with the weights W[:, :, u, v], summed over c, is added to y where "
        "window(y, u, v, H, W, stride) shows. Backward reads dy through the same window, and sums "
        "over o.",
        "window(y, u, v, height, width, stride)[...] += np.einsum('nchw,co->nohw', x, W[:, :, u, v]); "
        "dx += np.einsum('nohw,co->nchw', window(dy, u, v, height, width, stride), W[:, :, u, v]), "
        "with height, width = x.shape[2:].",
    ),
    check=check,
)
