"""A trained model as one page that can be touched: ``ta.report(model, x, history, path="report.html")``.

material.py     what is measured, once, by the project's own functions
comparison.py   the reconstructions beside those of PCA
samples.py      how one sample is shown: image, signal or row of a table
network.py      a drawing of the layers
figures.py      pictures of samples, with captions that say what is seen
curves.py       the training, and the error beside PCA's
anomalies.py    scores, what a threshold costs, and the most unusual samples
explorer.py     the latent map; codes, samples and the decoder, packed for the page
page.py         the page; its looks in page.css, what answers in page.js
drawing.py      lines, scales and words as SVG
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from types import ModuleType

from tinyae import files
from tinyae.arguments import flag
from tinyae.models import Model
from tinyae.param import Array
from tinyae.training import History, TrainingDiverged


@dataclass(frozen=True)
class Report:
    """A page: ``html`` is its text, ``save(path)`` writes it. A notebook shows it."""

    html: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file, whole or not at all."""
        files.write_text("report", path, self.html)

    def _repr_html_(self) -> str:
        frame = 'style="width: 100%; height: 900px; border: 0"'
        return f'<iframe srcdoc="{escape(self.html)}" {frame}></iframe>'

    def __repr__(self) -> str:
        return f"Report({len(self.html):,} characters of HTML)"


def report(
    model: Model,
    x: Array | tuple[Array, Array],
    history: History | TrainingDiverged | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    labels: Array | None = None,
    classes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    train: Array | tuple[Array, Array] | None = None,
    kind: str | None = None,
    title: str | None = None,
    progress: bool = False,
) -> Report:
    """A page about a trained model, in one HTML file that loads nothing.

    It draws the network and the training's curves, the best, median and worst reconstructions, the
    error beside PCA's, feature by feature, and as a histogram with the threshold and what it costs;
    a map of the codes, through which one can drag a point while the decoder runs in the page; the
    most unusual rows, each with the reasons; samples and walks of a generative model; and what the run
    doctor says.

    x         rows that the model was not trained on, in their own units; (rows, labels) for a
              conditional model. At most 10,000 of them, evenly spread, are measured
    history   what ``fit`` returned, or the TrainingDiverged that it raised (default: what the model
              keeps, ``model.history``); without it there are no curves
    path      the file to write, if any
    labels    the class of each row (N,); with two classes the rarer one counts as abnormal
    classes   the names of the classes 0, 1, …
    names     what each row is called (default: its number, from 0)
    columns   the names of a table's columns (default: ``model.columns``)
    train     rows that PCA learns from and that the doctor examines (default: x)
    kind      "image", "signal" or "table": how a row is drawn (default: by its shape)
    title     the page's heading (default: what the model is)
    progress  say on a terminal what is being done

    Raises
        TypeError   model is no Model that reconstructs or samples, or x is no array of numbers
        ValueError  x has fewer than two rows, holds NaN, or does not fit the labels or the model
    """
    from tinyae.report.material import gather  # when it is wanted: `tinyae --help` need not wait
    from tinyae.report.page import html

    if path is not None:
        files.check_target("report", path)
    progress = flag("report", "progress", progress)
    if history is not None and not isinstance(history, History | TrainingDiverged):
        raise TypeError(
            f"report: history is a {type(history).__name__}, expected what fit returned, or None"
        )
    if title is not None and not isinstance(title, str):
        raise TypeError(f"report: title is {title!r:.60}, expected a str or None")
    history = getattr(model, "history", None) if history is None else history
    material = gather(model, x, history, labels, classes, names, columns, train, kind, progress)
    made = Report(html(material, title))
    if path is not None:
        made.save(path)
    return made


class _Callable(ModuleType):
    """This package as a function, too: ``ta.report(…)`` is what ``tinyae.report.report`` is."""

    __call__ = staticmethod(report)


sys.modules[__name__].__class__ = _Callable
__signature__ = inspect.signature(report)
