"""Four ways to make the codes of digits fill a normal distribution, beside each other.

A decoder that is to make new digits must know what to do with any draw from the prior N(0, I).
So the codes are to be distributed as the prior is, and there are several ways to ask for it:

    VAE       each q(z | x) is drawn towards N(0, I):      E_q[log p(x | z)] − KL(q(z | x) ‖ N(0, I))
    IWAE      the same with K draws in the logarithm:      E log 1/K Σₖ p(x | zₖ) p(zₖ) / q(zₖ | x)
    WAE-MMD   the codes as a set, by a distance of sets:   reconstruction + λ MMD²({f(xₙ)}, N(0, I))
    AAE       the codes as a set, by a game:               a discriminator tells codes from draws

All have the same layers and a code of two numbers, so that it can be drawn.

priors_maps.png      the codes of test digits, coloured by class; for VAE and IWAE a draw of q(z | x).
                     The circles hold 50, 90 and 99 % of the prior
priors_samples.png   digits decoded from the same draws of the prior, beside real ones

The table: mean squared error of the reconstruction, from the code without noise; MMD² between codes
and prior; its noise, MMD² between two sets of draws; the share of samples that a classifier of real
digits is sure of (p > 0.9); and −log p(x) where the model has one.

What it cannot show: with two numbers every model must lay ten kinds of digits into one plane, where they
touch; which prior serves best in the twenty or more dimensions of a useful code is another question.

    python demos/17_priors.py                           # built-in digits, about a minute
    python demos/17_priors.py --data mnist --epochs 10

Source: Kingma & Welling (2014); Burda et al. (2016); Tolstikhin et al. (2018); Makhzani et al. (2016).
"""

import argparse
from pathlib import Path

import numpy as np
from judge import classifier
from matplotlib.patches import Circle
from pictures import INK, one_each, rows, sheet

import tinyae as ta
from tinyae.models.mmd import mmd

RADII = np.sqrt(-2 * np.log([0.5, 0.1, 0.01]))  # of circles that hold 50, 90, 99 % of N(0, I)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes", help="images: strokes, mnist, fashion-mnist")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)

    data = ta.data.load(options.data)
    x, y, x_test, y_test = data.x_train, data.y_train, data.x_test[:2000], data.y_test[:2000]
    units, epochs = [256, 128, 2], options.epochs
    if options.quick:
        x, y, x_test, y_test = x[:2000], y[:2000], x_test[:300], y_test[:300]
        units, epochs = [64, 2], 8

    models = networks(x.shape[1:], units, rng)
    steps = epochs * -(-len(x) // 64)
    for model in models.values():
        optimizers = tuple(ta.Adam(ta.Cosine(2e-3, steps)) for _ in model.players)
        ta.fit(model, x, epochs=epochs, batch_size=64, optimizer=optimizers, rng=rng)

    judge = classifier(x, y, 3 if options.quick else 8, rng)
    draws = rng.standard_normal((1000, 2), np.float32)
    noise = distance(rng.standard_normal((len(x_test), 2)), rng)
    codes = {name: codes_of(model, x_test, rng) for name, model in models.items()}
    lines = [("real", x_test[one_each(y_test, 14)], ""), None]
    numbers = {"noise": noise}
    print(f"\n{'':8} {'error':>7} {'MMD²':>8} {'sure':>7} {'−log p(x)':>10}")
    for name, model in models.items():
        samples = model.decode(draws)
        n = {
            "error": ta.metrics.mse(model.reconstruct(x_test), x_test),
            "mmd": distance(codes[name], rng),
            "sure": float((judge.predict_proba(samples).max(axis=1) > 0.9).mean()),
        }
        likelihood = ""
        if isinstance(model, ta.VariationalAutoencoder):
            binary = ta.Binarize()(x_test[:500], np.random.default_rng(0))
            n["nll"] = -model.log_likelihood(binary, rng=0, samples=200).value
            likelihood = f"{n['nll']:.1f}"
        print(
            f"{name:8} {n['error']:7.4f} {n['mmd']:8.4f} {n['sure']:7.1%} {likelihood or '–':>10}"
        )
        numbers |= {f"{name}: {key}": value for key, value in n.items()}
        lines.append((name, samples[:14], f"{n['sure']:.0%} sure"))
    print(f"two sets of draws from the prior have an MMD² of {noise:.4f}")
    rows(lines, folder / "priors_samples.png")
    maps(codes, y_test, folder / "priors_maps.png")
    print(f"{folder}/priors_maps.png, {folder}/priors_samples.png: the pictures")
    return numbers


def networks(shape, units, rng):
    """The four models, each with layers of its own but of the same sizes."""

    def heads():
        return ta.dense_variational(shape, units, rng=rng)

    def pair():
        return *ta.dense_encoder_decoder(shape, units, output=None, rng=rng), ta.BCEWithLogits()

    noise = ta.Binarize()
    discriminator = ta.Sequential(
        *(ta.Dense(2, 128, rng=rng), ta.LeakyReLU(0.2), ta.Dense(128, 128, rng=rng)),
        *(ta.LeakyReLU(0.2), ta.Dense(128, 1, rng=rng)),
    )
    return {
        "VAE": ta.VariationalAutoencoder(*heads(), resample=noise),
        "IWAE": ta.ImportanceWeightedAutoencoder(*heads(), samples=5, resample=noise),
        "WAE-MMD": ta.WassersteinAutoencoder(*pair(), weight=0.1),
        "AAE": ta.AdversarialAutoencoder(*pair(), discriminator, weight=0.01),
    }


def codes_of(model, x, rng):
    """Codes as the decoder sees them in training: of a variational model, draws."""
    if isinstance(model, ta.VariationalAutoencoder):
        return model.draw_code(*model.posterior(x, None), rng)[0]
    return model.encode(x)


def distance(z, rng):
    """MMD² between z and as many draws of the prior."""
    return mmd(z, rng.standard_normal(z.shape), ta.InverseMultiquadratic())[0]


def maps(codes, labels, path):
    figure, axes = sheet(14.5, 4.1, len(codes))
    for axis, (name, z) in zip(axes, codes.items()):
        dots = axis.scatter(*z.T, c=labels, cmap="tab10", vmin=-0.5, vmax=9.5, s=3)
        for radius in RADII:
            axis.add_patch(Circle((0, 0), radius, fill=False, color=INK, linewidth=0.8))
        axis.set(xlim=(-4.2, 4.2), ylim=(-4.2, 4.2), aspect="equal")
        axis.set_title(name, color=INK, fontsize=11)
    figure.colorbar(dots, ax=axes, ticks=range(10), shrink=0.85, pad=0.01).outline.set_visible(
        False
    )
    figure.savefig(path, facecolor="white")


if __name__ == "__main__":
    main()
