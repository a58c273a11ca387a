"""A prior over codes: which numbers a picture of some class has, one after the other.

A :class:`~tinyae.VQVAE` turns a picture into a few whole numbers and back. What is missing for new
pictures is the distribution of these numbers, which this model learns. With both, text-to-image
models of that kind are complete: here the text is one word, the class.

    k = vqvae.encode(x)                                             # (N, 7, 7)
    prior = CodePrior(vqvae.codes, k.shape[1:], classes=10, rng=rng)
    fit(prior, (k, labels), optimizer=Adam(1e-3))
    vqvae.decode(prior.sample([3, 3, 8], rng))                      # two threes and an eight
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import generator, number, positive_int
from tinyae.arrays import plain
from tinyae.initializers import Initializer, Normal
from tinyae.layers import (
    Dense,
    Embedding,
    LayerNorm,
    LearntPositions,
    Sequential,
    Tokenwise,
    TransformerBlock,
)
from tinyae.models.base import CHUNK, Model, Terms
from tinyae.models.builders import sizes_of
from tinyae.param import Array


class CodePrior(Model):
    """p(k | c) for T codes k out of K and a class c: each code given those before it, by a Transformer.

    Forward   h = [0, E_k₁, …, E_k₍T₋₁₎] + C_c + positions      s = head(blocks(h)),  causal: s_t sees
              the first t tokens      p(k_t | c, k₁ … k_t₋₁) = softmax(s_t)[k_t]
              total = nll = −1/N Σₙ ln p(kₙ | cₙ) = −1/N Σₙ Σ_t ln softmax(s_t)[k_t]
    Shapes    a batch is (k, labels):   k (N, …), of ``shape``, read row by row   labels (N,)
              C (classes, dim)   E (K, dim)   h (N, T, dim)   s (N, T, K)
    Backward  ds = (softmax(s) − onehot(k)) / N      dh by head and blocks, in reverse
              dC[c] = Σ dh where the class is c      dE[k] = Σ dh_t where the token is k
    Units     nats a picture, and no bound but −ln p itself; ``bits`` a code: log₂ K if all are alike
    Raises    TypeError, ValueError for codes or labels that are no whole numbers in range
    Source    van den Oord, Vinyals & Kavukcuoglu (2017), §3.3, for a prior over codes; Esser, Rombach &
              Ommer (2021), §3.2, for a Transformer; the class at every place: van den Oord et al.
              (2016), §2.3

    The papers on Transformers show the class as a first token. Added to every token, it need not first
    be found by attention, and less training is enough. With ``classes=1`` the model is unconditional.
    It is a distribution of codes, not of pictures.
    """

    sums_over_features = False

    def __init__(
        self,
        codes: int,
        shape: Sequence[int],
        classes: int = 10,
        dim: int = 64,
        depth: int = 3,
        heads: int = 4,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        who = "CodePrior"
        self.codes = positive_int(who, "codes", codes, 512)
        self.shape = tuple(sizes_of(who, "shape", shape))
        self.classes = positive_int(who, "classes", classes, 10)
        self.dim, self.heads = positive_int(who, "dim", dim), positive_int(who, "heads", heads, 4)
        self.depth = positive_int(who, "depth", depth, 3)
        self.tokens = math.prod(self.shape)
        more: dict[str, Any] = {"rng": rng, "dtype": dtype}
        tables = {"init": init or Normal(0.02), **more}
        self.classes_table = Embedding(self.classes, self.dim, **tables)
        self.codes_table = Embedding(self.codes, self.dim, **tables)
        self.positions = LearntPositions(self.tokens, self.dim, **tables)
        block = {"causal": True, "init": init, **more}
        self.blocks = Sequential(
            *(TransformerBlock(self.dim, self.heads, **block) for _ in range(self.depth))
        )
        head = Tokenwise(Dense(self.dim, self.codes, init=init, **more))
        self.head = Sequential(LayerNorm(self.dim, dtype=dtype), head)

    # --- training --------------------------------------------------------------------------

    def objective(self, batch: Any, rng: np.random.Generator | None = None) -> Terms:
        k, labels = self._split(batch)
        return self._measure(self._forward(k, labels)[0], k)[0]

    def backprop(self, batch: Any, rng: np.random.Generator | None = None) -> Terms:
        k, labels = self._split(batch)
        s, (label, before, positions, blocks, head) = self._forward(k, labels)
        terms, ds = self._measure(s, k)
        dh = self.blocks.backward(self.head.backward(ds, head), blocks)
        dh = self.positions.backward(dh, positions)
        self.classes_table.backward_params(dh.sum(axis=1), label)
        self.codes_table.backward_params(dh[:, 1:], before)
        return terms

    def evaluate_batch(self, batch: Any, rng: np.random.Generator) -> Terms:
        return self.objective(batch)  # no layer of it differs in inference

    def _forward(self, k: Array, labels: Array) -> tuple[Array, Any]:
        e, before = self.codes_table.forward(k[:, :-1])
        c, label = self.classes_table.forward(labels)
        h, positions = self.positions.forward(_later(e) + c[:, None])
        h, blocks = self.blocks.forward(h)
        s, head = self.head.forward(h)
        return s, (label, before, positions, blocks, head)

    def _measure(self, s: Array, k: Array) -> tuple[Terms, Array]:
        """The terms, and ∂total/∂s."""
        log_p = log_softmax(s)
        nll = -float(_chosen(log_p, k).sum(dtype=np.float64)) / len(k)
        ds = np.exp(log_p)
        np.put_along_axis(ds, k[..., None], np.take_along_axis(ds, k[..., None], 2) - 1, 2)
        ds /= len(k)
        return {"total": nll, "nll": nll, "bits": nll / (self.tokens * math.log(2))}, ds

    def trace(
        self, batch: Any, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[str, Array]]:
        k, labels = self._split(batch)
        e, c = self.codes_table(k[:, :-1]), self.classes_table(labels)
        yield "codes_table", e
        yield "classes_table", c
        h = _later(e) + c[:, None]
        for part in ("positions", "blocks", "head"):
            for name, y in getattr(self, part).trace(h, part):
                yield name, y
            h = y

    def check_data(self, batch: Any) -> None:
        """Check that codes and labels are whole numbers in range."""
        self._split(batch)

    def _split(self, batch: Any) -> tuple[Array, Array]:
        """k as (N, T) and the labels, as integers."""
        if not isinstance(batch, tuple) or len(batch) != 2:
            got = f"{len(batch)} arrays" if isinstance(batch, tuple) else "one array"
            raise TypeError(f"CodePrior: a batch is {got}, expected two; pass (k, labels)")
        k = _whole("k", batch[0], self.codes)
        if k.shape[1:] != self.shape:
            raise ValueError(
                f"CodePrior: k has shape {k.shape}, expected {('N', *self.shape)}; pass what "
                "VQVAE.encode returns, or build the model with another shape"
            )
        labels = _whole("labels", batch[1], self.classes)
        if labels.shape != (len(k),):
            raise ValueError(
                f"CodePrior: labels have shape {labels.shape}, expected ({len(k)},); "
                "pass one for each row of k"
            )
        return k.reshape(len(k), self.tokens), labels

    # --- use -------------------------------------------------------------------------------

    def log_likelihood(self, k: Array, labels: Any) -> Array:
        """ln p(k | c) of each row, in nats: (N,)"""
        k, labels = self._split((k, labels))
        parts = (slice(i, i + CHUNK) for i in range(0, len(k), CHUNK))
        each = [
            _chosen(log_softmax(self._forward(k[part], labels[part])[0]), k[part]).sum(axis=1)
            for part in parts
        ]
        return np.concatenate(each) if each else np.zeros(0, self.dtype)

    def sample(
        self,
        labels: Any,
        rng: np.random.Generator | int = 0,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> Array:
        """New codes for each label: (len(labels), …), drawn code by code from p(k_t | c, k₁ … k_t₋₁).

        ``temperature`` τ divides s: below 1, samples are more typical and less varied. ``top_k`` leaves
        only that many of the most probable codes at each place.
        """
        rng = generator("CodePrior", rng)
        temperature = number("CodePrior", "temperature", temperature, 1.0)
        if not 0 < temperature < math.inf:
            raise ValueError(
                f"CodePrior: temperature is {temperature}, expected > 0 and finite; pass e.g. 0.9"
            )
        top_k = self.codes if top_k is None else positive_int("CodePrior", "top_k", top_k, 50)
        labels = _whole("labels", labels, self.classes)
        if labels.ndim != 1:
            raise ValueError(f"CodePrior: labels have shape {labels.shape}, expected (N,)")
        k = np.empty((len(labels), self.tokens), np.intp)
        for start in range(0, len(k), CHUNK):
            part = slice(start, start + CHUNK)
            c = h = self.classes_table(labels[part])[:, None]
            past: list[Any] = [None] * self.depth
            for t in range(self.tokens):
                s, past = self._next(h + self.positions.P.value[t], past)
                k[part, t] = draw(s[:, 0] / temperature, min(top_k, self.codes), rng)
                h = self.codes_table(k[part, t, None]) + c
        return k.reshape(len(k), *self.shape)

    def _next(self, h: Array, past: list[Any]) -> tuple[Array, list[Any]]:
        """s of one more token, (N, 1, K), where earlier ones left keys and values in ``past``."""
        after = []
        for block, before in zip(self.blocks.layers, past):
            h, kept = block.extend(h, before)  # type: ignore[attr-defined]
            after.append(kept)
        return self.head(h), after


def log_softmax(s: Array) -> Array:
    """ln softmax along the last axis, without overflow"""
    s = s - s.max(axis=-1, keepdims=True)
    return s - np.log(np.exp(s).sum(axis=-1, keepdims=True))


def draw(s: Array, top_k: int, rng: np.random.Generator) -> Array:
    """A number of each row from softmax(s), of the ``top_k`` most probable: (N,)

    With noise g = −ln(−ln u), argmax (s + g) is distributed as softmax(s) (Gumbel 1954).
    """
    s = s.astype(np.float64)
    least = np.partition(s, -top_k, axis=1)[:, -top_k, None]
    return (np.where(s >= least, s, -np.inf) + rng.gumbel(size=s.shape)).argmax(axis=1)


def _later(e: Array) -> Array:
    """One place later: 0 comes first."""
    return np.pad(e, ((0, 0), (1, 0), (0, 0)))


def _chosen(log_p: Array, k: Array) -> Array:
    return np.take_along_axis(log_p, k[..., None], axis=2)[..., 0]


def _whole(name: str, a: Any, count: int) -> Array:
    """An array of whole numbers from 0 to count − 1, as integers.

    Raises
        TypeError, ValueError  otherwise
    """
    a = plain(f"CodePrior: {name}", a)
    if a.dtype.kind not in "iuf":
        raise TypeError(f"CodePrior: {name} are {a.dtype}, expected whole numbers; pass ints")
    low, high = a.min(initial=0), a.max(initial=0)
    if not (low >= 0 and high < count and (a == np.floor(a)).all()):
        raise ValueError(
            f"CodePrior: {name} run from {low} to {high}, expected whole numbers from 0 to "
            f"{count - 1}; pass such numbers, or build the model for more"
        )
    return a.astype(np.intp)
