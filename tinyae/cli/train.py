"""``tinyae train``: from data to a saved model."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.arrays import in_unit_interval
from tinyae.cli.arguments import (
    add_quiet,
    add_seed_and_kernels,
    add_verb,
    positive,
    share,
)
from tinyae.cli.files import add_force, check_outputs, picture_file
from tinyae.cli.models import (
    ACTIVATIONS,
    KINDS,
    LOSSES,
    architecture,
    check_options,
    is_conv_denoiser,
    model_from_options,
    model_from_pca,
    starts_from_pca,
)
from tinyae.cli.report import check_page, write_report
from tinyae.cli.rows import add_rows, names_of_table, read_source
from tinyae.cli.table import behind_pca, print_table, quality_rows
from tinyae.cli.wording import count, done, in_options, say
from tinyae.data.columns import Rows
from tinyae.data.rows import select
from tinyae.optim import Adam, Optimizer
from tinyae.param import Array, parameter_count
from tinyae.training.description import SECTIONS
from tinyae.training.state import Snapshot

EXAMPLE = "tinyae train --data fashion-mnist --units 64 --code-activation relu --out model.npz"
SCALES = ("auto", "standard", "minmax", "none")
_STEPS = 5000  # that a training of default length takes at least
_PATIENCE = 50  # epochs, for a network that starts from PCA
_CHECKPOINTS = 25  # in a training that need not be resumed: each takes some milliseconds
_WINDOW = 32  # pixels of the pictures that a denoiser learns from
_ADVICE = {  # for a model behind PCA, by whether it started there
    True: "Pass more --epochs, or --loss mse, which is what is compared",
    False: "Pass more --epochs, or a linear output and code, where the network starts from PCA: "
    "--output linear, without --channels, --code-activation and --loss bce",
}
_DIAGNOSED = 4096  # rows that the run doctor looks at


def add_parser(verbs: Any) -> None:
    parser = add_verb(verbs, "train", run, EXAMPLE)
    add_rows(parser, part=False)
    add = parser.add_argument
    add("--normal", metavar="CLASS", help="learn from the rows of this class alone")
    scale = "units to learn in, which the model keeps (default auto: standard, unless in 0…1)"
    add("--scale", choices=SCALES, default="auto", help=scale)
    _add_model_options(parser)
    _add_training_options(parser)
    add("--config", metavar="FILE", help="a TOML file of options; the command line counts more")
    add("--checkpoint", help="file to write after every epoch (default: one that is removed again)")
    add("--resume", help="checkpoint to go on from")
    changes = "of --resume, what may differ from when it was begun"
    add("--accept-changes", nargs="+", choices=SECTIONS, default=(), help=changes)
    add("--out", default="model.npz", help="the model's file (default model.npz)")
    add("--pictures", help="folder for pictures")
    add("--report", metavar="FILE", help="a page about the model, as `tinyae report` writes it")
    add_force(parser)
    add_quiet(parser)
    add_seed_and_kernels(parser)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add, whole, number, layers = (
        parser.add_argument,
        positive(int),
        positive(float),
        sorted(ACTIVATIONS),
    )
    widths = (
        "widths from the first hidden layer to the code (default 256 64; where the network starts "
    )
    widths += (
        "from PCA 64, and for the code as many as PCA needs for 0.9 of the variance, at most 64)"
    )
    add("--units", type=whole, nargs="+", help=widths)
    channels = "convolutions with so many channels: plain or with --units, each of half the size; "
    channels += "denoising, all at half the size (default there, for pictures: 32 32 32)"
    add("--channels", type=whole, nargs="+", help=channels)
    add("--model", choices=KINDS, default="plain", help="default plain")
    add("--noise", type=number, help="denoising: σ, in the scaled data's unit (default 0.2)")
    add("--sparsity", type=number, help="sparse: mean activation (default 0.05)")
    add("--weight", type=number, help="of the penalty: sparse (default 1e-3), contractive (1e-4)")
    add("--beta", type=number, help="variational: of the KL (default 1)")
    add("--activation", choices=layers, help="default relu")
    code = "default linear; a sparse model's is sigmoid, a variational one's linear"
    add("--code-activation", choices=["linear", *layers], help=code)
    output = "default: sigmoid if the data, as they are scaled, lie in 0…1"
    add("--output", choices=["sigmoid", "linear"], help=output)
    add("--loss", choices=sorted(LOSSES), help="default mse")


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    add, whole, number = parser.add_argument, positive(int), positive(float)
    epochs = "in all, those of --resume counted too (default 10, and more of a small set)"
    add("--epochs", type=whole, help=epochs)
    add("--batch-size", type=whole, default=32, help="default 32")
    add("--learning-rate", type=number, default=1e-3, help="of Adam (default 1e-3)")
    add("--schedule", choices=["constant", "cosine"], default="constant")
    patience = (
        "stop after so many epochs without progress, and take the best weights (default 50 for "
    )
    patience += "a network that starts from PCA: dense, with a linear code and output)"
    add("--patience", type=whole, help=patience)
    rate = "share of normal rows that the model's threshold may flag (default 0.05)"
    add("--false-positive-rate", type=share, metavar="RATE", help=rate)


def run(args: argparse.Namespace) -> int:
    """Train an autoencoder of any kind on data, and save it with its scaling and its threshold."""
    check_options(args)
    if args.accept_changes and args.resume is None:
        raise ValueError("train: --accept-changes does nothing without --resume; leave it out")
    _check_files(args)
    source = read_source(args)
    train = _normal(args, source.part("train"), "to learn from")
    test = _normal(args, source.part("test"), "held out")
    means = train.means() if train.columns else None
    if means is not None:
        train.fill(means)
        test.fill(means)
    x, labels = _with_labels(args, train, test)
    scaler, how = _scaler(args, train.x)
    bounded = in_unit_interval(train.x) if scaler is None else how.startswith("minmax")
    rng = np.random.default_rng(args.seed)
    from_pca = starts_from_pca(args, train.x, bounded)
    if from_pca:
        x_scaled = train.x if scaler is None else scaler.apply(train.x)
        model: Any = model_from_pca(args, x_scaled, bounded, rng)
        args.patience = args.patience or _PATIENCE
    else:
        model = model_from_options(args, train.x.shape[1:], bounded, labels, rng)
    model.scaler, model.columns, model.fill = scaler, train.columns, means
    crop = None
    if is_conv_denoiser(args, train.x.shape[1:]):
        ta.start_from_linear_filter(model, train.x, rng)
        crop = _crop(train.x.shape[2:])
    pictures = _picture_files(args)
    args.epochs = args.epochs or _epochs(len(train.x), args.batch_size)
    shape = " × ".join(map(str, train.x.shape[1:]))
    print(
        f"{source.name}: {count(len(train.x), 'sample')} of {shape} to learn from, {len(test.x):,} held "
        f"out; {count(args.epochs, 'epoch')}; kernels: {ta.kernels.active()}"
    )
    print(architecture(model), f"({parameter_count(model.params):,} parameters)")

    checkpoint = args.checkpoint or f"{os.path.splitext(args.out)[0]}.checkpoint.npz"
    before = model.evaluate(test.x)["total"] if from_pca else math.inf
    untrained = Snapshot(model)
    optimizer, start = _optimizer(args, len(train.x)), time.perf_counter()
    try:
        history = ta.fit(
            model,
            x,
            epochs=args.epochs,
            batch_size=args.batch_size,
            optimizer=optimizer,
            validation=(test.x, test.y) if isinstance(x, tuple) else test.x,
            early_stopping=ta.EarlyStopping(args.patience) if args.patience else None,
            checkpoint=checkpoint,
            every=1 if args.checkpoint else math.ceil(args.epochs / _CHECKPOINTS),
            resume=args.resume,
            augment=crop,
            accept_changes=args.accept_changes,
            rng=args.seed,
            progress=not args.quiet,
        )
    except KeyboardInterrupt:
        return _interrupted(args, model, checkpoint)
    seconds = time.perf_counter() - start
    if before <= history.monitored.min():
        untrained.restore(model)
        say(
            "no epoch was better on the held-out rows than PCA, where the network starts: that is kept"
        )
    threshold = _calibrated(args, model, test)
    model.save(args.out)
    if args.checkpoint is None and args.resume != checkpoint:
        Path(checkpoint).unlink(missing_ok=True)
    if hasattr(model, "reconstruct"):
        quality = quality_rows(model, train, test)
        print_table(quality)
        advice = _ADVICE[from_pca]
        if args.model == "plain" and behind_pca(quality, advice):
            say(behind_pca(quality, advice), out=True)
    median, epochs = np.median(history["seconds"]), len(history)
    print(f"\n{seconds:.1f} s for {count(epochs, 'epoch')}, {median:.2f} s an epoch (median)")
    print(f"model: {args.out}, with {how}{threshold}")
    _diagnose(args, history, model, x, optimizer)
    _draw(args, pictures, model, history, test)
    if args.report:
        write_report(args.report, model, test, train, history, quiet=args.quiet)
    done("train", f"{args.out}, {count(epochs, 'epoch')}{_objective(args, history, before)}")
    return 0


def _objective(args: argparse.Namespace, history: ta.History, before: float) -> str:
    """What the model that was saved reached; of a game there is no such number."""
    if args.model == "gan" or not len(history):
        return ""
    values = history.monitored
    value = min(before, values.min()) if args.patience else values[-1]
    return f", objective {value:.5g} on held-out rows"


def _check_files(args: argparse.Namespace) -> None:
    outputs = {"--out": args.out}
    source = None if args.data == "-" else args.data
    check_outputs("train", outputs, {"--data": source}, force=args.force)
    ta.io.check_path("train --out", args.out)
    if args.checkpoint is not None:
        same = args.resume is not None and os.path.realpath(args.resume) == os.path.realpath(
            args.checkpoint
        )
        force = args.force or same  # the checkpoint to go on from may be the one to go on with
        check_outputs("train", {**outputs, "--checkpoint": args.checkpoint}, {}, force=True)
        check_outputs("train", {"--checkpoint": args.checkpoint}, {"--data": source}, force=force)
    if args.report is not None:
        check_page("train", args.report)
        check_outputs("train", {"--report": args.report}, {"--data": source}, force=args.force)
        check_outputs("train", {**outputs, "--report": args.report}, {}, force=True)
    if args.resume is not None:
        check_outputs("train", outputs, {"--resume": args.resume})
        if not os.path.exists(args.resume):
            raise FileNotFoundError(
                f"train: there is no checkpoint {args.resume}; leave out --resume to begin"
            )


def _normal(args: argparse.Namespace, rows: Rows, which: str) -> Rows:
    """The rows of the class that ``--normal`` names; all without it.

    Raises
        ValueError  there are no labels, or none of that class
    """
    if args.normal is None:
        return rows
    if rows.y is None:
        raise ValueError(
            "train: --normal names a class, but the rows have none; pass --label with the column that "
            "has them"
        )
    names = rows.classes or [f"{label:g}" for label in np.unique(rows.y)]
    if args.normal not in names:
        raise ValueError(
            f"train: --normal is {args.normal!r}, and the classes are {', '.join(names[:12])}"
        )
    wanted = names.index(args.normal) if rows.classes else float(args.normal)
    keep = np.flatnonzero(rows.y == wanted)
    if not len(keep):
        raise ValueError(
            f"train: none of the {count(len(rows.x), 'row')} {which} has class {args.normal}; pass more "
            "rows, or the same in another order"
        )
    return select(rows, keep)


def _crop(size: tuple[int, ...]) -> ta.RandomCrop | None:
    """Windows of 32 × 32 pixels, odd where the picture is; None for pictures that are hardly larger."""
    if max(size) <= 1.5 * _WINDOW:
        return None
    return ta.RandomCrop((_WINDOW + size[0] % 2, _WINDOW + size[1] % 2))


def _epochs(samples: int, batch_size: int) -> int:
    """10, or for a small set as many as take 5,000 steps, up to 500."""
    steps = math.ceil(samples / batch_size)
    return max(10, min(500, math.ceil(_STEPS / steps)))


def _with_labels(args: argparse.Namespace, train: Rows, test: Rows) -> tuple[Any, int]:
    """What the model is trained on, and how many classes there are."""
    if args.model != "conditional":
        return train.x, 0
    if train.y is None or test.y is None or train.y.dtype.kind not in "iu" or train.y.min() < 0:
        raise ValueError(
            "train: a conditional model needs classes 0, 1, …; pass --label with the column that has "
            "them, sub-folders of pictures, or an .npz with y"
        )
    return (np.asarray(train.x), train.y), int(max(train.y.max(), test.y.max())) + 1


def _scaler(args: argparse.Namespace, x: Array) -> tuple[ta.Scaler | None, str]:
    """The change of units, and how it is told."""
    scale = args.scale
    if scale == "auto":
        if in_unit_interval(x):
            return None, "no scaling (the data lie in 0…1)"
        scale = "minmax" if args.model == "gan" else "standard"
    if scale == "none":
        return None, "no scaling"
    if scale == "minmax":
        return ta.Scaler.minmax(x), "minmax scaling"
    return ta.Scaler.standard(x), "standard scaling"


def _calibrated(args: argparse.Namespace, model: Any, test: Rows) -> str:
    """Set the model's threshold by the rows that were held out; says so."""
    if args.model in ("conditional", "gan"):
        return ""
    threshold = model.calibrate(test.x, args.false_positive_rate)
    rate = f"{100 * args.false_positive_rate:g} % of normal rows"
    held_out = f"by {count(len(test.x), 'held-out row')}"
    if math.isinf(threshold):
        return f"; no threshold: {count(len(test.x), 'held-out row')} cannot tell {rate}"
    return f" and the threshold {threshold:.5g}, which flags {rate} ({held_out})"


def _interrupted(args: argparse.Namespace, model: ta.Model, checkpoint: str) -> int:
    """Save what was learnt, and say how to go on."""
    model.save(args.out)
    say(f"stopped; what was learnt so far is in {args.out}")
    if not os.path.exists(checkpoint):
        say("there is no checkpoint yet to go on from: begin again")
        return 130
    words, skip = [], False
    for word in args.argv:
        if skip or word.startswith("--resume="):
            skip = False
            continue
        if word == "--resume":
            skip = True
            continue
        if word != "--force":
            words.append(word)
    command = shlex.join(["tinyae", *words, "--resume", checkpoint, "--force"])
    say(f"to go on from the last checkpoint: {command}")
    return 130


def _diagnose(
    args: argparse.Namespace, history: ta.History, model: ta.Model, x: Any, optimizer: Any
) -> None:
    """What the run doctor has to say: one line if nothing is wrong."""
    some = tuple(a[:_DIAGNOSED] for a in x) if isinstance(x, tuple) else x[:_DIAGNOSED]
    if len(some[0] if isinstance(some, tuple) else some) < 2:
        return
    own = optimizer if isinstance(optimizer, Optimizer) else None
    found = ta.diagnose_training(history, model, some, optimizer=own, batch_size=args.batch_size)
    findings = [replace(f, do=in_options(f.do)) for f in found.findings]
    if args.patience:  # then the best epoch is what was saved
        findings = [f for f in findings if f.kind != "overfitting"]
    print(replace(found, findings=findings).brief())


def _picture_files(args: argparse.Namespace) -> dict[str, str | None]:
    """The files of the pictures, in their folder, which is made."""
    if not args.pictures:
        return {}
    folder = Path(args.pictures)
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"train: --pictures {folder} is a file, expected a folder; pass another name"
        )
    folder.mkdir(parents=True, exist_ok=True)
    names = ("reconstructions", "training")
    outputs = {name: picture_file(str(folder / f"{name}.png")) for name in names}
    check_outputs("train", {f"--pictures {k}": v for k, v in outputs.items()}, {}, args.force)
    return outputs


def _draw(
    args: argparse.Namespace, pictures: Any, model: Any, history: ta.History, test: Rows
) -> None:
    if not pictures:
        return
    ta.plot.training_curves(history, path=pictures["training"])
    if hasattr(model, "reconstruct"):
        x = np.asarray(test.x[:10], model.dtype)
        if isinstance(model, ta.DenoisingAutoencoder) and model.corruption is not None:
            bare = model.in_scaled_units()
            x = model.corruption(model.as_input(test.x[:10]), np.random.default_rng(0))
            y = bare.reconstruct(x)
        elif args.model == "conditional":
            y = model.reconstruct((x, test.y[:10]))  # type: ignore[index]
        else:
            y = model.reconstruct(x)
        names = names_of_table(y, model)
        ta.plot.reconstructions(x, y, path=pictures["reconstructions"], column_names=names)
    print(f"pictures: {Path(args.pictures)}/")


def _optimizer(args: argparse.Namespace, samples: int) -> Any:
    if args.model == "gan":
        return tuple(Adam(args.learning_rate, beta1=0.5) for _ in range(2))
    if args.schedule == "constant":
        return Adam(args.learning_rate)
    steps = args.epochs * math.ceil(samples / args.batch_size)
    return Adam(ta.Cosine(args.learning_rate, steps=steps))
