"""Enlarge pictures (super-resolution) and fill holes in them (inpainting).

Both use a denoising autoencoder, where x̃ is not a noisy x but an incomplete one:

    z = f(x̃)      y = g(z)      minimise the mean of (y − x)²

super-resolution  Trained on pairs (x̃, x): x̃ has 14 × 14 pixels, each the mean of four of x. Two
                  convolutions process the small picture; a transposed convolution doubles its size.
                  Baselines: repeating each pixel (nearest) and linear interpolation (bilinear).
inpainting        x̃ has a grey square of ten by ten lost pixels. It is a custom corruption, a
                  class with one method, and draws a new square each time. A stroke that enters the
                  hole must leave it, so the whole picture matters, and the layers are dense.
                  Baselines: the mean picture in the hole, and the smoothest surface over it, where
                  each pixel is the mean of its four neighbours (Laplace's equation). The error is
                  measured in the hole only; other pixels are kept.

No network can recover what is lost. It predicts the mean of all pictures that are consistent with
the rest, which is sharp where these agree: it adds what it has learned about digits.

    python demos/07_super_resolution.py                     # built-in digits, about half a minute
    python demos/07_super_resolution.py --data fashion-mnist --epochs 1

Source: Vincent et al. (2010), §3; Dong, Loy, He & Tang (2014); Xie, Xu & Chen (2012).
"""

import argparse
from pathlib import Path

import numpy as np
from pictures import one_each, rows

import tinyae as ta
from tinyae.data.corruption import Corruption
from tinyae.metrics import psnr, ssim

SIDE, GREY = 10, np.float32(0.5)  # of the hole


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes", help="images: strokes, mnist, fashion-mnist")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)

    data = ta.data.load(options.data)
    x, x_test, width, epochs = data.x_train, data.x_test, 16, options.epochs
    if options.quick:
        x, x_test, width, epochs = x[:1500], x_test[:200], 8, 3
    show = one_each(data.y_test[: len(x_test)]) if data.y_test is not None else np.arange(10)

    # Half the size and back.
    small, small_test = halve(x), halve(x_test)
    encoder = ta.Sequential(
        ta.Conv2d(1, width, 3, 1, "same", rng=rng),
        ta.ELU(),
        ta.Conv2d(width, width, 3, 1, "same", rng=rng),
        ta.ELU(),
    )
    decoder = ta.Sequential(
        ta.ConvTranspose2d(width, width, 3, 2, "same", rng=rng),
        ta.ELU(),
        ta.Conv2d(width, 1, 3, 1, "same", rng=rng),
        ta.Sigmoid(),
    )
    model = ta.DenoisingAutoencoder(encoder, decoder, ta.MSE())
    schedule = ta.Cosine(3e-3, epochs * -(-len(x) // 32))
    ta.fit(model, (small, x), epochs=epochs, optimizer=ta.Adam(schedule), rng=rng)
    made = {
        "nearest": small_test.repeat(2, axis=2).repeat(2, axis=3),
        "bilinear": bilinear(small_test),
        "autoencoder": model.reconstruct(small_test),
    }
    print(f"{'14 × 14 to 28 × 28':20} {'PSNR':>9} {'SSIM':>7}")
    numbers, lines = {}, []
    for name, y in made.items():
        decibel, similar = psnr(x_test, y), ssim(x_test, y)
        numbers |= {f"{name}: psnr": decibel, f"{name}: ssim": similar}
        print(f"{name:20} {decibel:6.2f} dB {similar:7.3f}")
        lines.append(("14 × 14" if name == "nearest" else name, y[show], f"{decibel:.1f} dB"))
    title = "14 × 14 pixels, enlarged to 28 × 28"
    rows([*lines, ("original", x_test[show], "")], folder / "super_resolution.png", title=title)

    # Fill a missing square.
    encoder, decoder = ta.dense_encoder_decoder(x.shape[1:], [512, 128], rng=rng)
    model = ta.DenoisingAutoencoder(encoder, decoder, ta.MSE(), Hole())
    schedule = ta.Cosine(1e-3, 3 * epochs * -(-len(x) // 64))
    ta.fit(model, x, epochs=3 * epochs, batch_size=64, optimizer=ta.Adam(schedule), rng=rng)
    hole = square(x_test, rng)
    damaged = np.where(hole, GREY, x_test)
    made = {
        "mean picture": np.broadcast_to(x.mean(axis=0), x_test.shape),
        "smoothest": laplace(damaged, hole),
        "autoencoder": model.reconstruct(damaged),
    }
    print(f"\n{f'a hole of {SIDE} × {SIDE}':20} {'PSNR in it':>12}")
    lines = [("damaged", damaged[show], "")]
    for name, y in made.items():
        y = np.where(hole, y, x_test)  # keep known pixels
        decibel = psnr(inside(x_test, hole), inside(y, hole))
        numbers[f"hole, {name}"] = decibel
        print(f"{name:20} {decibel:9.2f} dB")
        lines.append((name, y[show], f"{decibel:.1f} dB"))
    title = "A hole of 10 × 10 pixels, filled (dB: inside the hole)"
    rows([*lines, ("original", x_test[show], "")], folder / "inpainting.png", title=title)
    print(f"{folder}/super_resolution.png, {folder}/inpainting.png: the pictures")
    return numbers


def halve(x):
    """Half the size: the mean of each 2 × 2 pixels."""
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5))


def bilinear(x):
    """Twice the size: each new pixel lies a quarter of the way from one old pixel to the next."""
    for axis in (2, 3):
        last = x.shape[axis] - 1
        before = x.take(np.maximum(np.arange(last + 1) - 1, 0), axis)
        after = x.take(np.minimum(np.arange(last + 1) + 1, last), axis)
        halves = np.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=axis + 1)
        shape = list(x.shape)
        shape[axis] *= 2
        x = halves.reshape(shape)
    return x


class Hole(Corruption):
    """x̃ = x except in a square, which is grey."""

    def __call__(self, x, rng):
        return np.where(square(x, rng), GREY, x)


def square(x, rng):
    """True in a random square of each picture, away from the margin."""
    H, W = x.shape[2:]
    row = rng.integers(4, H - SIDE - 3, (len(x), 1, 1, 1))
    column = rng.integers(4, W - SIDE - 3, (len(x), 1, 1, 1))
    i, j = np.arange(H)[:, None], np.arange(W)
    return (i >= row) & (i < row + SIDE) & (j >= column) & (j < column + SIDE)


def laplace(x, hole, sweeps=150):
    """Repeatedly replace each lost pixel by the mean of its four neighbours."""
    for _ in range(sweeps):
        around = sum(np.roll(x, s, axis) for s in (1, -1) for axis in (2, 3)) / 4
        x = np.where(hole, around, x)
    return x


def inside(x, hole):
    """The pixels of the hole, one row per picture."""
    return x[hole].reshape(len(x), -1)


if __name__ == "__main__":
    main()
