"""Losses: ``L, dy = loss(y, target)``, the mean over all elements and its gradient ∂L/∂y.

    MSE              squared error             any output
    L1               absolute error            any output
    Huber            squared, then absolute    any output
    BCE              cross-entropy             probabilities in [0, 1], as a Sigmoid gives them
    BCEWithLogits    the same, of σ(y)         logits: any real number, no Sigmoid before it
    WeightedLoss     any of these              features that count more or less

The reduction matters wherever two terms are weighed against each other. Here it is always the
mean over samples and features. For likelihoods in nats a sample, see :mod:`tinyae.likelihoods`.
"""

from __future__ import annotations

import math

import numpy as np

from tinyae import kernels
from tinyae.arguments import number
from tinyae.arrays import FLOATS, check_array, check_float, real
from tinyae.param import Array

Range = tuple[float, float]


class OutOfRange(ValueError):
    """Data beyond what a loss, a likelihood or a decoder is for: no training, but measurable."""


_SLACK = 1e-6  # rounding may carry a scaled pixel this far beyond 0 or 1


class Loss:
    """A number that says how far y is from the target. Subclasses define :meth:`elements`.

    ``output_range`` is where y must lie and ``target_range`` where the target must, None for
    anywhere.

    Raises
        ValueError  y and target differ in shape, are empty, or leave their ranges (a NaN is let
                    through: it shows in L, where the training loop sees it)
        TypeError   they are not arrays of float32 or float64, or differ in dtype
    """

    output_range: Range | None = None
    target_range: Range | None = None

    def __call__(self, y: Array, target: Array) -> tuple[float, Array]:
        who = type(self).__name__
        if type(y) is not np.ndarray or y.dtype not in FLOATS:  # the check itself takes longer
            check_float(f"{who}: y", y)
        if type(target) is not np.ndarray:
            check_array(f"{who}: the target", target)
        if y.shape != target.shape:
            raise ValueError(
                f"{who}: y has shape {y.shape}, the target {target.shape}; they must be equal: "
                f"end the decoder with Reshape{target.shape[1:]} or flatten the target"
            )
        if y.dtype != target.dtype:
            raise TypeError(
                f"{who}: y is {y.dtype}, the target {target.dtype}; "
                f"pass target.astype(np.{y.dtype})"
            )
        if not y.size:
            raise ValueError(f"{who}: y is empty, shape {y.shape}; the mean needs an element")
        check_range(f"{who}: y", y, self.output_range, "end the decoder with Sigmoid()")
        self.check_target(target)
        return self.measure(y, target)

    def check_target(self, target: Array) -> None:
        """Raise a ValueError if the target leaves its range."""
        who = type(self).__name__
        check_range(f"{who}: the target", target, self.target_range, "scale the data to [0, 1]")

    def measure(self, y: Array, target: Array) -> tuple[float, Array]:
        """L and ∂L/∂y. Where a kernel has both in one pass, a subclass calls it."""
        each, slope = self.elements(y, target)
        return float(each.mean(dtype=np.float64)), slope / y.dtype.type(y.size)

    def elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        """The loss ℓ of each element, of which L is the mean, and ∂ℓ/∂y."""
        raise NotImplementedError

    def evaluate(self, y: Array, target: Array) -> float:
        """L alone, also of a target beyond its range, where anomalies lie."""
        try:
            return self(y, target)[0]
        except OutOfRange:
            check_range(f"{type(self).__name__}: y", y, self.output_range, "end in Sigmoid()")
            return self.measure(y, target)[0]

    def prediction(self, y: Array) -> Array:
        """The prediction that y stands for, in the data's unit: y itself, or σ(y) for logits."""
        return y

    @property
    def unweighted(self) -> Loss:
        """The loss whose elements are weighed: this one, but for :class:`WeightedLoss`."""
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class MSE(Loss):
    """Mean squared error.

    Forward   L = 1/n Σ (y − t)²
    Shapes    y, t of one shape with n elements   L a float
    Backward  dy = 2 (y − t) / n
    Units     the data's, squared, a feature
    Source    Goodfellow, Bengio & Courville (2016), §5.1.4
    """

    def measure(self, y: Array, target: Array) -> tuple[float, Array]:
        return kernels.mse(y, target)

    def elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        d = y - target
        return d * d, 2 * d


class L1(Loss):
    """Mean absolute error: less affected by outliers than MSE.

    Forward   L = 1/n Σ |y − t|
    Shapes    y, t of one shape with n elements   L a float
    Backward  dy = sign(y − t) / n,   0 where y = t
    Units     the data's, a feature
    Source    Bishop (2006), §1.5.5, the Minkowski loss with q = 1
    """

    def measure(self, y: Array, target: Array) -> tuple[float, Array]:
        return kernels.l1(y, target)

    def elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        d = y - target
        return np.abs(d), np.sign(d)


class Huber(Loss):
    """Squared error of small differences, absolute error of large ones.

    Forward   L = 1/n Σ h(y − t),   h(d) = d²/2 where |d| ≤ δ, else δ (|d| − δ/2)
    Shapes    y, t of one shape with n elements   L a float
    Backward  dy = clip(y − t, −δ, δ) / n
    Units     the data's, squared, a feature; half the MSE where no difference is above δ
    Raises    ValueError unless δ > 0
    Source    Huber (1964), §1; Hastie, Tibshirani & Friedman (2009), eq. 10.23, twice this

    With c = clip(d, −δ, δ), h(d) = c (d − c/2) in both cases.
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = number("Huber", "delta", delta, 1.0)
        if not 0 < self.delta < math.inf:
            raise ValueError(f"Huber: delta is {delta}, expected a number > 0; pass e.g. delta=1.0")

    def measure(self, y: Array, target: Array) -> tuple[float, Array]:
        d = y - target
        c = np.clip(d, -self.delta, self.delta)
        return float((c * (d - 0.5 * c)).mean(dtype=np.float64)), c / d.size

    def elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        d = y - target
        c = np.clip(d, -self.delta, self.delta)
        return c * (d - 0.5 * c), c

    def __repr__(self) -> str:
        return f"Huber({self.delta})"


class BCE(Loss):
    """Binary cross-entropy of probabilities y, safe at 0 and 1: y is clipped to [ε, 1 − ε].

    Forward   L = −1/n Σ [t ln y + (1 − t) ln(1 − y)]
    Shapes    y, t of one shape with n elements, both in [0, 1]   L a float
    Backward  dy = (y − t) / (n y (1 − y))
    Units     nats a feature; ε is the dtype's machine epsilon
    Source    Goodfellow, Bengio & Courville (2016), §6.2.2.2
    """

    output_range = (0.0, 1.0)
    target_range = (0.0, 1.0)

    def measure(self, y: Array, target: Array) -> tuple[float, Array]:
        return kernels.bce(y, target, float(np.finfo(y.dtype).eps))

    def elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        eps = float(np.finfo(y.dtype).eps)
        y = np.clip(y, eps, 1 - eps)
        each = -(target * np.log(y) + (1 - target) * np.log1p(-y))
        return each, (y - target) / (y * (1 - y))


class BCEWithLogits(Loss):
    """Binary cross-entropy of σ(y), from the logits y: no ln 0 and no overflow at any y.

    Forward   L = 1/n Σ [max(y, 0) − y t + ln(1 + e^−|y|)]
    Shapes    y, t of one shape with n elements, t in [0, 1]   L a float
    Backward  dy = (σ(y) − t) / n
    Units     nats a feature
    Source    Goodfellow, Bengio & Courville (2016), §6.2.2.2: softplus((1 − 2t) y) for t in {0, 1}
    """

    target_range = (0.0, 1.0)

    def measure(self, y: Array, target: Array) -> tuple[float, Array]:
        return kernels.bce_with_logits(y, target)

    def elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        each = np.maximum(y, 0) - y * target + np.log1p(np.exp(-np.abs(y)))
        return each, kernels.sigmoid(y) - target

    def prediction(self, y: Array) -> Array:
        return kernels.sigmoid(y)


class WeightedLoss(Loss):
    """A loss in which some features count more than others.

    Forward   L = 1/n Σ w ℓ(y, t),   ℓ the loss of an element, whose mean is ``loss``
    Shapes    y, t (N, …) with n elements   w any shape that broadcasts to one sample's: (D,) for a
              table (N, D), (C, 1, 1) for the channels of images, (H, W) for places in them
    Backward  dy = w ℓ′(y, t) / n
    Units     those of ``loss``, if w has the mean 1
    Raises    ValueError unless w is finite, ≥ 0 and not all 0, and broadcasts to a sample
    Source    Aitken (1936), for weights 1/σ² of features with noise of their own

    A feature of weight 0 is not learnt at all. ``model.score`` stays the unweighted squared error. To
    weigh samples, pass ``sample_weight`` to ``fit``.
    """

    def __init__(self, loss: Loss, weights: Array | float) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(f"WeightedLoss: loss is {loss!r:.60}, expected a Loss; pass e.g. MSE()")
        self.loss = loss
        self.weights = real("WeightedLoss: weights", weights).astype(np.float64)
        if (
            not np.isfinite(self.weights).all()
            or (self.weights < 0).any()
            or not self.weights.any()
        ):
            raise ValueError(
                "WeightedLoss: weights has an entry that is negative, NaN or infinite, or all are 0; "
                "expected numbers ≥ 0; pass e.g. 1 / x.var(axis=0)"
            )
        self.output_range, self.target_range = loss.output_range, loss.target_range

    def elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        own, sample = self.weights.shape, y.shape[1:]
        ends = sample[len(sample) - len(own) :]
        if len(own) > len(sample) or any(a not in (1, b) for a, b in zip(own, ends)):
            raise ValueError(
                f"WeightedLoss: weights has shape {own}, a sample {sample}; pass a weight for each "
                "feature, or of a shape that broadcasts to a sample's"
            )
        w = self.weights.astype(y.dtype)
        each, slope = self.loss.elements(y, target)
        return w * each, w * slope

    def prediction(self, y: Array) -> Array:
        return self.loss.prediction(y)

    @property
    def unweighted(self) -> Loss:
        return self.loss.unweighted

    def __repr__(self) -> str:
        return f"WeightedLoss({self.loss}, weights of shape {self.weights.shape})"


def check_range(what: str, a: Array, bounds: Range | None, do: str) -> None:
    """Raise unless every entry of ``a`` lies in ``bounds``, up to rounding. NaN passes.

    Raises
        OutOfRange  an entry lies outside
    """
    if bounds is None or not a.size:
        return
    low, high = float(a.min()), float(a.max())
    if low < bounds[0] - _SLACK or high > bounds[1] + _SLACK:
        raise OutOfRange(
            f"{what} lies in [{low:.6g}, {high:.6g}], expected [{bounds[0]:g}, {bounds[1]:g}]; {do}"
        )
