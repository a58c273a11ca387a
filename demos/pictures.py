"""What the demos draw with: labelled rows of pictures, and a plain figure for curves.

The look is that of :mod:`tinyae.plot`, which has the pictures every model needs (reconstructions,
training curves, latent maps, pages); here is what only the demos do.
"""

import numpy as np
from matplotlib.figure import Figure

INK, QUIET, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
BLUE, ORANGE, GREEN, GREY = "#1f77b4", "#ff7f0e", "#2ca02c", "#9a9a9a"


def rows(named, path, *, heads=None, notes=None, cell=0.66, limits=(0, 1)):
    """Rows of pictures, each with its name on the left; "" leaves a gap instead of a row.

    named    name → images (n, 1, H, W) or (n, H, W), or None for a gap
    heads    a word above each column;  notes    name → a remark on the right
    """
    names = list(named)
    n = max(len(images) for images in named.values() if images is not None)
    heights = [1.0 if named[name] is not None else 0.22 for name in names]
    notes = notes or {}
    left = 0.3 + 0.082 * max(map(len, names))
    right = 0.12 + 0.075 * max(map(len, notes.values()), default=0)
    top, gap = (0.3 if heads else 0.1), 0.05
    width, height = left + n * cell + right, top + sum(heights) * cell + 0.1
    figure = Figure(figsize=(width, height), dpi=150)
    y = height - top
    for name, tall in zip(names, heights):
        y -= tall * cell
        if named[name] is None:
            continue
        for k, image in enumerate(named[name]):
            size = cell - gap
            axis = figure.add_axes(
                ((left + k * cell) / width, (y + gap) / height, size / width, size / height)
            )
            picture = np.asarray(image).reshape(image.shape[-2:])
            axis.imshow(picture, cmap="gray", vmin=limits[0], vmax=limits[1])
            axis.set_axis_off()
        middle = (y + (cell + gap) / 2) / height
        figure.text((left - 0.12) / width, middle, name, ha="right", va="center", color=INK)
        if name in notes:
            x = (left + n * cell + 0.05) / width
            figure.text(x, middle, notes[name], va="center", color=QUIET, fontsize=9)
    for k, head in enumerate(heads or []):
        x = (left + (k + 0.5) * cell - gap / 2) / width
        figure.text(x, 1 - 0.18 / height, head, ha="center", va="center", color=QUIET, fontsize=9)
    figure.savefig(path, facecolor="white")


def sheet(width, height, panels=1):
    """An empty figure and its panels, side by side, in the plain look."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis in axes:
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axis.spines[side].set_color(QUIET)
        axis.tick_params(colors=QUIET, labelsize=9)
        axis.grid(True, color=FAINT, linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, (axes[0] if panels == 1 else axes)


def one_each(labels, n=10):
    """The place of the first sample of each class, then of each class's second, …: n places."""
    turn = np.zeros(len(labels), int)
    for c in np.unique(labels):
        turn[labels == c] = np.arange((labels == c).sum())
    return np.lexsort((labels, turn))[:n]
