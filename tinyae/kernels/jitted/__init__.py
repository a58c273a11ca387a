"""The kernels of :mod:`tinyae.kernels.reference`, as loops compiled by Numba.

Each function has the same name, signature and result as its definition there. It brings its arrays
into one memory layout (so that few variants need to be compiled), allocates the result, and calls a
compiled loop nest, whose name begins with an underscore.

``simd_tile``        the innermost loop of matrix products and convolutions, in vector registers
``vector_expression``  an activation's f and f′ as instructions within that loop
``matmul``           matrix products
``mlp``              consecutive dense layers with their activations
``layout``           images with the batch outermost or innermost in memory
``convolution``      convolution and its two gradients
``conv_loop``        the loop of every convolution, which compiled programs share
``conv_tables``      which pixels use which taps: the tables that this loop follows
``pooling``          the loops of pools, which compiled programs share
``batch_norm``       BatchNorm of images
``group_norm``       GroupNorm of images
``warp``             affine resampling of images
``vector_math``      eˣ, ln(1 + x) and related functions, written as arithmetic
``activations``      the loops of each activation, generated from ``kernels/functions.py``
``elementwise``      activations and losses, one pass over memory each
``optimizer_steps``  optimizer steps for all params in one call
``cfunc``            compiled functions called by address, arrays found by address
``threads``          compiler options, and when a loop is shared among threads
``disk_cache``       compiled code on disk, beside these files or where there is room

``fastmath`` may reorder sums and contract a·b + c. It preserves NaN and infinity, so a diverged
training run remains visible.

Raises
    ImportError  NUMBA_DISABLE_JIT is set: these loops are written for the compiler, and as Python
                 they would not run
"""

from __future__ import annotations

from numba import config

if config.DISABLE_JIT:
    raise ImportError(
        "kernels: NUMBA_DISABLE_JIT is set, and the set 'numba' runs compiled only; "
        'unset it, or choose kernels.use("numpy")'
    )

from tinyae.kernels.jitted.batch_norm import batch_norm, batch_norm_backward
from tinyae.kernels.jitted.convolution import (
    bias_grad,
    conv2d,
    conv2d_input_grad,
    conv2d_input_grad_relu,
    conv2d_relu,
    conv2d_weight_grad,
)
from tinyae.kernels.jitted.elementwise import (
    bce,
    bce_with_logits,
    elu,
    elu_backward,
    erfc,
    l1,
    mse,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    tanh,
    tanh_backward,
)
from tinyae.kernels.jitted.group_norm import group_norm, group_norm_backward
from tinyae.kernels.jitted.matmul import (
    affine,
    affine_grad,
    matmul,
    matmul_nt,
    matmul_tn,
    row_sq_norms,
)
from tinyae.kernels.jitted.mlp import mlp, mlp_backprop, mlp_backward
from tinyae.kernels.jitted.optimizer_steps import adam, adamw, momentum, nesterov, rmsprop, sgd
from tinyae.kernels.jitted.pooling import max_pool2d, max_pool2d_backward
from tinyae.kernels.jitted.warp import warp

__all__ = [
    "adam",
    "adamw",
    "affine",
    "affine_grad",
    "batch_norm",
    "batch_norm_backward",
    "bias_grad",
    "bce",
    "bce_with_logits",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_input_grad_relu",
    "conv2d_relu",
    "conv2d_weight_grad",
    "elu",
    "elu_backward",
    "group_norm",
    "group_norm_backward",
    "row_sq_norms",
    "erfc",
    "l1",
    "matmul",
    "matmul_nt",
    "matmul_tn",
    "max_pool2d",
    "max_pool2d_backward",
    "mlp",
    "mlp_backprop",
    "mlp_backward",
    "momentum",
    "mse",
    "nesterov",
    "relu",
    "relu_backward",
    "rmsprop",
    "sgd",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "tanh",
    "tanh_backward",
    "warp",
]
