"""Principal component analysis, the linear baseline of every autoencoder, for data of any size.

The axes are the eigenvectors of the scatter matrix S = Xᵀ X of the centred data X (N, D). Three
ways lead there, and the sizes decide which is taken:

    D ≤ N           S itself, (D, D), summed over blocks of rows
    N < D           the Gram matrix G = X Xᵀ, (N, N), summed over blocks of columns: if G u = s² u,
                    then Xᵀ u / s is an axis
    both are large  subspace iteration from random directions: Q ← orth(S Q), where S Q = Xᵀ (X Q)
                    needs no more than Q, (D, k + p), beside a block of rows

The data are read block by block, and never copied as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinyae.arguments import positive_int
from tinyae.arrays import real, row_weights
from tinyae.param import Array
from tinyae.progress import Work, work
from tinyae.wording import counted

_MOST_BYTES = 2 << 30  # that a comparison may take beside the data
_BLOCK = 2**21  # numbers of a block: 16 MB in float64, enough rows for a fast matrix product
_MIN_EXTRA = 10  # directions beside the k that are wanted (p in Halko, Martinsson & Tropp)
_TOLERANCE = 2e-5  # of the reconstruction error: passes end where no more is to be gained
_PASSES = 8  # that most data need
_LONG = 1500  # of a square matrix whose eigenvectors take more than a second or two


class PCA:
    """Principal component analysis: the k-number linear code with the least squared error.

    Forward   z = (x − m) Vᵀ      x̂ = z V + m      m = the mean, V (k, D) orthonormal rows
    Shapes    x (N, …), seen as (N, D)   z (N, k)   x̂ as x
    Raises    ValueError unless 1 ≤ k ≤ min(N, D), x is finite, and later x has the same D
    Source    Eckart & Young (1936); Bishop (2006), §12.1; for large data Halko, Martinsson & Tropp
              (2011), §4.5, algorithm 4.4; the bound: Mathias (1998), theorem 2.1

    The rows of V are the eigenvectors of the covariance with the largest eigenvalues, in falling
    order; the entry of largest magnitude in each is positive. ``explained_variance_`` has these,
    ``explained_variance_ratio_`` their shares of the variance of all features. The optimum of a
    linear autoencoder with k units has PCA's error (Baldi & Hornik 1989).

    Where N and D are both large the axes are iterated, from directions that depend on D and k alone,
    until a full decomposition could lower the reconstruction error of the data by no more than
    2·10⁻⁵ of itself: ``error_bound_``, an estimate, else 0.
    """

    def __init__(self, n_components: int) -> None:
        self.n_components = positive_int("PCA", "n_components", n_components)

    def fit(self, x: Array, y: object = None, sample_weight: Any = None) -> PCA:
        """Compute the mean, the axes and the variances along them; returns self.

        ``y`` is not used: a pipeline of scikit-learn passes it. ``sample_weight`` (N,) says how often
        a row counts: m = Σ w x / Σ w, and S = Σ w (x − m)ᵀ(x − m).
        """
        x = real("PCA: x", x)
        root, total_weight = _roots(x, sample_weight)
        if root is not None:
            x, root = x[root > 0], root[root > 0]
        rows, width, k = len(x) if x.ndim else 0, math.prod(x.shape[1:]), self.n_components
        if x.ndim < 2 or k > min(rows, width):
            raise ValueError(
                f"PCA: x has shape {x.shape}, expected (N, …) with at least "
                f"{counted(k, 'row')} and {counted(k, 'column')} for n_components={k}; pass more data "
                "or fewer"
            )
        flat = x.reshape(rows, width)
        mean = np.zeros(width)
        with work("PCA", unit="block") as w:
            for block, weight in zip(_blocks(flat, w), _blocks_of(root, flat)):
                mean += block.sum(axis=0) if weight is None else np.square(weight) @ block
            mean /= total_weight
            if not np.isfinite(mean).all():
                raise ValueError(
                    "PCA: x holds NaN or infinity, expected finite numbers; remove them"
                )
            self.error_bound_ = 0.0
            data = _Data(flat, mean, root, w)
            iterated = _by_iteration(data, k) if _is_iterated(rows, width, k) else None
            if iterated:
                scatter, axes, total, self.error_bound_ = iterated
            else:
                scatter, axes, total = (_by_features if width <= rows else _by_rows)(data, k)
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        self.mean_, self.shape_ = mean, x.shape[1:]
        self.components_ = axes * np.where(largest < 0, -1.0, 1.0)
        self.explained_variance_ = scatter / (total_weight - 1 if total_weight > 1 else 1)
        self.explained_variance_ratio_ = scatter / (total or 1.0)  # 0 for constant data
        return self

    def transform(self, x: Array) -> Array:
        """The codes z (N, k), in x's dtype."""
        x = self._check(x)
        out = np.empty((len(x), self.n_components), _floating(x))
        start = 0
        with work("PCA: codes", unit="block") as w:
            for block in _blocks(x.reshape(len(x), -1), w):
                out[start : start + len(block)] = (block - self.mean_) @ self.components_.T
                start += len(block)
        return out

    def inverse_transform(self, z: Array) -> Array:
        """The reconstruction x̂ (N, …) of codes z, in z's dtype."""
        self._check_fitted()
        z = real("PCA: z", z)
        if z.ndim != 2 or z.shape[1] != self.n_components:
            raise ValueError(
                f"PCA: z has shape {z.shape}, expected (N, {self.n_components}); "
                "pass what transform gave"
            )
        out = np.empty((len(z), self.mean_.size), _floating(z))
        steps = range(0, len(z), 256)
        with work("PCA: reconstructions", len(steps), "block") as w:
            for start in w.over(steps):
                part = z[start : start + 256].astype(np.float64)
                out[start : start + 256] = part @ self.components_ + self.mean_
        return out.reshape(len(z), *self.shape_)

    def reconstruct(self, x: Array) -> Array:
        """``inverse_transform(transform(x))``: the best reconstruction from k numbers."""
        return self.inverse_transform(self.transform(x))

    def _check_fitted(self) -> None:
        if not hasattr(self, "components_"):
            raise ValueError("PCA: it has seen no data yet; call fit(x) first")

    def _check(self, x: Array) -> Array:
        self._check_fitted()
        x = real("PCA: x", x)
        if x.ndim < 2 or math.prod(x.shape[1:]) != self.mean_.size:
            raise ValueError(
                f"PCA: x has shape {x.shape}, expected (N, …) with "
                f"{counted(self.mean_.size, 'number')} a sample; pass samples of shape {self.shape_}"
            )
        return x

    def __repr__(self) -> str:
        return f"PCA({self.n_components})"


def memory(rows: int, width: int, n_components: int) -> int:
    """The bytes that :meth:`PCA.fit` needs beside the data, at most."""
    size = min(rows, width)
    held = max(4 * size * size, 6 * width * _directions(size, n_components))
    return 8 * (held + width * (n_components + 3) + 3 * max(_BLOCK, width))


def is_affordable(rows: int, width: int, n_components: int) -> bool:
    """Whether :meth:`PCA.fit` needs no more than 2 GB beside the data."""
    return memory(rows, width, n_components) <= _MOST_BYTES


def _passes_that_pay(rows: int, width: int, k: int) -> int:
    """The passes over the data in which the smaller of the two square matrices would be done."""
    size = min(rows, width)
    matrix = rows * width * size + 9 * size**3  # multiply-adds: the sum, and its eigenvectors
    return matrix // (2 * rows * width * _directions(size, k))


def _is_iterated(rows: int, width: int, k: int) -> bool:
    return min(rows, width) > 1000 and _passes_that_pay(rows, width, k) > _PASSES


def _directions(size: int, k: int) -> int:
    return min(size, k + max(_MIN_EXTRA, k // 2))


# --- the axes: (the k largest eigenvalues of S, their axes (k, D), the sum of all eigenvalues) ----


class _Data(NamedTuple):
    """The rows x (N, D), their mean, √w of each row or None, and whom to tell what is done."""

    x: Array
    mean: Array
    root: Array | None
    work: Work

    def centred(self) -> Iterator[Array]:
        """√w (x − m), block by block."""
        for block, weight in zip(_blocks(self.x, self.work), _blocks_of(self.root, self.x)):
            block -= self.mean
            if weight is not None:
                block *= weight[:, None]
            yield block

    def columns(self, part: slice) -> Array:
        """The same, of some columns."""
        block = self.x[:, part].astype(np.float64) - self.mean[part]
        return block if self.root is None else block * self.root[:, None]


def _by_features(data: _Data, k: int) -> tuple[Array, Array, float]:
    """From S (D, D)."""
    S = np.zeros((len(data.mean), len(data.mean)))
    for block in data.centred():
        S += block.T @ block
    data.work.say(f"eigenvectors of {len(S):,} × {len(S):,} numbers", long=len(S) > _LONG)
    values, axes = np.linalg.eigh(S)
    return np.maximum(values[::-1][:k], 0), axes.T[::-1][:k], float(np.trace(S))


def _by_rows(data: _Data, k: int) -> tuple[Array, Array, float]:
    """From G (N, N). Axes along which the data do not vary are any that complete the basis."""
    rows, width = data.x.shape
    G = np.zeros((rows, rows))
    step = max(_BLOCK // rows, 1)
    parts = [slice(a, a + step) for a in range(0, width, step)]
    data.work.expect(len(parts))
    for part in data.work.over(parts):
        block = data.columns(part)
        G += block @ block.T
    data.work.say(f"eigenvectors of {len(G):,} × {len(G):,} numbers", long=len(G) > _LONG)
    values, u = np.linalg.eigh(G)
    values, u = np.maximum(values[::-1][:k], 0), u[:, ::-1][:, :k]
    projected = np.concatenate([data.columns(part).T @ u for part in parts])
    return values, np.linalg.qr(projected)[0].T, float(np.trace(G))  # lengths s, nearly orthogonal


def _by_iteration(data: _Data, k: int) -> tuple[Array, Array, float, float] | None:
    """Subspace iteration; the fourth number estimates what is left to gain, a share of the error.

    None where the spectrum is so flat that the square matrix is the shorter way.
    """
    rows, width = data.x.shape
    Q = np.random.default_rng(0).normal(size=(width, _directions(min(rows, width), k)))
    Q, R = np.linalg.qr(Q)
    last_Q, total = np.zeros_like(Q), 0.0
    for n in range(_passes_that_pay(rows, width, k)):
        SQ = np.zeros_like(Q)
        for block in data.centred():
            if n == 0:
                total += float(np.square(block).sum())
            SQ += block.T @ (block @ Q)
        values, U = np.linalg.eigh(Q.T @ SQ)
        values, U = np.maximum(values[::-1], 0), U[:, ::-1]
        # How far these are from eigenvalues: |R|² over the gap to what is outside of Q.
        residual = float(np.square(SQ @ U[:, :k] - Q @ (U[:, :k] * values[:k])).sum())
        gap = max(float(values[k - 1] - values[-1]), math.sqrt(residual / k)) or 1.0
        rounding = 100 * np.finfo(np.float64).eps * total
        error = max(total - float(values[:k].sum()), rounding) or 1.0
        if residual / gap <= max(_TOLERANCE * error, rounding):
            return values[:k], (Q @ U[:, :k]).T, total, residual / gap / error
        # The power method with momentum: S Q − β Q₋₁ R⁻¹, β = (λ / 2)², λ the least value wanted.
        momentum = (values[-1] / 2) ** 2 * np.linalg.solve(R.T, last_Q.T).T if n else 0.0
        last_Q = Q
        Q, R = np.linalg.qr(SQ - momentum)
    return None


def _roots(x: Array, sample_weight: Any) -> tuple[Array | None, float]:
    """√w of each row, None without weights, and Σ w.

    Raises
        ValueError  not a weight for each row, one is negative, NaN or infinite, or all are 0
    """
    rows = len(x) if x.ndim else 0
    if sample_weight is None:
        return None, rows
    w = row_weights("PCA", sample_weight, rows)
    return np.sqrt(w), float(w.sum())


def _blocks(x: Array, w: Work) -> Iterator[Array]:
    """The rows in float64, block by block: copies, which the caller may change."""
    parts = _parts(x)
    w.expect(len(parts))
    for part in w.over(parts):
        yield x[part].astype(np.float64)


def _blocks_of(root: Array | None, x: Array) -> Iterator[Array | None]:
    """√w of the rows in each block."""
    for part in _parts(x):
        yield None if root is None else root[part]


def _parts(x: Array) -> list[slice]:
    step = max(_BLOCK // max(x.shape[1], 1), 1)
    return [slice(start, start + step) for start in range(0, len(x), step)]


def _floating(x: Array) -> np.dtype[Any]:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
