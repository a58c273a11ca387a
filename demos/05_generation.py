"""Digits that nobody wrote, and a map of all digits on one plane.

The decoder of a plain autoencoder knows what to make of the codes it has met, and nothing of the
places between. A variational autoencoder makes a code that can be drawn from: its encoder says of
x a distribution, its decoder sees a draw z of it, and a second term pulls all these distributions
together until they fill N(0, I):

    q(z | x) = N(μ(x), σ(x)²)      z = μ + σ ε,   ε ~ N(0, I)
    ELBO = E_q[log p(x | z)] − KL(q(z | x) ‖ N(0, I))   ≤   log p(x)

So new pictures are drawn by z ~ N(0, I) and the decoder. Here z has two numbers, and can be seen.

generation_map.png     the codes of test digits, coloured by class: nobody told it of classes
generation_plane.png   the decoder at 15 × 15 places, such that each stands for the same share of
                       the prior: z = (Φ⁻¹(u), Φ⁻¹(v)), Φ⁻¹ the inverse of the normal distribution
generation_samples.png pictures drawn by chance
generation_walk.png    from one digit to another, in a straight line from code to code

How good are they? The ELBO in nats, on pictures whose pixels are drawn black or white with the grey
value's probability. And the share of which a classifier, trained on real digits, is sure (p > 0.9).

    python demos/05_generation.py                # built-in digits, about half a minute
    python demos/05_generation.py --data mnist --epochs 5

Source: Kingma & Welling (2014); the plane is their figure 4.
"""

import argparse
from pathlib import Path
from statistics import NormalDist

import numpy as np
from pictures import rows

import tinyae as ta
from tinyae.metrics import PCA


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes", help="images: strokes, mnist, fashion-mnist")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)

    data = ta.data.load(options.data)
    x, y, x_test, y_test = data.x_train, data.y_train, data.x_test, data.y_test
    units, epochs = [400, 200, 2], options.epochs
    if options.quick:
        x, y, x_test, y_test = x[:2000], y[:2000], x_test[:300], y_test[:300]
        units, epochs = [128, 2], 15

    # Train: the code is two numbers wide, and each batch is black and white, drawn anew.
    parts = ta.dense_variational(x.shape[1:], units, rng=rng)
    model = ta.VariationalAutoencoder(*parts, resample=ta.Binarize())
    schedule = ta.Cosine(2e-3, epochs * -(-len(x) // 32))
    ta.fit(model, x, epochs=epochs, optimizer=ta.Adam(schedule), rng=rng)
    terms = model.evaluate(x_test)
    print(f"test pictures: −ELBO {terms['total']:.1f} nats a picture ", end="")
    print(f"= reconstruction {terms['reconstruction']:.1f} + KL {terms['kl']:.2f}")
    alone = each_pixel_alone(x, x_test)
    print(f"without a code, each pixel drawn with its own mean: {alone:.1f} nats\n")

    # Look.
    ta.plot.latent_map(model.encode(x_test), y_test, folder / "generation_map.png")
    ta.plot.page(model.decode(plane(15)), folder / "generation_plane.png", columns=15)
    samples = model.sample(1000, rng)
    ta.plot.page(samples[:100], folder / "generation_samples.png")
    walk(model, x_test, y_test, folder / "generation_walk.png")

    # What a classifier of real digits makes of them, beside real ones and PCA's.
    network = ta.Sequential(
        ta.Flatten(), ta.Dense(x[0].size, 128, rng=rng), ta.ReLU(), ta.Dense(128, 10, rng=rng)
    )
    judge = ta.Classifier(network)
    ta.fit(judge, (x, y), epochs=8, batch_size=64, rng=rng)
    pca = PCA(2).fit(x)
    codes = rng.standard_normal((1000, 2)) * np.sqrt(pca.explained_variance_)
    pictures = {
        "real test pictures": x_test,
        "made by the VAE": samples,
        "made by PCA, two numbers": np.clip(pca.inverse_transform(codes), 0, 1),
    }
    numbers = {"nelbo": terms["total"], "kl": terms["kl"], "alone": alone}
    print(f"\n{'the judge is sure of':26} {'share':>6}   {'kinds it sees':>13}")
    for name, images in pictures.items():
        p = judge.predict_proba(images)
        kinds = int((np.bincount(p.argmax(axis=1), minlength=10) > 0.02 * len(p)).sum())
        numbers |= {f"sure: {name}": float((p.max(axis=1) > 0.9).mean()), f"kinds: {name}": kinds}
        print(f"{name:26} {(p.max(axis=1) > 0.9).mean():6.1%}   {kinds:10d}/10")
    print(f"{folder}/generation_map.png, …_plane.png, …_samples.png, …_walk.png: the pictures")
    return numbers


def each_pixel_alone(x, x_test):
    """−log p of the best model whose pixels know nothing of each other, in nats a picture."""
    p = np.clip(x.mean(axis=0, dtype=np.float64), 1e-4, 1 - 1e-4)
    t = x_test.mean(axis=0, dtype=np.float64)
    return float(-(t * np.log(p) + (1 - t) * np.log(1 - p)).sum())


def plane(n):
    """n × n codes, row by row from the top: each cell holds 1/n² of the prior."""
    quantile = [NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]
    return np.array([[z1, z2] for z2 in reversed(quantile) for z1 in quantile], np.float32)


def walk(model, x, labels, path):
    """Eleven steps from the code of one digit to that of another, the digits themselves at the ends."""
    lines = []
    for a, b in ((0, 1), (1, 2), (4, 9), (3, 5), (7, 2), (6, 0)):
        start, end = x[labels == a][:1], x[labels == b][:1]
        between = model.interpolate(start, end, steps=11)[:, 0]
        lines.append((f"{a} to {b}", np.concatenate([start, between, end]), ""))
    steps = [f"{t:.1f}" for t in np.linspace(0, 1, 11)]
    rows(lines, path, heads=["real", *steps, "real"])


if __name__ == "__main__":
    main()
