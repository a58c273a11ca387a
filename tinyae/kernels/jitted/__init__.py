"""The kernels of :mod:`tinyae.kernels.reference` again, as loops that Numba compiles.

Each function has the name, the signature and the meaning of its twin there; read that one for the
definition. It brings its arrays into one layout (so that few variants need to be compiled),
allocates the result and calls a loop nest, whose name begins with an underscore.

``simd_tile``        the innermost loop of products and convolutions, in vector registers
``matmul``           matrix products
``mlp``              dense layers in a row, with their activations
``layout``           images with the batch outermost or innermost in memory
``convolution``      convolution and its two gradients; pooling
``conv_batch_last``  convolution of batches that fill a tile
``warp``             images resampled at other places
``vector_math``      eˣ and its kin, as arithmetic
``activations``      each activation's loops, from the table in ``kernels/functions.py``
``elementwise``      single activations, and losses
``optimizer_steps``  optimizer steps
``cfunc``            compiled code that is called by its address
``threads``          the compiler's options; when work is shared among threads

Compiled code is cached on disk beside these files. ``fastmath`` may reorder sums and contract
a·b + c, but keeps NaN and infinity, so a training that has failed is seen to have failed.
"""

from __future__ import annotations

from tinyae.kernels.jitted.convolution import (
    bias_grad,
    conv2d,
    conv2d_input_grad,
    conv2d_input_grad_relu,
    conv2d_relu,
    conv2d_weight_grad,
    max_pool2d,
    max_pool2d_backward,
)
from tinyae.kernels.jitted.elementwise import (
    bce,
    bce_with_logits,
    elu,
    elu_backward,
    erf,
    l1,
    mse,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
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
from tinyae.kernels.jitted.warp import warp

__all__ = [
    "adam",
    "adamw",
    "affine",
    "affine_grad",
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
    "row_sq_norms",
    "erf",
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
    "tanh",
    "tanh_backward",
    "warp",
]
