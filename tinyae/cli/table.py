"""A table that compares a model with PCA at the same code size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.models import in_unit_interval
from tinyae.cli.rows import labelled
from tinyae.cli.wording import say
from tinyae.data.columns import Rows
from tinyae.param import Array

Row = tuple[str, ...]
_PCA_ROWS = 20_000
_PCA_NUMBERS = 1 << 28  # of the larger of its matrices: beyond that PCA is left out


def quality_rows(model: Any, train: Rows, test: Rows, which: str = "test") -> list[Row]:
    """How well the model and PCA reconstruct rows; the first row is the table's head.

    PCA learns from ``train``. A denoising model and its PCA are given noisy input, the same for both,
    and "noisy" is how far that is from the truth; PCA then has at most as many components as the code,
    and as many as denoise best. Data are compared as the model scales them.
    """
    bare, given = model.in_scaled_units(), labelled(model, test)
    x = _scaled(model, test.x)
    noisy = x
    if isinstance(model, ta.DenoisingAutoencoder) and model.corruption is not None:
        noisy = model.corruption(x, np.random.default_rng(0))
        y = bare.reconstruct(noisy)
    elif isinstance(given, tuple):
        y = bare.reconstruct((x, test.y))
    else:
        y = bare.reconstruct(x)
    if y.shape != x.shape:
        raise ValueError(
            f"a sample has shape {x.shape[1:]}, its reconstruction {y.shape[1:]}: they cannot be "
            "compared; use `tinyae reconstruct`"
        )
    bounded = in_unit_interval(x)
    structural = bounded and x.ndim == 4 and min(x.shape[2:]) >= 11  # SSIM's window is 11 × 11
    spread = float(x.var())

    def row(name: str, size: str, y: Array) -> Row:
        error = ta.metrics.mse(y, x)
        cells = [name, size, f"{error:.5f}"]
        if bounded:
            cells.append(f"{ta.metrics.psnr(y, x):.2f}")
        else:
            cells.append(f"{10 * math.log10(spread / error) if error and spread else math.inf:.2f}")
        cells += [f"{ta.metrics.ssim(y, x):.3f}"] if structural else []
        return tuple(cells)

    head = [f"{which} set" if which == "test" else f"{which} rows", "code", "MSE"]
    head.append("PSNR dB" if bounded else "SNR dB")
    head += ["SSIM"] if structural else []
    denoises = noisy is not x
    z = bare.encode(
        (x[:1], test.y[:1]) if isinstance(given, tuple) and test.y is not None else x[:1]
    )
    code_size = z.size
    rows = [tuple(head)]
    if denoises:
        rows.append(row("noisy", "", noisy))
    rows.append(row("autoencoder" + ", denoised" * denoises, str(code_size), y))
    pca = _pca(_scaled(model, train.x), min(code_size, math.prod(x.shape[1:])))
    if pca is not None and denoises:
        pca = _best_for_noisy(pca, _scaled(model, train.x), model.corruption)
    if pca is None:
        return rows
    y_pca = pca.reconstruct(noisy).astype(np.float32)
    of_noisy = " on noisy" if denoises else ""
    rows.append(row(f"PCA{of_noisy}, {pca.n_components} components", str(pca.n_components), y_pca))
    if bounded:
        clipped = np.clip(y_pca, 0, 1)
        rows.append(row("  the same, clipped to 0…1", str(pca.n_components), clipped))
    return rows


def _scaled(model: Any, x: Array) -> Array:
    return np.asarray(model.as_input(np.asarray(x)), np.float32)


def _pca(x: Array, size: int) -> ta.metrics.PCA | None:
    """PCA of some of the rows; None, with a word, if it would take too much memory."""
    x = x[:: max(1, len(x) // _PCA_ROWS)]
    width = math.prod(x.shape[1:])
    if min(len(x), width) * width > _PCA_NUMBERS:
        say(f"no PCA to compare with: its axes of {width:,} numbers take too much memory")
        return None
    return ta.metrics.PCA(min(size, len(x))).fit(x)


def _best_for_noisy(pca: ta.metrics.PCA, x: Array, corruption: Any) -> ta.metrics.PCA:
    """As many of the components as reconstruct x best from noisy x: each one lets noise pass, too.

    With k of them the squared error is Σⱼ≤ₖ (c̃ⱼ − cⱼ)² + Σⱼ>ₖ cⱼ² and what PCA leaves out, where c
    and c̃ are the components of x and of noisy x.
    """
    x = x[:_PCA_ROWS]
    c, noisy = pca.transform(x), pca.transform(corruption(x, np.random.default_rng(1)))
    gain = np.square(c).sum(axis=0) - np.square(noisy - c).sum(axis=0)
    return ta.metrics.PCA(int(np.argmax(np.cumsum(gain))) + 1).fit(x)


def print_table(rows: list[Row]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for k, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())
        if k == 0:
            print("  ".join("─" * w for w in widths))
