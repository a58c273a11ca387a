"""A table that compares a model with PCA at the same code size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyae.cli.rows import labelled
from tinyae.cli.wording import say
from tinyae.data.columns import Rows

if TYPE_CHECKING:
    from tinyae.report.comparison import Quality

Row = tuple[str, ...]


def quality_rows(model: Any, train: Rows, test: Rows, which: str = "test") -> list[Row]:
    """How well the model and PCA reconstruct rows; the first row is the table's head."""
    from tinyae.report.comparison import compare

    x = labelled(model, test)
    try:
        found = compare(model, x, train.x)
    except MemoryError as error:
        say(f"no PCA to compare with: {error}")
        found = compare(model, x)
    head = [f"{which} set" if which == "test" else f"{which} rows", "code", "MSE", found.ratio]
    head += ["SSIM"] if found.qualities[0].ssim is not None else []
    return [tuple(head), *map(_row, found.qualities)]


def _row(quality: Quality) -> Row:
    name, size, mse, decibels, ssim = quality
    cells = [name, "" if size is None else str(size), f"{mse:.5f}", f"{decibels:.2f}"]
    return tuple(cells + ([f"{ssim:.3f}"] if ssim is not None else []))


def behind_pca(rows: list[Row], advice: str) -> str:
    """What to say where PCA of the same code size reconstructs better than the model; "" elsewhere."""
    errors = {row[0].partition(",")[0]: float(row[2]) for row in rows[1:]}
    pca, (model, *_) = errors.get("PCA"), errors.values()
    if pca is None or model <= pca:
        return ""
    return (
        f"PCA of the same code size is ahead, {pca:.5f} to {model:.5f}: with so few rows, or so few "
        f"epochs, the network has not found what is curved in them. {advice}"
    )


def print_table(rows: list[Row]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for k, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())
        if k == 0:
            print("  ".join("─" * w for w in widths))
