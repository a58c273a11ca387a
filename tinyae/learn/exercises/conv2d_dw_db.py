"""17: a convolution's gradients of kernel and bias."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise

# N, C, O, H, W, kh, kw, stride: N, O, H′ and W′ differ, and with stride 2 an edge is left over
CASES = ((3, 1, 11, 6, 9, 2, 3, 1), (3, 2, 5, 6, 9, 3, 2, 2))


def case(N: int, C: int, O: int, H: int, W: int, kh: int, kw: int, stride: int) -> dict[str, Any]:
    rng = np.random.default_rng(stride)
    return {
        "x": rng.normal(size=(N, C, H, W)),
        "W": rng.normal(size=(O, C, kh, kw)),
        "b": rng.normal(size=O),
        "stride": stride,
    }


def small() -> dict[str, Any]:
    """One picture of 3 × 3 pixels, one kernel of 2 × 2, stride 1."""
    return {
        "dy": np.array([[[[1.0, 0.0], [0.0, 10.0]]]]),
        "x": np.arange(1.0, 10.0).reshape(1, 1, 3, 3),
        "W": np.array([[[[1.0, 2.0], [3.0, 4.0]]]]),
        "b": np.zeros(1),
        "stride": 1,
    }


def ask(e: Examiner, function: str, w: str) -> None:
    """The gradient that ``function`` gives of w, in all CASES."""
    for lengths in CASES:
        inputs = case(*lengths)
        y = e.solution.conv2d(*inputs.values())
        e.gradient(
            function,
            e.solution.conv2d,
            inputs,
            (w,),
            sizes={**dict(zip(("N", "O", "H′", "W′"), y.shape)), "taps": lengths[5] * lengths[6]},
            note=f"stride = {lengths[-1]}",
        )


def check(e: Examiner) -> None:
    e.values("conv2d_dw", small(), ("dW",))
    e.values("conv2d_db", small(), ("db",))
    ask(e, "conv2d_dw", "W")
    ask(e, "conv2d_db", "b")


EXERCISE = Exercise(
    title="Convolution: the gradients of kernel and bias",
    fill=("conv2d_dw", "conv2d_db"),
    hints=(
        "Take one tap: W[o,c,u,v] multiplies x[n, c, s i + u, s j + v] wherever it is used, and what "
        "it makes goes into y[n,o,i,j]. So which products are summed, and over which letters?",
        "dW[o,c,u,v] = Σ over n, i and j of dy[n,o,i,j] · x[n, c, s i + u, s j + v]: for each tap the "
        "same shifted view as in forward, times dy. b[o] is added at every n, i and j.",
        "In two loops over u and v: dW[:, :, u, v] = np.einsum('nohw,nchw->oc', dy, "
        "window(x, u, v, height, width, stride)), with height, width = dy.shape[2:]. "
        "db = dy.sum(axis=(0, 2, 3)).",
    ),
    check=check,
)
