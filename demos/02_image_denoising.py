"""Remove noise from pictures with a denoising autoencoder.

A denoising autoencoder receives a corrupted x̃ and must return the clean x:

    x̃ ~ q(x̃ | x)      z = f(x̃)      y = g(z)      minimise L(y, x)

The noise is drawn anew for every picture at every step, so the network cannot memorise it. It
learns the structure of clean pictures. L is the cross-entropy of each pixel: like (y − x)², it is
minimal at the mean E[x | x̃], and its gradient does not vanish where y is near 0 or 1.

There are three kinds of noise q: Gaussian, x̃ = x + σ ε, clipped to [0, 1]; masking, with half of
the pixels lost; salt and pepper, with a third of them black or white. The network is compared with
two classical filters, which know nothing about digits: a Gaussian blur of the best width for that
noise, and the median of 3 × 3 pixels. Noise also reduces the contrast, so each filter is followed
by its best linear map a y + b. PSNR = 10 log₁₀(1 / MSE), in dB.

A two-dimensional example (denoising_field.png) shows why denoising works. The optimal function is
the mean of the clean points that may have produced x̃, r(x̃) = E[x | x̃], and it satisfies

    (r(x̃) − x̃) / σ² = ∂/∂x̃ log p(x̃)

The arrow from a noisy point to its reconstruction points to where the data are dense. The residual
of a denoising autoencoder thus estimates the score, which diffusion models sample with. The points
of this example lie on a curve for which E[x | x̃] can be computed and compared with the network's
arrows.

    python demos/02_image_denoising.py                      # built-in digits, about half a minute
    python demos/02_image_denoising.py --data fashion-mnist --epochs 1

Source: Vincent et al. (2008), (2010); Alain & Bengio (2014), theorem 1; Miyasawa (1961).
"""

import argparse
from pathlib import Path

import numpy as np
from pictures import BLUE, INK, ORANGE, one_each, rows, sheet

import tinyae as ta
from tinyae.metrics import psnr


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes", help="images: strokes, mnist, fashion-mnist")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    data = ta.data.load(options.data)
    x, x_test, channels, epochs = data.x_train, data.x_test, [16, 32], options.epochs
    if options.quick:
        x, x_test, channels, epochs = x[:1500], x_test[:200], [8, 16], 3
    noises = {
        "Gaussian": ta.GaussianNoise(0.4, clip=(0, 1)),
        "masking": ta.MaskingNoise(0.5),
        "salt and pepper": ta.SaltAndPepper(0.3),
    }
    show = one_each(data.y_test[: len(x_test)]) if data.y_test is not None else np.arange(10)

    print(
        f"{'PSNR in dB':16} {'noisy':>7} {'blur':>7} {'median':>7} {'autoencoder':>12} {'gain':>7}"
    )
    numbers, lines = {}, [("clean", x_test[show], "")]
    for name, noise in noises.items():
        rng = np.random.default_rng(options.seed)
        encoder, decoder = ta.conv_encoder_decoder(
            x.shape[1:], channels, activation=ta.ELU, output=None, rng=rng
        )
        model = ta.DenoisingAutoencoder(encoder, decoder, ta.BCEWithLogits(), noise)
        schedule = ta.Cosine(5e-3, epochs * -(-len(x) // 32))
        ta.fit(model, x, epochs=epochs, optimizer=ta.Adam(schedule), rng=rng)

        noisy = noise(x_test, rng)
        blurred = [stretch(blur(noisy, width), x_test) for width in (0.5, 0.6, 0.8, 1.0, 1.3)]
        made = {
            "noisy": noisy,
            "blur": max(blurred, key=lambda y: psnr(x_test, y)),
            "median": stretch(median(noisy), x_test),
            "autoencoder": model.reconstruct(noisy),
        }
        quality = {way: psnr(x_test, y) for way, y in made.items()}
        gain = quality["autoencoder"] - quality["noisy"]
        cells = "{noisy:7.2f} {blur:7.2f} {median:7.2f} {autoencoder:12.2f}".format(**quality)
        print(f"{name:16} {cells} {gain:+7.2f}")
        numbers |= {f"{name}: {way}": value for way, value in quality.items()}
        best = max(("blur", "median"), key=quality.get)
        lines.append(None)
        for way, row in (("noisy", name), (best, f"{best} filter"), ("autoencoder", "autoencoder")):
            lines.append((row, made[way][show], f"{quality[way]:.1f} dB"))
    rows(lines, folder / "denoising.png")

    agreement = field(folder / "denoising_field.png", 20 if options.quick else 100, options.seed)
    print(
        f"\nin the plane: the arrows and the true score agree to a mean cosine of {agreement:.3f}"
    )
    print(f"{folder}/denoising.png: the pictures; {folder}/denoising_field.png: the arrows")
    return numbers | {"score cosine": agreement}


def blur(x, width):
    """A Gaussian blur, along rows and then along columns; the width is in pixels."""
    reach = int(np.ceil(3 * width))
    w = np.exp(-np.square(np.arange(-reach, reach + 1) / width) / 2)
    w /= w.sum()
    for axis in (2, 3):
        padded = np.pad(x, [(0, 0)] * axis + [(reach, reach)] + [(0, 0)] * (3 - axis), mode="edge")
        x = sum(
            wk * padded.take(range(k, k + x.shape[axis]), axis) for k, wk in enumerate(w.tolist())
        )
    return x


def median(x):
    """The median of each pixel and its eight neighbours."""
    H, W = x.shape[2:]
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="edge")
    near = [padded[:, :, i : i + H, j : j + W] for i in range(3) for j in range(3)]
    return np.median(near, axis=0)


def stretch(y, x):
    """a y + b with the least squared error against x, clipped to [0, 1]."""
    a, b = np.polyfit(y.ravel(), x.ravel(), 1)
    return np.clip(a * y + b, 0, 1).astype(x.dtype)


def field(path, epochs, seed, sigma=0.25):
    """Points on a spiral, a small denoising autoencoder in the plane, and its arrows."""
    rng = np.random.default_rng(seed)
    turn = np.sqrt(rng.random(4000)) * 3 * np.pi + 0.5
    x = (turn[:, None] / 4 * np.stack([np.cos(turn), np.sin(turn)], axis=1)).astype(np.float32)
    arrows = ta.Sequential(  # the layers compute r(x̃) − x̃; Residual adds x̃
        ta.Dense(2, 64, rng=rng),
        ta.ReLU(),
        ta.Dense(64, 64, rng=rng),
        ta.ReLU(),
        ta.Dense(64, 2, rng=rng),
    )
    noise = ta.GaussianNoise(sigma)
    model = ta.DenoisingAutoencoder(ta.Residual(arrows), ta.Sequential(), ta.MSE(), noise)
    schedule = ta.Cosine(1e-2, epochs * -(-len(x) // 128))
    optimizer = ta.Adam(schedule)
    ta.fit(model, x, epochs=epochs, batch_size=128, optimizer=optimizer, rng=rng, progress=False)

    side = np.linspace(-2.9, 2.9, 27, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    far = np.square(grid[:, None] - x).sum(axis=2)
    near = far.min(axis=1) < (2 * sigma) ** 2  # where noisy points are likely
    grid, far = grid[near], far[near]
    weight = np.exp(-(far - far.min(axis=1, keepdims=True)) / (2 * sigma**2))
    mean = weight @ x / weight.sum(axis=1, keepdims=True)  # E[x | x̃], exactly
    score, arrow = mean - grid, model.reconstruct(grid) - grid
    lengths = np.linalg.norm(score, axis=1) * np.linalg.norm(arrow, axis=1)
    # on the curve itself, the direction is undefined
    sure = np.linalg.norm(score, axis=1) > 0.2 * sigma

    figure, panels = sheet(9.2, 4.2, 2)
    for axis, v, title in zip(
        panels,
        (score, arrow),
        ("E[x | x̃] − x̃ = σ² × the score", "r(x̃) − x̃, what the network learnt"),
    ):
        axis.plot(*x.T, ".", color=ORANGE, markersize=1.5)
        axis.quiver(
            *grid.T,
            *v.T,
            color=BLUE,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.004,
            headwidth=4,
        )
        axis.set_title(title, loc="left", fontsize=11, color=INK)
        axis.set(xlabel="x₁", ylabel="x₂", aspect="equal")
        axis.grid(False)
    figure.savefig(path, facecolor="white")
    return float(((score * arrow).sum(axis=1) / lengths)[sure].mean())


if __name__ == "__main__":
    main()
