"""``compile_model``: a model as a function of an array, run as a fixed list of operations.

reconstruct = compile_model(model)
y = reconstruct(x)                       # one call of one compiled function
print(reconstruct.program((1, 28, 28)))  # its list of operations
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tinyae import kernels
from tinyae.arguments import positive_int
from tinyae.arrays import check_array
from tinyae.layers import Layer, Sigmoid
from tinyae.likelihoods import Bernoulli, HeteroscedasticGaussian, Likelihood
from tinyae.losses import BCEWithLogits, Loss
from tinyae.models import (
    GAN,
    Autoencoder,
    ConditionalVariationalAutoencoder,
    Model,
    VariationalAutoencoder,
)
from tinyae.param import Array, Param
from tinyae.program import program as ops
from tinyae.program.lower import Lowering
from tinyae.program.program import Program, Shape, Slot
from tinyae.program.run_numpy import NumpyRuntime
from tinyae.scaling import Scaler

PARTS = ("autoencoder", "encoder", "decoder", "score")
MAX_SHAPES = 4  # for so many sample shapes a compiled model keeps its program and packed weights


class Runtime(Protocol):
    """Runs one program on x (N, *input_shape)."""

    def run(self, x: Array) -> Array: ...


class Compiled:
    """A part of a model as a function: y = compiled(x), x (N, …) in the model's dtype.

    It keeps a copy of the weights at the time of compilation. A program is built for each new
    sample shape; ``program(shape)`` returns it. The programs of the last four shapes are kept,
    each with its weights; another shape takes the oldest one's place. Any number of threads may
    call it at once.

    Raises
        TypeError   x is not an array, or has another dtype than the model
        ValueError  the model does not accept x's shape
    """

    def __init__(self, model: Model, part: str, input_shape: Shape | None = None) -> None:
        check_part("compile", model, part)
        self.model = copy.deepcopy(model)
        self.part = part
        self.dtype = model.dtype
        self._kernel_set = kernels.active()
        self._runtimes: dict[Shape, Runtime] = {}
        self._programs: dict[Shape, Program] = {}
        if input_shape is not None:
            if isinstance(input_shape, str) or not isinstance(input_shape, Sequence):
                raise TypeError(
                    f"compile: input_shape is {input_shape!r:.60}, expected the shape of one sample; "
                    "pass e.g. input_shape=x.shape[1:]"
                )
            self._prepare(tuple(positive_int("compile", "input_shape", n) for n in input_shape))

    def __call__(self, x: Array) -> Array:
        if type(x) is np.ndarray and x.dtype == self.dtype:
            runtime = self._runtimes.get(x.shape[1:])
            if runtime is not None and x.ndim:
                return runtime.run(x)
        return self._call_unprepared(x)

    def program(self, input_shape: Shape) -> Program:
        """The program for samples of that shape."""
        return self._prepare(tuple(input_shape))[1]

    def _call_unprepared(self, x: Any) -> Array:
        """A call with a new sample shape, or with an invalid x."""
        who = f"compiled {self.part}"
        check_array(f"{who}: x", x)
        if x.dtype != self.dtype:
            raise TypeError(
                f"{who}: x is {x.dtype}, the model was compiled in {self.dtype}; "
                f"pass x.astype(np.{self.dtype})"
            )
        if x.ndim < 2:
            raise ValueError(
                f"{who}: x has shape {x.shape}, expected an array whose first axis counts the "
                "samples; for one sample pass x[None]"
            )
        return self._prepare(x.shape[1:])[0].run(np.asarray(x))

    def _prepare(self, shape: Shape) -> tuple[Runtime, Program]:
        # Without a lock: at worst, two threads that meet a shape at once both build its program.
        runtime, program = self._runtimes.get(shape), self._programs.get(shape)
        if runtime is None or program is None:
            program = program_of(self.model, self.part, shape)
            runtime = runtime_of(program, self._kernel_set)
            for oldest in list(self._runtimes)[: 1 - MAX_SHAPES]:
                self._runtimes.pop(oldest, None)
                self._programs.pop(oldest, None)
            self._runtimes[shape], self._programs[shape] = runtime, program
        return runtime, program

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_runtimes": {}, "_programs": {}, "shapes": tuple(self._programs)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        shapes = state.pop("shapes")
        vars(self).update(state)
        self._kernel_set = kernels.active()
        for shape in shapes:
            self._prepare(shape)

    def __repr__(self) -> str:
        shapes = ", ".join(map(str, self._programs)) or "any shape"
        return f"Compiled({type(self.model).__name__}, {self.part!r}, {shapes}, {self.dtype})"


def compile_model(
    model: Model, part: str = "autoencoder", input_shape: Shape | None = None
) -> Compiled:
    """Compile a part of a trained model.

    part
        "autoencoder"   ``model.reconstruct``
        "encoder"       ``model.encode``; for a variational model, the mean
        "decoder"       ``model.decode``; for a GAN, the generator; for a conditional model, the
                        decoder of [z, c], where c is the one-hot label
        "score"         ``model.reconstruction_error``, one number per sample
    input_shape
        the shape of one sample; if omitted, programs are built when they are first needed

    Raises
        TypeError   the model has no such part, or has a layer without an operation
        ValueError  ``part`` is not one of these names, or the model does not accept the shape
    """
    return Compiled(model, part, input_shape)


def program_of(
    model: Model, part: str, input_shape: Shape, learnt: Mapping[str, Param] | None = None
) -> Program:
    """A part of the model as plain data; see :func:`compile_model`.

    learnt    the Params that a device changes, by name: the program reads them as they are
    """
    check_part("compile", model, part)
    lowering = Lowering(tuple(input_shape), model.dtype, learnt)
    x = y = lowering.x
    if part != "decoder":
        x = scaled(lowering, model, x)
        y = _encode(lowering, model, x)
    if part != "encoder":
        y = _decode(lowering, model, y)
    if part in ("autoencoder", "decoder"):
        y = _in_data_units(lowering, model, y)
    if part == "score":
        if y.shape != lowering.x.shape:
            raise ValueError(
                f"compile: a sample has shape {lowering.x.shape}, its reconstruction {y.shape}; "
                f"end the decoder with Reshape{lowering.x.shape}, or pass x of the other shape"
            )
        y = lowering.append(ops.SquaredError(y, lowering.block(()), x))
    return lowering.program(y)


def program_of_layer(layer: Layer, input_shape: Shape) -> Program:
    """A layer in inference mode as plain data; see :func:`compile_model` for what it raises."""
    lowering = Lowering(tuple(input_shape), layer.dtype)
    return lowering.program(lowering.add(layer, lowering.x))


def in_float32(who: str, program: Program) -> Program:
    """The program with weights of 32 bits.

    Raises
        ValueError  a weight is not finite there
    """
    with np.errstate(over="ignore"):
        weights = program.weights.astype(np.float32)
    if not np.isfinite(weights).all():
        raise ValueError(
            f"{who}: the model has weights that are NaN, infinite or too large for a 32-bit "
            "float; train it again with a smaller learning rate, or load an earlier checkpoint"
        )
    return dataclasses.replace(program, weights=weights)


def check_part(who: str, model: Any, part: str) -> None:
    if part not in PARTS:
        raise ValueError(f"{who}: part is {part!r}, expected one of {', '.join(PARTS)}")
    if isinstance(model, GAN | ConditionalVariationalAutoencoder):
        if part != "decoder":
            raise TypeError(
                f"{who}: part is {part!r} of a {type(model).__name__}, expected 'decoder': "
                "the rest does not go from one array to one array; pass part='decoder'"
            )
    elif not isinstance(model, Autoencoder | VariationalAutoencoder):
        raise TypeError(
            f"{who}: the model is {model!r}, expected one with an encoder and a decoder, such as "
            "an Autoencoder or a VariationalAutoencoder"
        )


def scaled(lowering: Lowering, model: Model, x: Slot) -> Slot:
    """(x − shift) / scale: in two steps, so that x − shift loses no digits in float32."""
    if model.scaler is None:
        return x
    model.scaler.check_shape("compile", x.shape)
    shift, scale = per_channel(model.scaler, x.shape)
    one, zero = np.ones_like(shift), np.zeros_like(shift)
    for a, b in ((one, -shift), (1 / scale, zero)):
        weights = lowering.weight(a), lowering.weight(b)
        x = lowering.append(ops.Affine(x, lowering.block(x.shape), *weights))
    return x


def _in_data_units(lowering: Lowering, model: Model, y: Slot) -> Slot:
    """y · scale + shift"""
    if model.scaler is None:
        return y
    model.scaler.check_shape("compile", y.shape)
    shift, scale = per_channel(model.scaler, y.shape)
    weights = lowering.weight(scale), lowering.weight(shift)
    return lowering.append(ops.Affine(y, lowering.block(y.shape), *weights))


def per_channel(scaler: Scaler, shape: Shape) -> tuple[Array, Array]:
    """shift and scale, a number for each channel.

    Raises
        TypeError  they differ within a channel
    """
    full = (np.broadcast_to(a, shape).reshape(shape[0], -1) for a in (scaler.shift, scaler.scale))
    shift, scale = full
    if (shift != shift[:, :1]).any() or (scale != scale[:, :1]).any():
        raise TypeError(
            f"compile: the scaler differs within a channel of samples {shape}, which the compiled "
            "program has no operation for; scale each channel as a whole"
        )
    return shift[:, 0].copy(), scale[:, 0].copy()


def _encode(lowering: Lowering, model: Any, x: Slot) -> Slot:
    h = lowering.add(model.encoder, x)
    return lowering.add(model.mean, h) if isinstance(model, VariationalAutoencoder) else h


def _decode(lowering: Lowering, model: Any, z: Slot) -> Slot:
    """The decoder, followed by the mean of its output distribution (e.g. a sigmoid of logits)."""
    if isinstance(model, GAN):
        return lowering.add(model.generator, z)
    y = lowering.add(model.decoder, z)
    if isinstance(model, VariationalAutoencoder):
        output_mean, owner = type(model.likelihood).mean, model.likelihood
        if output_mean is HeteroscedasticGaussian.mean:  # the first half, [m, s]
            return y._replace(shape=(y.shape[0] // 2, *y.shape[1:]))
        identity, logistic = output_mean is Likelihood.mean, output_mean is Bernoulli.mean
    else:
        loss = model.loss.unweighted
        output_mean, owner = type(loss).prediction, loss
        identity, logistic = output_mean is Loss.prediction, output_mean is BCEWithLogits.prediction
    if identity:
        return y
    if logistic:
        sigmoid: Layer = Sigmoid()
        return lowering.add(sigmoid, y)
    raise TypeError(
        f"compile: {owner} has a reading of the decoder's output of its own, which the compiled "
        "program has no operation for; compile the encoder, or use a class of tinyae"
    )


def runtime_of(program: Program, kernel_set: str) -> Runtime:
    """What runs a program with that set of kernels."""
    if kernel_set == "numpy":
        return NumpyRuntime(program)
    from tinyae.program.run_numba import NumbaRuntime

    return NumbaRuntime(program)
