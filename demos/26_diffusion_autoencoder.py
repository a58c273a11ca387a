"""A code for what is seen, and noise for the rest: the diffusion autoencoder.

An encoder gives z, 16 numbers for an image. The decoder is a reverse process: a U-Net takes noise
away in fifty steps, and is shown z at each. Encoder and U-Net learn together, from nothing but the
U-Net's error.

The deterministic process can be followed the other way too, from x up to its own x_T. So an image
has two codes. The first picture shows what each of them holds: with its own x_T the image comes
back; with another x_T comes an image of z's outline, slant and weight of line. How much of an image
is in z, and how much in x_T, the training decides: in two minutes z has not yet learnt which digit
it is. The second picture walks from one image to another, z along a line and x_T along an arc.

A linear classifier on z says how much of the class is in it, beside PCA with as many numbers. x_T
should look like noise: a spread near 1, and neighbouring pixels that have little in common.

    python demos/26_diffusion_autoencoder.py                  # built-in data, about two minutes
    python demos/26_diffusion_autoencoder.py --data mnist --epochs 4 --widths 48 96

Source: Preechakul, Chatthee, Wizadwongsa & Suwajanakorn (2022).
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pictures

import tinyae as ta


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default="strokes", help="images with ten classes: strokes, mnist, fashion-mnist"
    )
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--latent", type=int, default=16)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32], help="of the U-Net")
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    data = ta.data.load(options.data)
    x, y, latent, widths, epochs, steps, n = (
        *(data.x_train, data.y_train, options.latent, options.widths, options.epochs),
        *(50, 200),
    )
    if options.quick:
        x, y, widths, epochs, steps, n = x[:256], y[:256], [8], 1, 5, 8
    x, seen = 2 * x - 1, 2 * data.x_test[:n] - 1

    model = network(latent, widths, rng)
    rate = ta.WarmUp(ta.Cosine(3e-3, epochs * -(-len(x) // 64)), 50)
    optimizer = ta.MovingAverage(ta.Adam(rate), decay=0.99)
    start = time.perf_counter()
    history = ta.fit(
        model, x, epochs=epochs, batch_size=64, optimizer=optimizer, clip_norm=1.0, rng=rng
    )
    seconds = time.perf_counter() - start
    model = optimizer.averaged(model)

    z, xT = model.encode(seen), model.invert(seen, steps=steps)
    back = model.decode(z, xT, steps=steps)
    others = [model.decode(z, rng=rng, steps=steps) for _ in range(3)]
    pca = ta.metrics.PCA(latent).fit(x)
    errors = {
        "z and its own x_T": error(seen, back),
        "z and another x_T": float(np.mean([error(seen, other) for other in others])),
        f"PCA, {latent} numbers": error(seen, pca.reconstruct(seen)),
    }
    print(f"\ntraining in {seconds:.0f} s\n")
    for name, value in errors.items():
        print(f"{name:18} squared error of a grey value {value:.5f}")

    right = {
        "z": probe(model.encode(x), y, model.encode(2 * data.x_test - 1), data.y_test, rng),
        f"PCA, {latent} numbers": probe(
            pca.transform(x), y, pca.transform(2 * data.x_test - 1), data.y_test, rng
        ),
    }
    for name, share in right.items():
        print(f"{name:18} a linear classifier names {share:.1%} of the test images rightly")
    spread, alike = float(xT.std()), neighbours(xT)
    print(
        f"x_T: spread {spread:.2f}, correlation of neighbouring pixels {alike:.2f} "
        f"(in the images {neighbours(seen):.2f})"
    )

    first = [np.flatnonzero(data.y_test[:n] == k)[:1] for k in range(10)]
    chosen = np.concatenate(first)[:8]
    lines = [("image", images(seen[chosen]), ""), ("z, its x_T", images(back[chosen]), "")]
    lines += [("z, other x_T", images(other[chosen]), "") for other in others]
    pictures.rows(lines, folder / "diffusion_codes.png", title="What z says, and what x_T says")
    a, b = seen[chosen[:4]], seen[chosen[4:8]]
    a = a[: len(b)]
    way = np.swapaxes(model.interpolate(a, b, 8), 0, 1)
    ta.plot.page(images(way.reshape(-1, 1, 28, 28)), folder / "diffusion_walk.png", columns=8)
    print(f"{folder}/diffusion_codes.png, diffusion_walk.png (from the left to the right)")
    return {
        "own": errors["z and its own x_T"],
        "other": errors["z and another x_T"],
        "probe": right["z"],
        "spread": spread,
        "alike": alike,
        "loss": [epoch.terms["total"] for epoch in history.epochs],
    }


def network(latent, widths, rng):
    encoder = ta.Sequential(
        *(ta.Conv2d(1, 16, 4, 2, 1, rng=rng), ta.SiLU()),
        *(ta.Conv2d(16, 32, 4, 2, 1, rng=rng), ta.SiLU()),
        *(ta.Flatten(), ta.Dense(32 * 7 * 7, latent, rng=rng)),
    )
    unet = ta.ConditionedUNet(1, 32 + latent, widths, patch=2, embedding=64, rng=rng)
    return ta.DiffusionAutoencoder(encoder, unet, (1, 28, 28), prediction=ta.PredictVelocity())


def error(x, y):
    """Of grey values in [0, 1]"""
    return ta.metrics.mse(images(x), images(y))


def images(x):
    """From [−1, 1] to grey values"""
    return np.clip((x + 1) / 2, 0, 1)


def probe(z, y, z_test, y_test, rng):
    """How many test images a linear classifier on standardised codes names rightly"""
    mean, std = z.mean(axis=0), z.std(axis=0) + 1e-6
    linear = ta.Classifier(ta.Dense(z.shape[1], 10, rng=rng))
    codes = ((z - mean) / std).astype(np.float32)
    linear.fit((codes, y), epochs=20, batch_size=64, rng=rng, progress=False)
    return 1 - linear.error(((z_test - mean) / std).astype(np.float32), y_test)


def neighbours(x):
    """The correlation of pixels side by side"""
    return float(np.corrcoef(x[..., :-1].ravel(), x[..., 1:].ravel())[0, 1])


if __name__ == "__main__":
    main()
