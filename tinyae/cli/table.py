"""A table that compares a model with PCA at the same code size."""

from __future__ import annotations

import math

import numpy as np

import tinyae as ta
from tinyae.cli.models import ReconstructingModel, in_unit_interval
from tinyae.data import Dataset

Row = tuple[str, ...]


def quality_rows(model: ReconstructingModel, dataset: Dataset) -> list[Row]:
    """How well the model and PCA reconstruct the test part; the first row is the table's head."""
    x_train, x = (np.asarray(part, np.float32) for part in (dataset.x_train, dataset.x_test))
    y = model.reconstruct(x)
    code_size = model.encode(x[:1]).size
    pca = ta.metrics.PCA(min(code_size, math.prod(x.shape[1:]), len(x_train))).fit(x_train)
    y_pca = pca.reconstruct(x).astype(np.float32)
    bounded = in_unit_interval(x)
    structural = bounded and x.ndim == 4 and min(x.shape[2:]) >= 11  # SSIM's window is 11 × 11

    def row(name: str, size: int, y: np.ndarray) -> Row:
        cells = [name, str(size), f"{ta.metrics.mse(y, x):.5f}"]
        cells += [f"{ta.metrics.psnr(y, x):.2f}"] if bounded else []
        cells += [f"{ta.metrics.ssim(y, x):.3f}"] if structural else []
        return tuple(cells)

    head = ["test set", "code", "MSE"]
    head += ["PSNR dB"] if bounded else []
    head += ["SSIM"] if structural else []
    rows = [tuple(head), row("autoencoder", code_size, y)]
    rows.append(row(f"PCA, {pca.n_components} components", pca.n_components, y_pca))
    if bounded:
        rows.append(row("  the same, clipped to 0…1", pca.n_components, np.clip(y_pca, 0, 1)))
    return rows


def print_table(rows: list[Row]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for k, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())
        if k == 0:
            print("  ".join("─" * w for w in widths))
