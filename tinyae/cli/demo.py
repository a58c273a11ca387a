"""``tinyae demo``: what an autoencoder does, in a minute and with no data of your own."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_quiet, add_seed_and_kernels, add_verb
from tinyae.cli.files import add_force, check_outputs
from tinyae.cli.models import dense_autoencoder
from tinyae.cli.report import write_report
from tinyae.cli.table import print_table, quality_rows
from tinyae.cli.wording import done
from tinyae.data import Dataset
from tinyae.data.columns import Rows
from tinyae.param import Array, parameter_count

EPOCHS, BATCH_SIZE = 30, 64
REPORT = "report.html"
PICTURES = ("reconstructions.png", "training.png", "latent.png")


def add_parser(verbs: Any) -> None:
    parser = add_verb(verbs, "demo", run, "tinyae demo --out tinyae-demo")
    parser.add_argument(
        "--out", default="tinyae-demo", help="folder for the model, the report and the pictures"
    )
    add_force(parser)
    add_quiet(parser)
    add_seed_and_kernels(parser)


def run(args: argparse.Namespace) -> int:
    """Train on the built-in handwriting, compare with PCA, and leave a report, pictures and a model."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("model.npz", REPORT, *PICTURES):
        check_outputs("demo", {"--out": str(out / name)}, {}, args.force)
    start, progress = time.perf_counter(), not args.quiet
    rng = np.random.default_rng(args.seed)

    print("Drawing 6,000 handwritten digits to learn from and 1,000 to be tested on …")
    dataset = ta.data.load("strokes")
    x, x_test = dataset.x_train, dataset.x_test
    print("Training 784 → 256 → 16 → 256 → 784: sixteen numbers for each picture.")
    model, history = _train([256, 16], "relu", 2e-3, x, x_test, rng, progress)
    print("Training 784 → 256 → 64 → 2 → …: codes of two numbers, which can be drawn as a map.")
    planar, _ = _train([256, 64, 2], "elu", 1e-3, x, None, rng, progress)

    model.calibrate(x_test)
    model.save(out / "model.npz")
    restored = ta.load(out / "model.npz")
    if not np.array_equal(restored.reconstruct(x_test), model.reconstruct(x_test)):
        raise RuntimeError("demo: the model that was read back differs from the one saved")

    print()
    train, test = Rows(x, dataset.y_train), Rows(x_test, dataset.y_test)
    print_table(quality_rows(model, train, test) + quality_rows(planar, train, test)[1:])
    counts = f"{parameter_count(model.params):,} and {parameter_count(planar.params):,} parameters"
    print(f"\n{counts}; {time.perf_counter() - start:.0f} s in all.")
    try:
        _draw_pictures(out, model, planar, history, dataset)
    except ModuleNotFoundError as error:  # the model and the table do not need matplotlib
        print(f"No pictures: {error}")
    page, title = str(out / REPORT), "Handwritten digits in sixteen numbers"
    write_report(page, model, test, train, history, title, quiet=args.quiet)
    names = ", ".join(sorted(p.name for p in out.iterdir()))
    done("demo", f"look into {out}/: {names}")
    return 0


def _train(
    units: list[int],
    activation: str,
    learning_rate: float,
    x: Array,
    validation: Array | None,
    rng: np.random.Generator,
    progress: bool,
) -> tuple[ta.Autoencoder, ta.History]:
    model = dense_autoencoder(x.shape[1:], units, activation, "linear", "sigmoid", ta.MSE(), rng)
    steps = EPOCHS * math.ceil(len(x) / BATCH_SIZE)
    history = ta.fit(
        model,
        x,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        optimizer=ta.Adam(ta.Cosine(learning_rate, steps=steps)),
        validation=validation,
        rng=rng,
        progress=progress,
    )
    return model, history


def _draw_pictures(
    out: Path, model: ta.Autoencoder, planar: ta.Autoencoder, history: ta.History, dataset: Dataset
) -> None:
    x_test = dataset.x_test
    reconstructions, training, latent = (out / name for name in PICTURES)
    ta.plot.reconstructions(x_test[:10], model.reconstruct(x_test[:10]), path=reconstructions)
    ta.plot.training_curves(history, path=training)
    ta.plot.latent_map(planar.encode(x_test), dataset.y_test, path=latent)
