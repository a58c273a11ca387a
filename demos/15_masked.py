"""Complete pictures of which three quarters are hidden, with a masked autoencoder.

A picture is cut into patches, and only a quarter of them, drawn at random, goes through the encoder.
A light decoder gets their tokens, with one learnt token in place of each that is missing, and must
draw the rest:

    p = patches of x      z = f(embed(p) + positions) of the visible ones
    y = g([bridge(z), mask, …] + positions)      minimise mean (y − p)² over the hidden patches

Neighbouring pixels are nearly alike, so a few missing ones say nothing about understanding. With
three quarters gone, a digit must be recognised before it can be completed. So the encoder learns what
tells digits apart, from pictures without labels.

Completion is compared with the mean picture and with PCA: the code whose visible pixels fit best,
with the codes' variances as the prior, z = argmin ‖x_v − m_v − z V_v‖²/s² + Σ zⱼ²/λⱼ. That is the best
linear guess.

Then a linear classifier learns the digits from the codes, the mean of the encoder's tokens for the
whole picture. Beside it stand PCA with as many numbers, a plain autoencoder with as many, and the same
encoder before it has learnt anything.

    python demos/15_masked.py                       # built-in digits
    python demos/15_masked.py --data mnist --epochs 3

Source: He, Chen, Xie, Li, Dollár & Girshick (2022).
"""

import argparse
from pathlib import Path

import numpy as np
from pictures import one_each, rows

import tinyae as ta
from tinyae.metrics import PCA


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes", help="images: strokes, mnist, fashion-mnist")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)

    data = ta.data.load(options.data)
    x, y, x_test, y_test = data.x_train, data.y_train, data.x_test, data.y_test
    dim, depth, epochs = 64, 3, options.epochs
    if options.quick:
        x, y, x_test, y_test = x[:2000], y[:2000], x_test[:300], y_test[:300]
        dim, depth, epochs = 32, 1, 6
    model = ta.MaskedAutoencoder(x.shape[1:], 4, dim, depth, 4, decoder_dim=48, rng=rng)
    untrained = model.astype(np.float32)
    train(model, x, epochs, 2e-3, rng)
    plain = ta.Autoencoder(*ta.dense_encoder_decoder(x.shape[1:], [256, dim], rng=rng), ta.MSE())
    train(plain, x, epochs, 1e-3, rng)

    # Completion
    completed, seen = model.complete(x_test, 0)
    mean = np.where(seen, x_test, x.mean(axis=0))
    linear = complete_by_pca(PCA(min(100, len(x) - 1)).fit(x), x_test, seen)
    numbers = {}
    print(f"\n{'hidden pixels':28} {'mean squared error':>18}")
    made = {"mean picture": mean, "PCA": linear, "masked autoencoder": completed}
    for name, image in made.items():
        numbers[f"hidden: {name}"] = float(np.square(image - x_test)[~seen].mean())
        print(f"{name:28} {numbers[f'hidden: {name}']:18.4f}")

    # A linear classifier on codes
    print(f"\n{'linear classifier on':28} {'test error':>18}")
    pca = PCA(dim).fit(x)
    codes = {
        f"PCA, {dim} numbers": pca.transform,
        f"plain autoencoder, {dim}": plain.encode,
        f"the encoder untrained, {dim}": untrained.encode,
        f"masked autoencoder, {dim}": model.encode,
    }
    for name, code in codes.items():
        error = probe(code(x), y, code(x_test), y_test, options.seed)
        numbers[f"error: {name.rsplit(', ', 1)[0]}"] = error
        print(f"{name:28} {error:17.1%}")

    show = one_each(y_test)
    lines = [
        ("picture", x_test[show], ""),
        ("a quarter of it", np.where(seen, x_test, 0.5)[show], ""),
    ]
    lines += [(n, image[show], f"{numbers[f'hidden: {n}']:.3f}") for n, image in made.items()]
    rows(lines, folder / "masked.png")
    print(f"\n{folder}/masked.png: pictures completed from the same patches")
    return numbers


def train(model, x, epochs, rate, rng):
    optimizer = ta.Adam(ta.Cosine(rate, epochs * -(-len(x) // 64)))
    ta.fit(model, x, epochs=epochs, batch_size=64, optimizer=optimizer, rng=rng)


def complete_by_pca(pca, x, seen):
    """The most probable picture given its visible pixels, under a Gaussian of the PCA's axes"""
    V, m = pca.components_, pca.mean_
    out, noise = [], 0.01
    for image, visible in zip(x.reshape(len(x), -1), seen.reshape(len(x), -1)):
        A = V[:, visible]
        z = np.linalg.solve(
            A @ A.T / noise + np.diag(1 / pca.explained_variance_), A @ (image - m)[visible] / noise
        )
        out.append(np.where(visible, image, np.clip(m + z @ V, 0, 1)))
    return np.array(out, x.dtype).reshape(x.shape)


def probe(z, y, z_test, y_test, seed):
    """The test error of a softmax regression on standardised codes"""
    mean, scale = z.mean(axis=0), z.std(axis=0) + 1e-6
    z, z_test = (z - mean) / scale, (z_test - mean) / scale
    model = ta.Classifier(ta.Dense(z.shape[1], 10, rng=np.random.default_rng(seed)))
    optimizer = ta.Adam(ta.Cosine(1e-2, 20 * -(-len(z) // 128)))
    ta.fit(model, (z, y), epochs=20, batch_size=128, optimizer=optimizer, rng=seed, progress=False)
    return model.error(z_test, y_test)


if __name__ == "__main__":
    main()
