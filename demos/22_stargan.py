"""Plain, bold, outlined or inverted: one generator for four kinds of pictures, StarGAN.

Every training picture exists in one kind only, and its label says which. One generator gets a picture
and the kind that is asked for, G(x, c); one discriminator says how real a picture looks, and which
kind it is. What keeps the digit is the way back: G(G(x, c), t) must be x again, t its own kind.

    discriminator   −E s(x) + E s(x̃) + 10 E(‖∇s(x̂)‖ − 1)² − E ln p(t | x)
    generator       −E s(x̃) − E ln p(c | x̃) + 10 E |G(x̃, t) − x|

As in demo 21 the truth is known, though training never sees it: each kind is a function of the plain
digit, so that a translation can be compared with what it should be.

stargan.png   four test digits in their own kind, and translated into each kind, above the truth

"kind" is the share of translations that a classifier of real pictures names as the kind that was asked
for, "digit" the share of which another, trained on the true pictures of that kind, names the digit.

What it cannot show at this size: the paper changes hair, age and mood of faces and keeps the person;
here a change is local and the same for every digit. PSNR punishes an outline that is off by a pixel,
though nothing in unpaired pictures says where exactly it belongs.

    python demos/22_stargan.py                       # built-in data, about a minute
    python demos/22_stargan.py --data mnist

Source: Choi, Choi, Kim, Ha, Kim & Choo (2018).
"""

import argparse
import time
from pathlib import Path

import judge as judging
import numpy as np
from pictures import one_each, rows

import tinyae as ta


def largest(x):
    """The largest of 3 × 3 pixels."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = x.shape[2:]
    return np.max(
        [padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3)], 0
    )


KINDS = {
    "plain": lambda x: x,
    "bold": largest,
    "outline": lambda x: largest(x) - x,
    "inverted": lambda x: 1 - x,
}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default="strokes", help="images with ten classes: strokes, mnist, fashion-mnist"
    )
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    data, names = ta.data.load(options.data), list(KINDS)
    n, channels, epochs = min(len(data.x_train), 4000), 16, options.epochs
    if options.quick:
        n, channels, epochs = 240, 4, 1
    kind = rng.permutation(np.arange(n) % len(names))
    x = data.x_train[:n].copy()
    for k, name in enumerate(names):
        x[kind == k] = KINDS[name](x[kind == k])  # each picture in one kind alone
    x_test, labels = data.x_test[:300], data.y_test[:300]
    truth = [change(x_test) for change in KINDS.values()]

    parts = ta.stargan((1, 28, 28), len(names), channels, 1, rng=rng)
    model = ta.StarGAN(*parts, domains=len(names))
    steps, start = epochs * -(-n // 8), time.perf_counter()
    history = ta.fit(
        model,
        (x, kind),
        epochs=epochs,
        batch_size=8,
        optimizer=tuple(ta.Adam(ta.Cosine(2e-3, steps), beta1=0.5) for _ in model.players),
        rng=rng,
    )
    seconds = time.perf_counter() - start

    some = slice(None, 512 if options.quick else 3000)
    every = np.concatenate([change(data.x_train[some]) for change in KINDS.values()])
    which = np.repeat(np.arange(len(names)), len(every) // len(names))
    digits = np.tile(data.y_train[some], len(names))
    of_kind = judging.classifier(every, which, 1 if options.quick else 2, rng)
    of_digit = [
        judging.classifier(every[which == k], digits[which == k], 1 if options.quick else 8, rng)
        for k in range(len(names))
    ]

    made = [
        [model.translate(a, np.full(len(a), c)) for c in range(len(names))] for a in truth
    ]  # made[from][into]
    numbers = {}
    print(f"\n{steps} steps, every picture seen in one kind only, in {seconds:.0f} s\n")
    print(
        "PSNR of the translation, from the kind at the left into the one above; undone: as it was\n"
    )
    print(" " * 10 + "".join(f"{name:>20}" for name in names) + f"{'there and back':>18}")
    for a, name in enumerate(names):
        cells = ""
        for b, into in enumerate(names):
            value = float(ta.metrics.psnr(made[a][b], truth[b], 1.0))
            numbers[f"{name} to {into}"] = value
            undone = "" if a == b else f" ({ta.metrics.psnr(truth[a], truth[b], 1.0):.1f})"
            cells += f"{f'{value:.1f} dB{undone}':>20}"
        b = (a + 1) % len(names)
        back = model.translate(made[a][b], np.full(len(x_test), a))
        numbers[f"{name} and back"] = value = float(ta.metrics.psnr(back, truth[a], 1.0))
        print(f"{name:10}{cells}{f'{value:.1f} dB':>18}")
    print(f"\n{'':10}{'kind':>8}{'digit':>8}{'digit, true pictures':>22}")
    for b, into in enumerate(names):
        found = np.concatenate([made[a][b] for a in range(len(names)) if a != b])
        right = np.tile(labels, len(names) - 1)
        numbers[f"kind {into}"] = obeyed = float((of_kind.predict(found) == b).mean())
        numbers[f"digit {into}"] = kept = float((of_digit[b].predict(found) == right).mean())
        real = float((of_digit[b].predict(truth[b]) == labels).mean())
        print(f"{into:10}{obeyed:8.1%}{kept:8.1%}{real:22.1%}")
    for measure in ("kind", "digit"):
        values = [numbers[f"{measure} {name}"] for name in names]
        numbers[measure] = float(np.mean(values))
    print(f"{'all':10}{numbers['kind']:8.1%}{numbers['digit']:8.1%}")

    at, lines = one_each(labels, 4), []
    for a, name in enumerate(names):
        row = [truth[a][at]] + [made[a][b][at] for b in range(len(names))]
        lines.append((f"from {name}", np.concatenate(row), ""))
    right = np.concatenate([np.ones_like(truth[0][at])] + [t[at] for t in truth])
    lines += [None, ("the truth", right, "")]
    columns = ["", "x", "", "", *(part for name in names for part in ("", name, "", ""))]
    rows(lines, folder / "stargan.png", heads=columns, cell=0.5)
    print(f"{folder}/stargan.png: the picture")
    last = history.epochs[-1].terms
    return numbers | {key: last[key] for key in ("slope", "named", "obeyed", "reconstruction")}


if __name__ == "__main__":
    main()
