"""A GAN beside a Wasserstein GAN with gradient penalty: the same game with another referee.

A GAN's discriminator says how probable it is that an image is real. Once it can tell with ease, it
says 0 of every generated image, and its slope, all that the generator learns from, is nearly 0. The
critic of a Wasserstein GAN gives a number without bounds, but its slope is kept near 1 everywhere:

    discriminator   −E ln σ(D(x)) − E ln(1 − σ(D(x̃)))
    critic          E f(x̃) − E f(x) + λ E(‖∇f(x̂)‖ − 1)²,   x̂ on a straight line from x̃ to x

Then E f(x) − E f(x̃) is a distance between real and generated images, Wasserstein's, and it can be
watched: it falls while the images get better. The GAN's losses have no such meaning.

The penalty contains a gradient, so its gradient is a second one. It is computed exactly: backward for
∇f, `tangent` along its direction, `tangent_backward` (tinyae/models/wasserstein_gan.py).

wgan_samples.png   real digits, and those of both generators
wgan_curves.png    by epoch, a classifier's score of the samples, and what each referee reports

The score is exp of E KL(p(y | x̃) ‖ p(y)): 10 if each image is plainly one digit and all are equally
frequent. Its judge is trained on the same real images.

What it cannot show: in a few minutes on small digits a GAN does not collapse, so the penalty's
stability, for which it was made, is hardly needed; and a classifier's score does not see whether digits
are copies.

    python demos/18_wgan.py                          # built-in data, about two minutes
    python demos/18_wgan.py --data mnist --epochs 4

Source: Gulrajani et al. (2017); Arjovsky, Chintala & Bottou (2017); the score: Salimans et al. (2016).
"""

import argparse
from pathlib import Path

import numpy as np
from judge import classifier, entropy
from pictures import BLUE, ORANGE, QUIET, one_each, rows, sheet

import tinyae as ta


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default="strokes", help="images with ten classes: strokes, mnist, fashion-mnist"
    )
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    data = ta.data.load(options.data)
    x, y, channels, epochs = data.x_train, data.y_train, (16, 32), options.epochs
    if options.quick:
        x, y, channels, epochs = x[:2048], y[:2048], (4, 8), 3
    judge = classifier(x, y, 3 if options.quick else 8, rng)

    steps = epochs * -(-len(x) // 64)
    games = {
        "GAN": (
            ta.GAN(*ta.dcgan(x.shape[1:], channels, latent_dim=32, rng=rng), real_label=0.9),
            (1e-3, 1e-3),
        ),
        "WGAN-GP": (
            ta.WassersteinGAN(*ta.conv_wgan(x.shape[1:], channels, latent_dim=32, rng=rng)),
            (2e-3, 2e-3),
        ),
    }
    scores, watched, samples = {}, {}, {}
    for name, (model, rates) in games.items():
        scores[name] = [score(judge, model.sample(1000, rng))[0]]

        def keep(epoch, name=name, model=model):
            scores[name].append(score(judge, model.sample(1000, rng))[0])

        optimizers = tuple(ta.Adam(ta.Cosine(rate, steps), beta1=0.5) for rate in rates)
        history = ta.fit(
            *(model, x), epochs=epochs, batch_size=64, optimizer=optimizers, rng=rng, on_epoch=keep
        )
        watched[name] = history
        samples[name] = model.sample(2000, rng)

    print(f"\n{'images':16} {'score':>6} {'sure':>7} {'rarest digit':>13} {'seconds':>8}")
    images = {"real": data.x_test, **samples}
    numbers = {}
    for name, some in images.items():
        value, sure, rarest = score(judge, some)
        seconds = f"{sum(watched[name]['seconds']):.0f}" if name in watched else ""
        print(f"{name:16} {value:6.2f} {sure:7.1%} {rarest:13.1%} {seconds:>8}")
        numbers |= {f"{name}: score": value, f"{name}: sure": sure}
    distance, slope = watched["WGAN-GP"]["distance"], watched["WGAN-GP"]["slope"]
    print(
        f"the critic's distance fell from {distance.max():.2f} to {distance[-1]:.2f}; its mean slope is "
        f"{slope[-1]:.2f}; the discriminator's loss went from {watched['GAN']['discriminator'][0]:.2f} "
        f"to {watched['GAN']['discriminator'][-1]:.2f}"
    )
    lines = [("real", data.x_test[one_each(data.y_test, 14)], ""), None]
    lines += [(n, s[k * 14 : k * 14 + 14], "") for n, s in samples.items() for k in range(3)]
    rows(lines, folder / "wgan_samples.png")
    curves(scores, watched, folder / "wgan_curves.png")
    print(f"{folder}/wgan_samples.png, {folder}/wgan_curves.png: the pictures")
    return numbers | {
        "slope": float(slope[-1]), "distance": float(distance[-1]), "highest": float(distance.max())
    }  # fmt: skip


def curves(scores, watched, path):
    figure, (left, right) = sheet(10, 3.6, 2)
    colours = {"GAN": ORANGE, "WGAN-GP": BLUE}
    for name, values in scores.items():
        left.plot(range(len(values)), values, color=colours[name], marker="o", markersize=3)
        left.annotate(
            name, (len(values) - 1, values[-1]), (4, 0), textcoords="offset points", va="center",
            color=colours[name],
        )  # fmt: skip
    left.set_title("score of the samples", loc="left", fontsize=10)
    left.set_xlabel("epoch", color=QUIET)
    left.margins(x=0.14)
    for name, term, words in (
        ("GAN", "discriminator", "discriminator's loss"),
        ("WGAN-GP", "distance", "critic's distance"),
    ):
        values = watched[name][term]
        at = range(1, len(values) + 1)
        right.plot(at, values, color=colours[name], marker="o", markersize=3)
        right.annotate(
            words, (len(values), values[-1]), (0, 8), textcoords="offset points", ha="right",
            color=colours[name],
        )  # fmt: skip
    right.set_title("what the referee reports", loc="left", fontsize=10)
    right.set_xlabel("epoch", color=QUIET)
    right.set_ylim(bottom=0)
    figure.savefig(path, facecolor="white")


def score(judge, images):
    """The score, the share of images that the judge is sure of, and the rarest digit's share."""
    p = judge.predict_proba(images).astype(np.float64)
    one, whole = entropy(p).mean(), entropy(p.mean(axis=0))
    share = np.bincount(p.argmax(axis=1), minlength=p.shape[1]) / len(p)
    return float(np.exp(whole - one)), float((p.max(axis=1) > 0.9).mean()), float(share.min())


if __name__ == "__main__":
    main()
