"""The command ``tinyae``: each verb is one function below, in the order of its ``--help``."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import tinyae as ta
from tinyae import plot
from tinyae.data import Dataset
from tinyae.explanation import command as explanation
from tinyae.layers import Layer
from tinyae.learn import command as learn
from tinyae.losses import Loss
from tinyae.optim import Schedule
from tinyae.param import Array, unique

ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "relu": ta.ReLU,
    "leaky-relu": ta.LeakyReLU,
    "elu": ta.ELU,
    "gelu": ta.GELU,
    "tanh": ta.Tanh,
    "sigmoid": ta.Sigmoid,
    "softplus": ta.Softplus,
}
KINDS = ("plain", "denoising", "sparse", "contractive", "variational")
Reconstructing = ta.Autoencoder | ta.VariationalAutoencoder
LOSSES: dict[str, type[Loss]] = {"mse": ta.MSE, "l1": ta.L1, "bce": ta.BCE}


# --- the verbs --------------------------------------------------------------------------------


def demo(args: argparse.Namespace) -> int:
    """Train on the built-in handwriting, compare with PCA, and leave pictures and a model."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    print("Drawing 6,000 handwritten digits to learn from and 1,000 to be tested on …")
    dataset = ta.data.load("strokes")
    x, x_test = dataset.x_train, dataset.x_test

    print("Training 784 → 256 → 16 → 256 → 784: sixteen numbers for each picture.")
    rng = np.random.default_rng(args.seed)
    model = _build(x.shape[1:], [256, 16], "relu", "linear", "sigmoid", ta.MSE(), rng)
    steps = 30 * math.ceil(len(x) / 64)
    history = ta.fit(
        model,
        x,
        epochs=30,
        batch_size=64,
        optimizer=ta.Adam(ta.Cosine(2e-3, steps=steps)),
        validation=x_test,
        rng=rng,
        progress=not args.quiet,
    )

    print("Training 784 → 256 → 64 → 2 → …: codes of two numbers, which can be drawn as a map.")
    planar = _build(x.shape[1:], [256, 64, 2], "elu", "linear", "sigmoid", ta.MSE(), rng)
    ta.fit(
        planar,
        x,
        epochs=30,
        batch_size=64,
        optimizer=ta.Adam(ta.Cosine(1e-3, steps=steps)),
        rng=rng,
        progress=not args.quiet,
    )

    model.save(out / "model.npz")
    restored = ta.load(out / "model.npz")
    if not np.array_equal(restored.reconstruct(x_test), model.reconstruct(x_test)):
        raise RuntimeError("demo: the model that was read back differs from the one saved")

    print()
    _print_table(_quality(model, dataset) + _quality(planar, dataset)[1:])
    seconds = time.perf_counter() - start
    print(f"\n{_count(model):,} and {_count(planar):,} parameters; {seconds:.0f} s in all.")
    try:
        plot.reconstructions(
            x_test[:10], model.reconstruct(x_test[:10]), path=out / "reconstructions.png"
        )
        plot.training_curves(history, path=out / "training.png")
        plot.latent_map(planar.encode(x_test), dataset.y_test, path=out / "latent.png")
        plot.filters(
            model.params["encoder.1.W"].value, image_shape=(28, 28), path=out / "filters.png"
        )
    except ModuleNotFoundError as error:  # the model and the table stand without pictures
        print(f"No pictures: {error}")
    names = ", ".join(sorted(p.name for p in out.iterdir()))
    print(f"Look into {out}/: {names}")
    return 0


def train(args: argparse.Namespace) -> int:
    """Train a symmetric dense autoencoder of any kind on a data set and save it."""
    if not Path(args.out).resolve().parent.is_dir():
        raise FileNotFoundError(f"train: the folder of --out {args.out} does not exist; make it")
    dataset = ta.data.load(args.data)
    x = dataset.x_train
    rng = np.random.default_rng(args.seed)
    model = _model_of(args, x.shape[1:], _in_unit_interval(x), rng)
    steps = args.epochs * math.ceil(len(x) / args.batch_size)
    rate = args.learning_rate
    schedules: dict[str, Schedule] = {
        "constant": ta.Constant(rate),
        "cosine": ta.Cosine(rate, steps=steps),
    }
    print(
        f"{dataset.name}: {len(x):,} samples of shape {x.shape[1:]}; kernels: {ta.kernels.active()}"
    )
    print(_architecture(model), f"({_count(model):,} parameters)")

    start = time.perf_counter()
    history = ta.fit(
        model,
        x,
        epochs=args.epochs,
        batch_size=args.batch_size,
        optimizer=ta.Adam(schedules[args.schedule]),
        validation=dataset.x_test,
        early_stopping=ta.EarlyStopping(args.patience) if args.patience else None,
        checkpoint=args.checkpoint,
        resume=args.resume,
        rng=args.seed,
        progress=not args.quiet,
    )
    seconds = time.perf_counter() - start

    model.save(args.out)
    _print_table(_quality(model, dataset))
    per_epoch = np.median([record.seconds for record in history.epochs])
    print(
        f"\n{seconds:.1f} s for {len(history.epochs)} epochs, {per_epoch:.2f} s an epoch (median)"
    )
    print(f"model: {args.out}")
    if args.pictures:
        folder = Path(args.pictures)
        folder.mkdir(parents=True, exist_ok=True)
        sample = dataset.x_test[:10]
        plot.reconstructions(sample, model.reconstruct(sample), path=folder / "reconstructions.png")
        plot.training_curves(history, path=folder / "training.png")
        print(f"pictures: {folder}/")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """Measure a saved model on a data set's test part, beside PCA at the same code size."""
    model, dataset = _load_model(args.model), ta.data.load(args.data)
    print(f"{args.model}: {_architecture(model)}")
    _print_table(_quality(model, dataset))
    return 0


def reconstruct(args: argparse.Namespace) -> int:
    """Pass a data set's test part through a saved model and write the result as .npy."""
    model, x = _load_model(args.model), _test_part(args.data)
    y = model.reconstruct(x)
    _write_npy(args.out, y)
    print(
        f"mean squared error {ta.metrics.mse(y, np.asarray(x, y.dtype)):.6f} over {len(x):,} samples"
    )
    if args.picture:
        plot.reconstructions(np.asarray(x[:10], y.dtype), y[:10], path=args.picture)
        print(f"picture: {args.picture}")
    return 0


def encode(args: argparse.Namespace) -> int:
    """Write the codes of a data set's test part as .npy."""
    model, dataset = _load_model(args.model), ta.data.load(args.data)
    z = model.encode(dataset.x_test)
    _write_npy(args.out, z)
    if args.picture:
        plot.latent_map(z.reshape(len(z), -1), dataset.y_test, path=args.picture)
        print(f"picture: {args.picture}")
    return 0


def sample(args: argparse.Namespace) -> int:
    """Draw new data from a variational autoencoder or a GAN."""
    model = ta.load(args.model)
    if not isinstance(model, (ta.VariationalAutoencoder, ta.GAN)):
        raise ValueError(
            f"sample: {args.model} holds a {type(model).__name__}, which has no distribution to draw "
            "from; train one with --model variational"
        )
    x = model.sample(args.n, np.random.default_rng(args.seed))
    _write_npy(args.out, x)
    if args.picture:
        plot.page(x[:100], path=args.picture)
        print(f"picture: {args.picture}")
    return 0


def decode(args: argparse.Namespace) -> int:
    """Turn a .npy file of codes back into data with a saved model."""
    model = _load_model(args.model)
    try:
        z = np.load(args.codes, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"decode: {args.codes} is not a readable .npy file ({error})") from None
    if not isinstance(z, np.ndarray):
        raise ValueError(
            f"decode: {args.codes} holds several arrays, expected one; pass a .npy file"
        )
    y = model.decode(z)
    _write_npy(args.out, y)
    if args.picture:
        plot.page(y[:100], path=args.picture)
        print(f"picture: {args.picture}")
    return 0


def gradcheck(args: argparse.Namespace) -> int:
    """Compare every backward pass of the library with numeric gradients, in float64."""
    from tinyae import catalog

    bad = 0
    print(f"{'':26}{'worst relative error':>22}  verdict      (kernels: {ta.kernels.active()})")
    for name, report in catalog.check_all(np.random.default_rng(args.seed)):
        worst = max((row.error for row in report.rows), default=0.0)
        print(f"{name:26}{worst:22.1e}  {'pass' if report.ok else 'FAIL'}")
        if not report.ok or args.verbose:
            print(report)
        bad += not report.ok
    print("every gradient agrees" if not bad else f"{bad} of the above disagree")
    return 1 if bad else 0


def data_list(args: argparse.Namespace) -> int:
    """Name the data sets."""
    for name, about in ta.data.DATASETS.items():
        print(f"{name:15} {about}")
    print("or a path to a .npy, .npz or .csv file, or to a folder of images")
    return 0


def data_fetch(args: argparse.Namespace) -> int:
    """Find, or else download and verify, a published data set."""
    print(f"{args.name}: {ta.data.fetch(args.name)}")
    return 0


def data_show(args: argparse.Namespace) -> int:
    """Describe a data set and draw a page of it."""
    dataset = ta.data.load(args.name)
    print(dataset)
    for part, x, y in (
        ("train", dataset.x_train, dataset.y_train),
        ("test", dataset.x_test, dataset.y_test),
    ):
        line = f"{part:6}{len(x):8,} × {x.shape[1:]} {x.dtype}"
        if y is not None:
            labels, counts = np.unique(y, return_counts=True)
            line += "   labels " + ", ".join(f"{a}: {n:,}" for a, n in zip(labels, counts))
        print(line)
    plot.page(np.asarray(dataset.x_test[:100]), path=args.out)
    print(f"picture: {args.out}")
    return 0


# --- what they share ----------------------------------------------------------------------------


def _build(
    shape: Sequence[int],
    units: Sequence[int],
    activation: str,
    code_activation: str,
    output: str,
    loss: Loss,
    rng: np.random.Generator,
) -> ta.Autoencoder:
    """A plain symmetric dense autoencoder, its activations by name."""
    return ta.Autoencoder(
        *ta.dense_pair(
            shape,
            units,
            activation=ACTIVATIONS[activation],
            code_activation=ACTIVATIONS.get(code_activation),
            output=ACTIVATIONS.get(output),
            rng=rng,
        ),
        loss,
    )


def _model_of(
    args: argparse.Namespace, shape: Sequence[int], bounded: bool, rng: np.random.Generator
) -> Reconstructing:
    """The model that ``train --model`` asks for; ``bounded``: the data lie in 0…1."""
    if args.model == "variational":
        parts = ta.dense_variational(
            shape, args.units, activation=ACTIVATIONS[args.activation], rng=rng
        )
        likelihood = ta.Bernoulli() if bounded else ta.LearntGaussian()
        return ta.VariationalAutoencoder(*parts, likelihood, args.beta)
    output = args.output or ("sigmoid" if bounded else "linear")
    code = "sigmoid" if args.model == "sparse" else args.code_activation
    loss = LOSSES[args.loss]()
    plain = _build(shape, args.units, args.activation, code, output, loss, rng)
    if args.model == "denoising":
        noise = ta.GaussianNoise(args.noise, clip=(0, 1) if bounded else None)
        return ta.DenoisingAutoencoder(plain.encoder, plain.decoder, loss, noise)
    if args.model == "sparse":
        penalty = ta.KLSparsity(args.sparsity, args.weight or 1e-3)
        return ta.SparseAutoencoder(plain.encoder, plain.decoder, loss, penalty)
    if args.model == "contractive":
        return ta.ContractiveAutoencoder(plain.encoder, plain.decoder, loss, args.weight or 1e-4)
    return plain


def _load_model(path: str) -> Reconstructing:
    model = ta.load(path)
    if isinstance(model, (ta.Autoencoder, ta.VariationalAutoencoder)):
        return model
    raise ValueError(f"{path} holds a {type(model).__name__}, expected an autoencoder")


def _test_part(name: str) -> Array:
    return ta.data.load(name).x_test


def _in_unit_interval(x: Array) -> bool:
    chunks = (x[i : i + 10_000] for i in range(0, len(x), 10_000))
    return all(chunk.min() >= 0 and chunk.max() <= 1 for chunk in chunks)


def _architecture(model: ta.Model) -> str:
    parts = [repr(part) for part in vars(model).values() if isinstance(part, Layer)]
    return f"{type(model).__name__}: {' → '.join(parts)}"


def _count(model: ta.Model) -> int:
    return sum(p.size for p in unique(model.params).values())


def _quality(model: Reconstructing, dataset: Dataset) -> list[tuple[str, ...]]:
    """Rows of a table: the model and PCA at the same code size, on the test part."""
    x_train, x = (np.asarray(part, np.float32) for part in (dataset.x_train, dataset.x_test))
    y = model.reconstruct(x)
    code_size = model.encode(x[:1]).size
    pca = ta.metrics.PCA(min(code_size, math.prod(x.shape[1:]), len(x_train))).fit(x_train)
    from_pca = pca.reconstruct(x).astype(np.float32)
    candidates = [("autoencoder", y), (f"PCA, {pca.n_components} components", from_pca)]
    picture = x.ndim == 4 and min(x.shape[2:]) >= 11
    bounded = _in_unit_interval(x)
    if bounded:
        candidates.append(("  the same, clipped to 0…1", np.clip(from_pca, 0, 1)))
    heads = ["test set", "code", "MSE"]
    heads += ["PSNR dB"] if bounded else []
    heads += ["SSIM"] if picture and bounded else []
    rows: list[tuple[str, ...]] = [tuple(heads)]
    for name, guess in candidates:
        size = code_size if guess is y else pca.n_components
        row = [name, str(size), f"{ta.metrics.mse(guess, x):.5f}"]
        row += [f"{ta.metrics.psnr(guess, x):.2f}"] if bounded else []
        row += [f"{ta.metrics.ssim(guess, x):.3f}"] if picture and bounded else []
        rows.append(tuple(row))
    return rows


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for k, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())
        if k == 0:
            print("  ".join("─" * w for w in widths))


def _write_npy(path: str, array: Array) -> None:
    with open(path, "wb") as file:
        np.save(file, array, allow_pickle=False)
    print(f"{path}: {array.shape} {array.dtype}")


# --- the command line ---------------------------------------------------------------------------


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not value > 0 or value == math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a positive {kind.__name__}")
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinyae",
        description="Autoencoders in pure NumPy: train, measure, use, check.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tinyae {ta.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(
        group: argparse._SubParsersAction[argparse.ArgumentParser],
        name: str,
        run: Callable[[argparse.Namespace], int],
        example: str,
    ) -> argparse.ArgumentParser:
        text = (run.__doc__ or "").strip()
        sub = group.add_parser(
            name,
            help=text[0].lower() + text[1:].rstrip("."),
            description=text,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.set_defaults(run=run)
        return sub

    def common(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--seed", type=int, default=0, help="of all randomness (default 0)")
        sub.add_argument(
            "--kernels", choices=["numba", "numpy"], help="default: numba if installed"
        )

    sub = verb(verbs, "demo", demo, "tinyae demo --out tinyae-demo")
    sub.add_argument("--out", default="tinyae-demo", help="folder for the model and the pictures")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")
    common(sub)

    sub = verb(
        verbs,
        "train",
        train,
        "tinyae train --data fashion-mnist --units 64 --code-activation relu --out model.npz",
    )
    whole, number = _positive(int), _positive(float)
    sub.add_argument("--data", required=True, help="a name from `tinyae data list`, or a path")
    sub.add_argument(
        "--units",
        type=whole,
        nargs="+",
        default=[256, 64],
        help="widths from the first hidden layer to the code (default 256 64)",
    )
    sub.add_argument("--model", choices=KINDS, default="plain", help="default plain")
    sub.add_argument("--noise", type=number, default=0.2, help="denoising: σ (default 0.2)")
    sub.add_argument(
        "--sparsity", type=number, default=0.05, help="sparse: mean activation (default 0.05)"
    )
    sub.add_argument(
        "--weight", type=number, help="of the penalty: sparse (default 1e-3), contractive (1e-4)"
    )
    sub.add_argument("--beta", type=number, default=1.0, help="variational: of the KL (default 1)")
    sub.add_argument(
        "--activation", choices=sorted(ACTIVATIONS), default="relu", help="default relu"
    )
    sub.add_argument(
        "--code-activation",
        choices=["linear", *sorted(ACTIVATIONS)],
        default="linear",
        help="default linear; a sparse model's is sigmoid, a variational one's linear",
    )
    sub.add_argument(
        "--output", choices=["sigmoid", "linear"], help="default: sigmoid if the data lie in 0…1"
    )
    sub.add_argument("--loss", choices=sorted(LOSSES), default="mse", help="default mse")
    sub.add_argument(
        "--epochs",
        type=whole,
        default=10,
        help="in all, those of --resume counted too (default 10; small sets want more)",
    )
    sub.add_argument("--batch-size", type=whole, default=32, help="default 32")
    sub.add_argument("--learning-rate", type=number, default=1e-3, help="of Adam (default 1e-3)")
    sub.add_argument("--schedule", choices=["constant", "cosine"], default="constant")
    sub.add_argument("--patience", type=whole, help="stop after so many epochs without progress")
    sub.add_argument("--checkpoint", help="file to write after every epoch")
    sub.add_argument("--resume", help="checkpoint to go on from")
    sub.add_argument("--out", default="model.npz", help="the model's file (default model.npz)")
    sub.add_argument("--pictures", help="folder for pictures")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")
    common(sub)

    def with_model(
        name: str, run: Callable[[argparse.Namespace], int], example: str
    ) -> argparse.ArgumentParser:
        sub = verb(verbs, name, run, example)
        sub.add_argument("model", help="a file written by `tinyae train` or model.save")
        return sub

    sub = with_model("evaluate", evaluate, "tinyae evaluate model.npz --data fashion-mnist")
    sub.add_argument("--data", required=True, help="a name from `tinyae data list`, or a path")
    for name, run, out in (
        ("reconstruct", reconstruct, "reconstructions.npy"),
        ("encode", encode, "codes.npy"),
    ):
        sub = with_model(name, run, f"tinyae {name} model.npz --data strokes --out {out}")
        sub.add_argument("--data", required=True, help="a name from `tinyae data list`, or a path")
        sub.add_argument("--out", default=out, help=f"default {out}")
        sub.add_argument("--picture", help="file for a picture")
    sub = with_model(
        "decode", decode, "tinyae decode model.npz --codes codes.npy --out decoded.npy"
    )
    sub.add_argument("--codes", required=True, help="a .npy file of codes, one a row")
    sub.add_argument("--out", default="decoded.npy", help="default decoded.npy")
    sub.add_argument("--picture", help="file for a picture")

    sub = with_model("sample", sample, "tinyae sample model.npz --n 100 --picture samples.png")
    sub.add_argument("--n", type=whole, default=100, help="how many (default 100)")
    sub.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    sub.add_argument("--out", default="samples.npy", help="default samples.npy")
    sub.add_argument("--picture", help="file for a picture")

    sub = verb(verbs, "gradcheck", gradcheck, "tinyae gradcheck --kernels numpy")
    sub.add_argument("--verbose", action="store_true", help="print every table")
    common(sub)

    learn.add_parser(verbs)
    explanation.add_parser(verbs)

    sub = verbs.add_parser("data", help="list, fetch or show data sets")
    actions = sub.add_subparsers(title="verbs", metavar="VERB", required=True)
    verb(actions, "list", data_list, "tinyae data list")
    sub = verb(actions, "fetch", data_fetch, "tinyae data fetch fashion-mnist")
    sub.add_argument("name", help="mnist, fashion-mnist or ecg5000")
    sub = verb(actions, "show", data_show, "tinyae data show strokes --out strokes.png")
    sub.add_argument("name", help="a name from `tinyae data list`, or a path")
    sub.add_argument("--out", default="data.png", help="file for the picture (default data.png)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb: 0 is success, 1 a check that failed, 2 a mistake in the call or its files."""
    args = _parser().parse_args(argv)
    try:
        if getattr(args, "kernels", None):
            with ta.kernels.use(args.kernels):
                return args.run(args)
        return args.run(args)
    except (ValueError, OSError, ModuleNotFoundError, ta.TrainingDiverged) as error:
        print(f"tinyae: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntinyae: stopped", file=sys.stderr)
        return 130
