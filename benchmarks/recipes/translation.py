"""Images translated without pairs, where the true partner of each is known: MNIST.

    python benchmarks/quality.py cyclegan     digits to outlines and back
    python benchmarks/quality.py stargan      plain, bold, outlined and inverted digits

The training sets hold no picture in two kinds. The test set does, so that a translation can be
compared with the truth:

    PSNR       to the true partner, beside that of doing nothing and of the mean picture
    partner    share of 1,000 translations that correlate best, of all true pictures, with their own
    digit      share of which a classifier, trained on true pictures of that kind, names the digit
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, Stopwatch, table
from benchmarks.recipes.gan import classifier

TEST = 1000
HEADS = ["", "PSNR", "partner", "digit"]


def largest(x: np.ndarray) -> np.ndarray:
    """The largest of 3 × 3 pixels."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = x.shape[2:]
    return np.max(
        [padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3)], 0
    )


KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": lambda x: x,
    "bold": largest,
    "outline": lambda x: largest(x) - x,
    "inverted": lambda x: 1 - x,
}


def cyclegan(run: Run) -> None:
    """16 channels, one residual block, λ = 5, μ = 1; 10,000 digits and the outlines of 10,000 others."""
    data, rng = run.load("mnist"), np.random.default_rng(run.seed)
    n, outline = min(len(data.x_train) // 2, 10_000), KINDS["outline"]
    x, y = data.x_train[:n], outline(data.x_train[-n:])
    model = ta.CycleGAN(*ta.cyclegan((1, 28, 28), 16, 1, rng=rng), cycle=5.0, identity=1.0)
    seconds = _train(run, model, (x, y), n, run.number_of_epochs(2), rng)
    model.save(run.out / "cyclegan.npz")
    digits = data.x_test[:TEST]
    truth = outline(digits)
    judges = {name: _judge(run, data, KINDS[name]) for name in ("plain", "outline")}
    made, found = model.to_y(digits), model.to_x(truth)
    lines = [
        ("to outlines: nothing done", digits, truth, "outline"),
        ("to outlines: the mean", np.broadcast_to(y.mean(axis=0), truth.shape), truth, "outline"),
        ("to outlines: CycleGAN", made, truth, "outline"),
        ("to digits: nothing done", truth, digits, "plain"),
        ("to digits: the mean", np.broadcast_to(x.mean(axis=0), digits.shape), digits, "plain"),
        ("to digits: CycleGAN", found, digits, "plain"),
        ("there and back", model.to_x(made), digits, "plain"),
    ]
    rows = [_row(name, a, b, judges[kind], data.y_test) for name, a, b, kind in lines]
    table(f"cyclegan: 2 × {n:,} pictures, {seconds:.0f} s", HEADS, rows)
    picture = np.concatenate([digits[:12], made[:12], truth[:12], found[:12]])
    ta.plot.page(picture, run.out / "cyclegan.png", columns=12)


def stargan(run: Run) -> None:
    """16 channels, one residual block; 20,000 digits, each in one of four kinds."""
    data, rng = run.load("mnist"), np.random.default_rng(run.seed)
    n, names = min(len(data.x_train), 20_000), list(KINDS)
    x, kind = data.x_train[:n].copy(), rng.permutation(np.arange(n) % len(names))
    for k, change in enumerate(KINDS.values()):
        x[kind == k] = change(x[kind == k])
    parts = ta.stargan((1, 28, 28), len(names), 16, 1, rng=rng)
    model = ta.StarGAN(*parts, domains=len(names))
    seconds = _train(run, model, (x, kind), n, run.number_of_epochs(2), rng)
    model.save(run.out / "stargan.npz")
    truth = [change(data.x_test[:TEST]) for change in KINDS.values()]
    judges = [_judge(run, data, change) for change in KINDS.values()]
    rows, pictures = [], []
    for a, name in enumerate(names):
        pictures.append(truth[a][:4])
        for b, into in enumerate(names):
            made = model.translate(truth[a], np.full(len(truth[a]), b))
            pictures.append(made[:4])
            rows.append(_row(f"{name} to {into}", made, truth[b], judges[b], data.y_test))
    table(f"stargan: {n:,} pictures, {seconds:.0f} s", HEADS, rows)
    ta.plot.page(np.concatenate(pictures), run.out / "stargan.png", columns=4 * (1 + len(names)))


def _train(
    run: Run, model: ta.Model, x: object, n: int, epochs: int, rng: np.random.Generator
) -> float:
    steps = epochs * -(-n // 8)
    optimizers = tuple(ta.Adam(ta.Cosine(2e-3, steps), beta1=0.5) for _ in model.players)
    with Stopwatch() as watch:
        ta.fit(model, x, epochs=epochs, batch_size=8, optimizer=optimizers, rng=rng)
    return watch.seconds


def _judge(
    run: Run, data: ta.data.Dataset, change: Callable[[np.ndarray], np.ndarray]
) -> ta.Classifier:
    x, y = data.x_train[:10_000], data.y_train[:10_000]
    return classifier(change(x), y, 1 if run.quick else 8, np.random.default_rng(0))


def _row(
    name: str, made: np.ndarray, truth: np.ndarray, judge: ta.Classifier, labels: np.ndarray
) -> list[str]:
    a, b = (p.reshape(len(p), -1).astype(np.float64) for p in (made, truth))
    a, b = (p - p.mean(axis=1, keepdims=True) for p in (a, b))
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    own = ((a @ b.T).argmax(axis=1) == np.arange(len(a))).mean()
    right = (judge.predict(made) == labels[: len(made)]).mean()
    return [name, f"{ta.metrics.psnr(made, truth, 1.0):.1f} dB", f"{own:.1%}", f"{right:.1%}"]
