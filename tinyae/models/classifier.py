"""A classifier, to measure how well an encoder's features predict labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.arrays import check_array, check_real, plain
from tinyae.data.batches import batches, count
from tinyae.layers import Layer, Softmax
from tinyae.models.base import Model, Terms
from tinyae.models.checks import check_parts
from tinyae.param import Array


class Classifier(Model):
    """Class probabilities by a softmax over a network's outputs, learnt from labels.

    Forward   s = f(x)      p = softmax(s)      total = cross_entropy = −1/N Σₙ ln p[n, tₙ]
    Shapes    a batch is (x, t):   x (N, …)   labels t (N,), ints 0 … K − 1   s, p (N, K)
    Backward  ds = (p − onehot(t)) / N
    Units     nats a sample: ln K for a uniform guess;   ``error`` is the share of wrong guesses
    Raises    TypeError, ValueError for labels that are not integers or are out of range
    Source    Goodfellow, Bengio & Courville (2016), §6.2.2.3

    ``network`` ends in a linear layer with one output per class. ln p is computed from s by
    log-sum-exp, which cannot overflow.
    """

    sums_over_features = False

    def __init__(self, network: Layer) -> None:
        check_parts(type(self).__name__, Layer, network=network)
        self.network = network

    # --- training --------------------------------------------------------------------------

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        x, labels = self._pair(x)
        s, _ = self.network.forward(x)
        return self._measure(s, labels)[0]

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        x, labels = self._pair(x)
        s, cache = self.network.forward(x)
        terms, ds = self._measure(s, labels)
        self.network.backward_params(ds, cache)
        return terms

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        x, labels = self._pair(x)
        return self._measure(self.network(x), labels)[0]

    def _measure(self, s: Array, labels: Array) -> tuple[Terms, Array]:
        """The terms, and ∂total/∂s."""
        if s.ndim != 2 or labels.max(initial=0) >= s.shape[1]:
            raise ValueError(
                f"Classifier: the network's output has shape {s.shape}, the labels run to "
                f"{labels.max(initial=0)}; end the network in Dense(…, {labels.max(initial=0) + 1}) "
                "or number the classes from 0"
            )
        error = float((s.argmax(axis=1) != labels).mean())
        L, ds = cross_entropy(s, labels)
        return {"total": L, "cross_entropy": L, "error": error}, ds

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        yield from self.network.trace(self._pair(x)[0], "network")

    def check_data(self, x: Any) -> None:
        """Check x, and that every sample has one label, an integer ≥ 0."""
        super().check_data(x)
        count(x)
        self._pair(x)

    def _pair(self, batch: Any) -> tuple[Array, Array]:
        if not isinstance(batch, tuple) or len(batch) != 2:
            got = f"{len(batch)} arrays" if isinstance(batch, tuple) else "one array"
            raise TypeError(f"Classifier: a batch is {got}, expected two; pass (x, labels)")
        x, labels = batch
        check_array("Classifier: labels", labels)
        if labels.dtype.kind not in "iu":
            raise TypeError(
                f"Classifier: labels are {labels.dtype}, expected integers; pass labels.astype(int)"
            )
        if labels.shape != (len(x),) or labels.min(initial=0) < 0:
            raise ValueError(
                f"Classifier: labels have shape {labels.shape} and begin at "
                f"{labels.min(initial=0)}, expected ({len(x)},) and ints from 0; "
                "number the classes 0 … K − 1"
            )
        return x, labels

    # --- use -------------------------------------------------------------------------------

    def predict_proba(self, x: Array) -> Array:
        """p (N, K), each row a distribution over the classes."""
        softmax = Softmax()
        return self._in_chunks(lambda part: softmax(self.network(part)), x)

    def predict(self, x: Array) -> Array:
        """The most probable class of each sample, (N,) ints.

        Raises
            ValueError  the network gives NaN, of which no class is the most probable
        """

        def most_probable(part: Array) -> Array:
            s = self.network(part)
            if np.isnan(s).any():
                row = int(np.argwhere(np.isnan(s))[0, 0])
                raise ValueError(
                    f"Classifier: the network's output for row {row} of a batch is NaN, expected "
                    "numbers, of which one is the largest; look for NaN in x or in the weights"
                )
            return s.argmax(axis=1)

        return self._in_chunks(most_probable, x)

    def error(self, x: Array, labels: Array) -> float:
        """The share of samples whose most probable class is not their label."""
        check_real("Classifier: x", x)
        labels = plain("Classifier: labels", labels)
        self._pair((x, labels))
        wrong = [np.sum(self.predict(a) != t) for a, t in batches((x, labels), 1024)]
        return float(np.sum(wrong) / len(x))


def cross_entropy(s: Array, labels: Array) -> tuple[float, Array]:
    """L = −1/n Σ ln pₙ[tₙ], p the softmax of s (N, K), and ds = (p − onehot(t)) / n."""
    n, rows = len(s), np.arange(len(s))
    s = s - s.max(axis=1, keepdims=True)
    e = np.exp(s)
    total = e.sum(axis=1, keepdims=True)
    log_p = s[rows, labels] - np.log(total[:, 0])
    ds = e / total
    ds[rows, labels] -= 1
    ds /= n
    return -float(log_p.mean(dtype=np.float64)), ds
