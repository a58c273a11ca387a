"""How weights begin: an initialiser draws an array whose variance keeps signals alive.

The variance is chosen so that signals neither die out nor blow up on their way through the layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import number
from tinyae.memory import aligned_copy
from tinyae.param import Array

_MAX_WEIGHTS = 2**40  # of one array; below that, NumPy says how many bytes are missing


class Initializer:
    """Draws a weight array. Biases start at zero, unless ``bias`` says otherwise.

    ``init(shape, fan_in, fan_out, rng, dtype)``: ``fan_in`` inputs feed one output unit, and
    ``fan_out`` units are fed by one input. A dense W (O, I) has fans I and O; a convolution's
    are multiplied by its kernel's area.
    """

    def __call__(
        self,
        shape: tuple[int, ...],
        fan_in: int,
        fan_out: int,
        rng: np.random.Generator | None,
        dtype: DTypeLike,
    ) -> Array:
        if not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"{type(self).__name__}: rng is {rng!r}, expected a numpy.random.Generator; make one "
                "with rng = np.random.default_rng(0) and pass the same one to every layer"
            )
        if math.prod(shape) > _MAX_WEIGHTS:
            raise ValueError(
                f"{type(self).__name__}: weights of shape {shape} are {math.prod(shape):.1e} numbers, "
                f"expected at most {_MAX_WEIGHTS:.1e}; choose a smaller layer"
            )
        return aligned_copy(self.draw(shape, fan_in, fan_out, rng), dtype)

    def draw(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator
    ) -> Array:
        raise NotImplementedError

    def bias(
        self, size: int, weights: tuple[int, ...], rng: np.random.Generator | None, dtype: DTypeLike
    ) -> Array:
        """The bias (size,) of a layer whose weights have the shape ``weights``; drawn after them."""
        return np.zeros(size, dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def initial_bias(
    init: Initializer | Callable[..., Array],
    size: int,
    weights: tuple[int, ...],
    rng: np.random.Generator | None,
    dtype: DTypeLike,
) -> Array:
    """The bias that belongs to weights which ``init`` drew: zeros for a plain function."""
    if isinstance(init, Initializer):
        return init.bias(size, weights, rng, dtype)
    return np.zeros(size, dtype)


def _uniform(shape: tuple[int, ...], variance: float, rng: np.random.Generator) -> Array:
    bound = math.sqrt(3 * variance)  # Var U(−a, a) = a²/3
    return rng.uniform(-bound, bound, shape)


def _normal(shape: tuple[int, ...], variance: float, rng: np.random.Generator) -> Array:
    return rng.normal(0, math.sqrt(variance), shape)


class GlorotUniform(Initializer):
    """U(−a, a) with variance 2 / (fan_in + fan_out): keeps forward and backward variance alike.

    Source    Glorot & Bengio (2010), eq. 16
    """

    def draw(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator
    ) -> Array:
        return _uniform(shape, 2 / (fan_in + fan_out), rng)


class GlorotNormal(Initializer):
    """N(0, 2 / (fan_in + fan_out)).

    Source    Glorot & Bengio (2010), eq. 12
    """

    def draw(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator
    ) -> Array:
        return _normal(shape, 2 / (fan_in + fan_out), rng)


class HeUniform(Initializer):
    """U(−a, a) with variance 2 / fan_in: a ReLU halves the variance, so it is doubled here.

    Source    He et al. (2015), eq. 10
    """

    def draw(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator
    ) -> Array:
        return _uniform(shape, 2 / fan_in, rng)


class HeNormal(Initializer):
    """N(0, 2 / fan_in).

    Source    He et al. (2015), eq. 10
    """

    def draw(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator
    ) -> Array:
        return _normal(shape, 2 / fan_in, rng)


class LeCunUniform(Initializer):
    """U(−a, a) with variance 1 / fan_in: an output unit has the variance of its inputs.

    Source    LeCun, Bottou, Orr & Müller (1998), §4.6, eq. 16
    """

    def draw(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator
    ) -> Array:
        return _uniform(shape, 1 / fan_in, rng)


class LeCunNormal(Initializer):
    """N(0, 1 / fan_in).

    Source    LeCun, Bottou, Orr & Müller (1998), §4.6, eq. 16
    """

    def draw(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator
    ) -> Array:
        return _normal(shape, 1 / fan_in, rng)


class TorchUniform(Initializer):
    """PyTorch's default: weights and biases U(−a, a) with a = 1 / √F, variance 1 / (3 F).

    F is the number of entries in W[0]: a Dense layer's and a convolution's fan_in. For a transposed
    convolution that is the fan_out, for so PyTorch counts: its kaiming_uniform_ takes the second axis
    of every weight for the inputs, and with a = √5 its bound √(6 / ((1 + a²) F)) is 1 / √F.

    Source    torch.nn.Linear and torch.nn.modules.conv, reset_parameters (PyTorch 2.x)
    """

    def draw(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator
    ) -> Array:
        return _uniform(shape, 1 / (3 * math.prod(shape[1:])), rng)

    def bias(
        self, size: int, weights: tuple[int, ...], rng: np.random.Generator | None, dtype: DTypeLike
    ) -> Array:
        assert rng is not None  # the weights have been drawn from it
        return aligned_copy(_uniform((size,), 1 / (3 * math.prod(weights[1:])), rng), dtype)


class Normal(Initializer):
    """N(0, std²), whatever the fans: for layers that batch normalisation rescales anyway.

    Source    Radford, Metz & Chintala (2016), §4: std = 0.02
    """

    def __init__(self, std: float = 0.02) -> None:
        self.std = number("Normal", "std", std, 0.02)
        if not self.std > 0:
            raise ValueError(f"Normal: std is {std}, expected > 0; pass e.g. 0.02")

    def draw(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator
    ) -> Array:
        return rng.normal(0, self.std, shape)

    def __repr__(self) -> str:
        return f"Normal({self.std})"


class Orthogonal(Initializer):
    """A uniformly random (semi-)orthogonal matrix, times ``gain``.

    The weight is treated as a matrix with shape[0] rows. Its rows, or its columns where there
    are more rows, are orthonormal: W Wᵀ = gain² I or Wᵀ W = gain² I.

    Source    Saxe, McClelland & Ganguli (2014), §3; uniform by the sign correction of
              Mezzadri (2007), §5
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("Orthogonal", "gain", gain, 1.0)
        if not math.isfinite(self.gain):
            raise ValueError(f"Orthogonal: gain is {gain}, expected a finite number; pass e.g. 1.0")

    def draw(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator
    ) -> Array:
        rows, columns = shape[0], math.prod(shape[1:])
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))  # makes the distribution uniform (Haar)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)

    def __repr__(self) -> str:
        return f"Orthogonal(gain={self.gain})"


class Zeros(Initializer):
    """All zeros: for weights that are filled from a file. Needs no ``rng``."""

    def __call__(
        self,
        shape: tuple[int, ...],
        fan_in: int,
        fan_out: int,
        rng: np.random.Generator | None,
        dtype: DTypeLike,
    ) -> Array:
        return aligned_copy(0, dtype, shape)
