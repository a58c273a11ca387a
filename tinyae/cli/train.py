"""``tinyae train``: from a data set to a saved model."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_data, add_quiet, add_seed_and_kernels, add_verb, positive
from tinyae.cli.files import check_outputs, picture_file
from tinyae.cli.models import (
    ACTIVATIONS,
    KINDS,
    LOSSES,
    architecture,
    in_unit_interval,
    model_from_options,
    parameter_count,
)
from tinyae.cli.table import print_table, quality_rows
from tinyae.training.description import SECTIONS

EXAMPLE = "tinyae train --data fashion-mnist --units 64 --code-activation relu --out model.npz"


def add_parser(verbs: Any) -> None:
    parser = add_verb(verbs, "train", run, EXAMPLE)
    add_data(parser)
    _add_model_options(parser)
    _add_training_options(parser)
    add = parser.add_argument
    add("--checkpoint", help="file to write after every epoch")
    add("--resume", help="checkpoint to go on from")
    changes = "of --resume, what may differ from when it was begun"
    add("--accept-changes", nargs="+", choices=SECTIONS, default=(), help=changes)
    add("--out", default="model.npz", help="the model's file (default model.npz)")
    add("--pictures", help="folder for pictures")
    add_quiet(parser)
    add_seed_and_kernels(parser)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add, whole, number, layers = (
        parser.add_argument,
        positive(int),
        positive(float),
        sorted(ACTIVATIONS),
    )
    widths = "widths from the first hidden layer to the code (default 256 64)"
    add("--units", type=whole, nargs="+", default=[256, 64], help=widths)
    add("--model", choices=KINDS, default="plain", help="default plain")
    add("--noise", type=number, default=0.2, help="denoising: σ (default 0.2)")
    add("--sparsity", type=number, default=0.05, help="sparse: mean activation (default 0.05)")
    add("--weight", type=number, help="of the penalty: sparse (default 1e-3), contractive (1e-4)")
    add("--beta", type=number, default=1.0, help="variational: of the KL (default 1)")
    add("--activation", choices=layers, default="relu", help="default relu")
    code = "default linear; a sparse model's is sigmoid, a variational one's linear"
    add("--code-activation", choices=["linear", *layers], default="linear", help=code)
    output = "default: sigmoid if the data lie in 0…1"
    add("--output", choices=["sigmoid", "linear"], help=output)
    add("--loss", choices=sorted(LOSSES), default="mse", help="default mse")


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    add, whole, number = parser.add_argument, positive(int), positive(float)
    epochs = "in all, those of --resume counted too (default 10; small sets want more)"
    add("--epochs", type=whole, default=10, help=epochs)
    add("--batch-size", type=whole, default=32, help="default 32")
    add("--learning-rate", type=number, default=1e-3, help="of Adam (default 1e-3)")
    add("--schedule", choices=["constant", "cosine"], default="constant")
    add("--patience", type=whole, help="stop after so many epochs without progress")


def run(args: argparse.Namespace) -> int:
    """Train a symmetric dense autoencoder of any kind on a data set and save it."""
    outputs = {"--out": args.out, "--checkpoint": args.checkpoint}
    check_outputs("train", outputs, {"--data": args.data})
    ta.io.check_path("train --out", args.out)
    if args.resume is not None:  # the checkpoint to go on from may be the one to go on with
        check_outputs("train", {"--out": args.out}, {"--resume": args.resume})
    dataset = ta.data.load(args.data)
    x, rng = dataset.x_train, np.random.default_rng(args.seed)
    model = model_from_options(args, x.shape[1:], in_unit_interval(x), rng)
    pictures = _picture_files(args)
    print(
        f"{dataset.name}: {len(x):,} samples of shape {x.shape[1:]}; kernels: {ta.kernels.active()}"
    )
    print(architecture(model), f"({parameter_count(model):,} parameters)")

    start = time.perf_counter()
    history = ta.fit(
        model,
        x,
        epochs=args.epochs,
        batch_size=args.batch_size,
        optimizer=_optimizer(args, len(x)),
        validation=dataset.x_test,
        early_stopping=ta.EarlyStopping(args.patience) if args.patience else None,
        checkpoint=args.checkpoint,
        resume=args.resume,
        accept_changes=args.accept_changes,
        rng=args.seed,
        progress=not args.quiet,
    )
    seconds = time.perf_counter() - start

    model.save(args.out)
    print_table(quality_rows(model, dataset))
    median, epochs = np.median(history["seconds"]), len(history)
    print(f"\n{seconds:.1f} s for {epochs} epochs, {median:.2f} s an epoch (median)")
    print(f"model: {args.out}")
    if args.pictures:
        sample = dataset.x_test[:10]
        y = model.reconstruct(sample)
        ta.plot.reconstructions(sample, y, path=pictures["reconstructions"])
        ta.plot.training_curves(history, path=pictures["training"])
        print(f"pictures: {Path(args.pictures)}/")
    return 0


def _picture_files(args: argparse.Namespace) -> dict[str, str | None]:
    """The files of the pictures, in their folder, which is made."""
    if not args.pictures:
        return {}
    folder = Path(args.pictures)
    folder.mkdir(parents=True, exist_ok=True)
    names = ("reconstructions", "training")
    return {name: picture_file(str(folder / f"{name}.png")) for name in names}


def _optimizer(args: argparse.Namespace, samples: int) -> ta.Adam:
    if args.schedule == "constant":
        return ta.Adam(args.learning_rate)
    return ta.Adam(
        ta.Cosine(args.learning_rate, steps=args.epochs * math.ceil(samples / args.batch_size))
    )
