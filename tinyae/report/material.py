"""What a page is made of: everything that is measured, once, by the project's own functions."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyae import metrics
from tinyae.arrays import check_real, real
from tinyae.data.batches import count
from tinyae.data.batches import rows as rows_of
from tinyae.models import (
    GAN,
    CodePrior,
    ConditionalVariationalAutoencoder,
    Diffusion,
    Model,
    VariationalAutoencoder,
    spherical,
)
from tinyae.models.base import CHUNK
from tinyae.models.prior_matching import PriorMatching
from tinyae.models.scores import Scored
from tinyae.param import Array
from tinyae.report.comparison import Comparison, compare
from tinyae.report.network import Step, steps
from tinyae.report.samples import KINDS, Look, look_at
from tinyae.training import History, TrainingDiverged
from tinyae.training_doctor import TrainingDiagnosis, diagnose_training

_ROWS = 10_000  # that are measured
_DIAGNOSED = 4096
_CLASSES = 100
_SAMPLES = 40  # that a generative model draws
_SLOW_SAMPLES = 10  # of a model that takes hundreds of steps for each
_WALKS, _STEPS = 4, 10
_NOISE = 400  # codes of a GAN, which has no encoder, on the map
_PCA_COMPONENTS = 64


@dataclass
class Material:
    """The model, rows in their own units, and what was measured of them.

    x, labels        the rows that are shown; labels are indices into ``classes``, or None
    classes          the names of the classes
    names            what each row is called
    scores           the reconstruction error of each row, in scaled units
    per_feature      the same of each feature, averaged over rows
    codes            (N, D), or None where codes are no points in space
    samples, walk    of a generative model, in the data's units
    notes            what is missing, and why
    """

    model: Any
    history: History | None
    look: Look
    x: Array
    labels: Array | None
    classes: list[str]
    names: list[str]
    network: list[Step] = field(default_factory=list)
    diagnosis: TrainingDiagnosis | None = None
    comparison: Comparison | None = None
    y: Array | None = None
    scores: Array | None = None
    per_feature: Array | None = None
    codes: Array | None = None
    samples: Array | None = None
    walk: Array | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def scale(self) -> Array:
        """What a difference in the data's units is divided by to be in scaled units, (features,)."""
        scaler, shape = self.model.scaler, self.x.shape[1:]
        scale = np.ones(()) if scaler is None else scaler.scale
        return np.broadcast_to(scale, shape).ravel()

    @property
    def threshold(self) -> float | None:
        """The model's own, if it is finite."""
        threshold = getattr(self.model, "threshold", None)
        return threshold if threshold is not None and np.isfinite(threshold) else None

    @property
    def abnormal(self) -> Array | None:
        """Which rows are of the rarer class, where there are two."""
        return None if self.labels is None else metrics.rarer_class(self.labels)

    def class_of(self, i: int) -> str:
        return "" if self.labels is None else self.classes[int(self.labels[i])]

    def name_of(self, i: int) -> str:
        """A row's name in captions."""
        kind = self.class_of(i)
        return self.names[i] + (f", class {kind}" if kind else "")


def gather(
    model: Any,
    x: Any,
    history: History | TrainingDiverged | None,
    labels: Any,
    classes: Sequence[str] | None,
    names: Sequence[str] | None,
    columns: Sequence[str] | None,
    train: Any,
    kind: str | None,
    progress: bool,
) -> Material:
    """Check what was given, and measure it.

    Raises
        TypeError, ValueError   as :func:`tinyae.report`
    """
    rows, labels = _rows(model, x, labels)
    classes, names, columns = (
        _strings(what, given)
        for what, given in (("classes", classes), ("names", names), ("columns", columns))
    )
    if train is not None:
        for a in train if isinstance(train, tuple) else (train,):
            check_real("report: train", a)
    if kind is not None and kind not in KINDS:
        raise ValueError(f"report: kind is {kind!r}, expected one of {', '.join(KINDS)}")
    columns = columns or getattr(model, "columns", None)
    look = look_at(rows, columns if rows.ndim == 2 else None, kind)
    places = np.arange(len(rows))
    if len(rows) > _ROWS:
        places = np.linspace(0, len(rows) - 1, _ROWS).astype(int)
    labels, kinds = _classes(labels, classes, places)
    if names is not None and len(names) != len(rows):
        raise ValueError(
            f"report: names has {len(names)} entries, expected {len(rows)}, one for each row"
        )
    called = [f"sample {i}" if names is None else str(names[int(i)]) for i in places]
    past = history.history if isinstance(history, TrainingDiverged) else history
    m = Material(model, past, look, rows[places], labels, kinds, called)
    given: Any = (m.x, labels) if takes_labels(model) else m.x
    learnt = given if train is None else train
    with _telling(progress) as tell:
        tell("tracing the network")
        m.network = steps(model, given)
        tell("asking the run doctor")
        first = rows_of(learnt, slice(0, _DIAGNOSED))
        if count(first) > 1:
            m.diagnosis = diagnose_training(history or History(), model, first)
        if hasattr(model, "reconstruct"):
            _measure(m, given, learnt[0] if isinstance(learnt, tuple) else learnt, tell)
        if hasattr(model, "sample"):
            tell("drawing samples")
            _generate(m)
    return m


def _strings(what: str, given: Any) -> list[str] | None:
    """Names, checked.

    Raises
        TypeError  they are no strings
    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"report: {what} is {given!r:.60}, expected names; pass e.g. ['a', 'b']")
    found = list(given)
    if not all(isinstance(name, str) for name in found):
        raise TypeError(f"report: {what} is {found!r:.60}, expected strings; pass e.g. ['a', 'b']")
    return found


def takes_labels(model: Any) -> bool:
    """Whether a batch of the model is (x, labels)."""
    if isinstance(model, Diffusion):
        return bool(model.classes)
    return isinstance(model, ConditionalVariationalAutoencoder)


def _rows(model: Any, x: Any, labels: Any) -> tuple[Array, Any]:
    """The rows of x and their labels, checked."""
    who = "report"
    if not isinstance(model, Model):
        raise TypeError(f"{who}: model is a {type(model).__name__}, expected a Model; pass one")
    if isinstance(model, CodePrior):
        raise TypeError(
            f"{who}: model is a CodePrior, which neither reconstructs nor samples pictures; expected "
            "e.g. the VQVAE whose codes it learnt"
        )
    if not (hasattr(model, "reconstruct") or hasattr(model, "sample")):
        raise TypeError(
            f"{who}: model is a {type(model).__name__}, which neither reconstructs nor samples; "
            "expected e.g. an Autoencoder, a VariationalAutoencoder or a GAN"
        )
    if isinstance(x, tuple):
        if len(x) != 2 or labels is not None:
            raise TypeError(
                f"{who}: x is a tuple of {len(x)} arrays"
                f"{' beside labels' * (labels is not None)}, expected rows, or (rows, labels)"
            )
        x, labels = x
    if takes_labels(model) and labels is None:
        raise ValueError(f"{who}: a conditional model needs labels; pass labels=, one for each row")
    x = real(f"{who}: x", x)
    if x.ndim < 2 or len(x) < 2:
        raise ValueError(
            f"{who}: x has shape {x.shape}, expected at least 2 rows (N, …); pass held-out data"
        )
    if labels is not None and np.shape(labels) != (len(x),):
        raise ValueError(
            f"{who}: labels have shape {np.shape(labels)}, expected ({len(x)},), one for each row"
        )
    model.check_numbers(x)
    return x, labels


def _classes(labels: Any, classes: Any, places: Array) -> tuple[Array | None, list[str]]:
    """Labels as indices into names, and the names."""
    if labels is None:
        return None, []
    values, index = np.unique(np.asarray(labels)[places], return_inverse=True)
    if len(values) > _CLASSES:
        return None, []  # numbers rather than classes
    if values.dtype.kind in "iu" and classes is not None:
        if len(classes) <= int(values.max()) or int(values.min()) < 0:
            raise ValueError(
                f"report: classes has {len(classes)} names, and labels go from {values.min()} to "
                f"{values.max()}; pass a name for each"
            )
        return np.asarray(labels)[places].astype(int), [str(name) for name in classes]
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() < 1000:
        return np.asarray(labels)[places].astype(int), [str(k) for k in range(values.max() + 1)]
    return index.reshape(-1), [f"{v:g}" if values.dtype.kind == "f" else str(v) for v in values]


def _measure(m: Material, given: Any, learnt: Any, tell: Any) -> None:
    """Everything about reconstructions, scores and codes."""
    model = m.model
    if not all(np.isfinite(p.value).all() for p in model.params.values()):
        m.notes.append("The model has weights that are not finite: it reconstructs nothing.")
        return
    tell("reconstructing, and PCA beside it")
    size = max((math.prod(step.shape) for step in m.network if step.is_code), default=1)
    components = max(_PCA_COMPONENTS, 4 * size)
    try:
        m.comparison = compare(model, given, np.asarray(learnt), components)
    except MemoryError as error:
        m.notes.append(f"There is no PCA to compare with: {error}.")
        m.comparison = compare(model, given)
    except ValueError as error:  # another shape goes in than comes out
        m.notes.append(f"Reconstructions cannot be compared: {error}.")
        return
    if not np.isfinite(m.comparison.y).all():
        m.notes.append("Reconstructions are not finite: there is nothing to measure.")
        m.comparison = None
        return
    m.y = model.in_data_units(m.comparison.y)
    if isinstance(model, Scored):
        tell("scoring")
        m.scores = np.asarray(model.score(given), np.float64)
        m.per_feature = _mean_per_feature(model, given)
    tell("encoding")
    z = model.encode(given)
    if z.dtype.kind == "f":
        m.codes = z.reshape(len(z), -1)
    else:
        m.notes.append("The codes are numbers of a table, no points in space: there is no map.")


def _mean_per_feature(model: Any, given: Any) -> Array:
    total: Any = 0.0
    n = count(given)
    for start in range(0, n, CHUNK):
        part = rows_of(given, slice(start, start + CHUNK))
        total = total + model.reconstruction_error(part, per_feature=True).astype(float).sum(axis=0)
    return np.asarray(total) / n


def _generate(m: Material) -> None:
    """Samples, and walks from one to another."""
    model, rng = m.model, np.random.default_rng(0)
    if not all(np.isfinite(p.value).all() for p in model.params.values()):
        return
    if isinstance(model, Diffusion):
        labels = np.arange(_SLOW_SAMPLES) % model.classes if model.classes else None
        m.samples = model.sample(_SLOW_SAMPLES, rng, labels=labels)
        return
    if isinstance(model, ConditionalVariationalAutoencoder):
        m.samples = model.sample(np.arange(_SAMPLES) % model.classes, rng)
        return
    try:
        m.samples = model.sample(_SAMPLES, rng)
    except ValueError as error:  # the size of a code depends on that of a sample
        m.notes.append(f"There are no samples: {error}.")
        return
    if not isinstance(model, VariationalAutoencoder | PriorMatching | GAN):
        return
    z = rng.standard_normal((2, _WALKS, model.latent_dim)).astype(model.dtype)
    ts = np.linspace(0, 1, _STEPS).tolist()
    m.walk = np.stack([model.decode(spherical(z[0], z[1], t)) for t in ts], axis=1)
    if isinstance(model, GAN):
        m.codes = model.noise(_NOISE, rng)


def principal(codes: Array, most: int = 8) -> tuple[Array, Array, Array]:
    """Mean (D,), axes (A, D) and shares of variance (A,) of the codes' principal axes.

    A code of one or two numbers keeps its own axes.
    """
    D = codes.shape[1]
    if D <= 2:
        variance = codes.var(axis=0, dtype=np.float64)
        return np.zeros(D), np.eye(D), variance / (variance.sum() or 1)
    pca = metrics.PCA(min(most, D, len(codes))).fit(codes)
    return pca.mean_, pca.components_, pca.explained_variance_ratio_


@contextmanager
def _telling(wanted: bool) -> Iterator[Any]:
    """A line on stderr that says what is being done, where somebody is there to read it."""
    shown = wanted and sys.stderr is not None and sys.stderr.isatty()

    def tell(words: str) -> None:
        if shown:
            print(f"\r\x1b[Kreport: {words} …", end="", file=sys.stderr, flush=True)

    try:
        yield tell
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
