"""Figures for the demos: labelled rows of pictures, and a plain figure for curves.

The style is that of :mod:`tinyae.plot`, which has the general figures (reconstructions, training
curves, latent maps, pages).
"""

import numpy as np
from matplotlib.figure import Figure

INK, QUIET, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
BLUE, ORANGE, GREEN, GREY = "#1f77b4", "#ff7f0e", "#2ca02c", "#9a9a9a"


def rows(lines, path, *, heads=(), cell=0.66, limits=(0, 1), title="", note=""):
    """Rows of pictures, each with a name at the left and a remark at the right.

    lines    (name, images (n, 1, H, W), remark) for a row, or None for a gap
    heads    a label above each column
    title    above all, note below: what is to be seen, a line or more
    """
    filled = [line for line in lines if line is not None]
    n = max(len(images) for _, images, _ in filled)
    left = 0.3 + 0.082 * max(len(name) for name, _, _ in filled)
    right = 0.12 + 0.075 * max(len(remark) for _, _, remark in filled)
    head, gap = (0.3 if len(heads) else 0.1), 0.05
    top, below = head + 0.3 * bool(title), 0.1 + 0.19 * len(note.splitlines())
    tall = sum(0.22 if line is None else 1.0 for line in lines) * cell
    width, height = left + n * cell + right, top + tall + below
    figure = Figure(figsize=(width, height), dpi=150)
    y = height - top
    for line in lines:
        if line is None:
            y -= 0.22 * cell
            continue
        name, images, remark = line
        y -= cell
        side = cell - gap
        for k, image in enumerate(images):
            x = left + k * cell
            axis = figure.add_axes((x / width, (y + gap) / height, side / width, side / height))
            axis.imshow(image[0], cmap="gray", vmin=limits[0], vmax=limits[1])
            axis.set_axis_off()
        middle = (y + (cell + gap) / 2) / height
        figure.text((left - 0.12) / width, middle, name, ha="right", va="center", color=INK)
        x = left + n * cell + 0.05
        figure.text(x / width, middle, remark, va="center", color=QUIET, fontsize=9)
    for k, head in enumerate(heads):
        x = (left + (k + 0.5) * cell - gap / 2) / width
        y = 1 - (top - 0.12) / height
        figure.text(x, y, head, ha="center", va="center", color=QUIET, fontsize=9)
    if title:
        figure.text(0.12 / width, 1 - 0.19 / height, title, va="center", fontsize=11, color=INK)
    if note:
        figure.text(0.12 / width, 0.07 / height, note, va="bottom", fontsize=9, color=QUIET)
    figure.savefig(path, facecolor="white")


def plane(images, values, path, *, names, title, cell=0.44):
    """n × n pictures side by side, row by row from the top, over axes that say where each stands.

    values   the place of each column from the left, and of each row from the bottom
    """
    n, (H, W) = len(values), images.shape[-2:]
    whole = images.reshape(n, n, H, W).swapaxes(1, 2).reshape(n * H, n * W)
    figure, axis = sheet(n * cell + 0.8, n * cell + 0.9)
    axis.imshow(whole, cmap="gray", vmin=0, vmax=1, extent=(0, n, 0, n))
    axis.grid(False)
    shown = range(0, n, 2)
    axis.set_xticks([k + 0.5 for k in shown], [f"{values[k]:.1f}" for k in shown])
    axis.set_yticks([k + 0.5 for k in shown], [f"{values[k]:.1f}" for k in shown])
    axis.set_xlabel(names[0])
    axis.set_ylabel(names[1])
    axis.set_title(title, loc="left", fontsize=11, color=INK)
    for spine in axis.spines.values():
        spine.set_visible(False)
    figure.savefig(path, facecolor="white")


def sheet(width, height, panels=1):
    """An empty figure and its panels, side by side."""
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
    """Indices of n samples: the first of each class, then the second of each class, …"""
    turn = np.zeros(len(labels), int)
    for c in np.unique(labels):
        turn[labels == c] = np.arange((labels == c).sum())
    return np.lexsort((labels, turn))[:n]
