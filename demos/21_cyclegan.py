"""Digits to outlines and back, learnt from two heaps of pictures: CycleGAN.

One heap holds digits; the other outlines, of other digits. No outline belongs to any digit of the
first heap, so nothing says what G should make of a picture x. Three losses say it instead:

    adversarial   G(x) looks like an outline, F(y) like a digit: D_y and D_x judge, by squares
    cycle         |F(G(x)) − x| + |G(F(y)) − y|: what G makes must still tell which digit x was
    identity      |G(y) − y| + |F(x) − x|: what is an outline already stays as it is

Here the truth is known, though training never sees it: an outline is what a picture gains when every
pixel takes the largest of its 3 × 3 neighbours. So G(x) can be compared with x's own outline.

cyclegan.png   test digits, G(x), the true outline, and back: F of the true outline, F(G(x))

PSNR is to the true partner. Nothing in unpaired pictures says where exactly a thin line belongs, and
one that is off by a pixel counts twice; so PSNR is also given after all pictures were moved by the
same few pixels, those that fit best. "Own partner" is the share of 500 test pictures whose translation,
so moved, correlates more with its own partner than with that of any other; "same digit" the share of
which a classifier of real outlines (or digits) names the digit rightly, unmoved.

The move tells what the cycle leaves open: G may draw every outline a pixel too far to one side, as long
as F brings it back.

What it cannot show at this size: outlines are a local change that keeps the place of everything, which
is what convolutions are good at; a cat made into a dog is not. And a small cycle loss proves little: F
reads x from whatever marks G leaves in its outlines, right or not.

    python demos/21_cyclegan.py                      # built-in data, about a minute
    python demos/21_cyclegan.py --data mnist

Source: Zhu, Park, Isola & Efros (2017).
"""

import argparse
import time
from pathlib import Path

import judge as judging
import numpy as np
from pictures import one_each, rows

import tinyae as ta


def outlines(x):
    """The largest of 3 × 3 pixels, less the pixel itself."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = x.shape[2:]
    shifted = [padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.max(shifted, axis=0) - x


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

    data = ta.data.load(options.data)
    half, channels, epochs = min(len(data.x_train) // 2, 2000), 16, options.epochs
    if options.quick:
        half, channels, epochs = 160, 4, 1
    x, y = data.x_train[:half], outlines(data.x_train[-half:])  # of no common digit
    x_test, labels = data.x_test[:500], data.y_test[:500]
    y_test = outlines(x_test)

    parts = ta.cyclegan((1, 28, 28), channels, 1, rng=rng)
    model = ta.CycleGAN(*parts, cycle=5.0, identity=1.0)
    steps, start = epochs * -(-half // 8), time.perf_counter()
    history = ta.fit(
        model,
        (x, y),
        epochs=epochs,
        batch_size=8,
        optimizer=tuple(ta.Adam(ta.Cosine(2e-3, steps), beta1=0.5) for _ in model.players),
        rng=rng,
    )
    seconds = time.perf_counter() - start

    made_y, made_x = model.to_y(x_test), model.to_x(y_test)
    back = model.to_x(made_y)
    judges = [
        judging.classifier(images, data.y_train, 1 if options.quick else 8, rng)
        for images in (outlines(data.x_train), data.x_train)
    ]
    numbers = {}
    print(f"\n{steps} steps with pictures that do not belong together, in {seconds:.0f} s\n")
    print(f"{'':30} {'PSNR':>8} {'moved':>8} {'by':>8} {'own partner':>12} {'same digit':>11}")
    lines = [
        ("to outlines: the mean outline", np.broadcast_to(y.mean(axis=0), y_test.shape), y_test, 0),
        ("to outlines: nothing done", x_test, y_test, 0),
        ("to outlines: G(x)", made_y, y_test, 0),
        ("to digits: the mean digit", np.broadcast_to(x.mean(axis=0), x_test.shape), x_test, 1),
        ("to digits: nothing done", y_test, x_test, 1),
        ("to digits: F(y)", made_x, x_test, 1),
        ("there and back: F(G(x))", back, x_test, 1),
    ]
    for name, found, truth, side in lines:
        decibels = float(ta.metrics.psnr(found, truth, 1.0))
        better, by, moved = best_move(found, truth)
        own = own_partner(moved, truth)
        same = float((judges[side].predict(found) == labels).mean())
        figures = f"{decibels:5.1f} dB {better:5.1f} dB {by[0]:+4d}, {by[1]:+d}"
        print(f"{name:30} {figures} {own:12.1%} {same:11.1%}")
        numbers |= {f"{name}: psnr": decibels, f"{name}: moved": better}
        numbers |= {f"{name}: own": own, f"{name}: same": same}
    for name, judge, truth in (("outlines", judges[0], y_test), ("digits", judges[1], x_test)):
        numbers[f"true {name}: same"] = same = float((judge.predict(truth) == labels).mean())
        print(f"{f'the true {name} themselves':30} {'':39} {same:11.1%}")

    at = one_each(labels, 12)
    shown = [("digit x", x_test[at], ""), ("G(x)", made_y[at], "unpaired")]
    shown += [("its outline y", y_test[at], "the truth"), None]
    shown += [("F(y)", made_x[at], "unpaired"), ("F(G(x))", back[at], "there and back")]
    rows(shown, folder / "cyclegan.png")
    print(f"{folder}/cyclegan.png: the picture")
    last = history.epochs[-1].terms
    return numbers | {name: last[name] for name in ("cycle", "identity", "real", "fake")}


def best_move(made, truth):
    """The best PSNR of moves by up to two pixels, the same for all pictures; the move; its result."""
    moves = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]
    results = [np.roll(made, by, axis=(2, 3)) for by in moves]
    scores = [float(ta.metrics.psnr(moved, truth, 1.0)) for moved in results]
    best = int(np.argmax(scores))
    return scores[best], moves[best], results[best]


def own_partner(made, truth):
    """The share of translations that correlate best, of all true pictures, with their own partner."""
    a, b = (p.reshape(len(p), -1).astype(np.float64) for p in (made, truth))
    a, b = (p - p.mean(axis=1, keepdims=True) for p in (a, b))
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    return float(((a @ b.T).argmax(axis=1) == np.arange(len(a))).mean())


if __name__ == "__main__":
    main()
