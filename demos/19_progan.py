"""Grow a GAN: first images of 7 × 7 pixels, then of 14 × 14, then of 28 × 28.

Where a digit goes is decided at 7 × 7, how its strokes end only at 28 × 28. A game that begins with
tiny images learns the first before it sees the second, and most of its steps are cheap. At each
growth both players get a block for the larger images, which is faded in:

    generator       x̃ = (1 − α) up(old image) + α new image          α from 0 to 1
    discriminator   h = (1 − α) old features of half(x) + α new features of x

At α = 0 the grown players do what they did before, so nothing is lost. Besides that: weights are
kept at unit variance and scaled as they are used (equalised learning rate), every pixel of the
generator's maps is normalised (PixelNorm), and the discriminator sees how much its batch varies
(minibatch deviation). The loss is the non-saturating one with a price on the discriminator's slope
at the data, R1; the paper has WGAN-GP's.

The picture shows samples after each stage. A classifier of real images judges them as in demo 10.
What it cannot show at this size: the paper grows to 1024 × 1024, where a game that begins at full
size fails; at 28 × 28 a plain GAN plays well, and growing saves time rather than the game.

    python demos/19_progan.py                  # built-in data, about two minutes
    python demos/19_progan.py --data mnist --epochs 2

Source: Karras, Aila, Laine & Lehtinen (2018); R1: Mescheder, Geiger & Nowozin (2018).
"""

import argparse
import time
from pathlib import Path

import judge as judging
import numpy as np

import tinyae as ta


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default="strokes", help="images with ten classes: strokes, mnist, fashion-mnist"
    )
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--epochs", type=int, default=1, help="of each stage; the last has twice that"
    )
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    data = ta.data.load(options.data)
    x, channels, epochs = data.x_train, (32, 16, 8), options.epochs
    if options.quick:
        x, channels, epochs = x[:256], (4, 4, 4), 1

    model = ta.ProGAN(*ta.progan((1, 7, 7), channels[0], latent_dim=32, rng=rng))
    z, pages, seconds = model.noise(12, rng), [], 0.0
    steps = epochs * -(-len(x) // 16)
    for stage, width in enumerate(channels):
        if stage:
            before = model.decode(z)
            model.grow(width, fade_steps=steps // 2, rng=rng)
            jump = np.abs(model.decode(z) - before.repeat(2, axis=2).repeat(2, axis=3)).max()
            pages.append(larger(model.decode(z)))  # the old images, doubled
            print(f"grown to {model.image_shape}: largest change of a pixel {jump:g}")
        start = time.perf_counter()
        rounds = epochs * (2 if width == channels[-1] and stage else 1)
        history = ta.fit(
            model,
            x,
            epochs=rounds,
            batch_size=16,
            optimizer=tuple(ta.Adam(2e-3, beta1=0.0, beta2=0.99) for _ in model.players),
            rng=rng,
        )
        seconds += time.perf_counter() - start
        pages.append(larger(model.decode(z)))
    ta.plot.page(np.concatenate(pages), folder / "progan_stages.png", columns=12)
    ta.plot.page(model.sample(100, rng), folder / "progan_samples.png")

    judge = judging.classifier(data.x_train, data.y_train, 1 if options.quick else 8, rng)
    accuracy = 1 - judge.error(data.x_test, data.y_test)
    print(f"\n{seconds:.0f} s; the judge names {accuracy:.1%} of the real test images rightly\n")
    made = model.sample(2000, rng)
    seen = {"real": data.x_test, "real, 7 × 7 made large": blurred(data.x_test), "made": made}
    numbers = judging.table({name: judging.verdict(judge, images) for name, images in seen.items()})
    last = history.epochs[-1].terms
    print(
        f"at the end D calls {last['real']:.2f} of the real and {last['fake']:.2f} of the made images "
        f"real; R1 is {last['r1']:.2f}"
    )
    print(
        f"{folder}/progan_stages.png: the same noise after each stage, and just grown; "
        f"{folder}/progan_samples.png: new ones"
    )
    return numbers | {
        "accuracy": accuracy,
        "jump": float(jump),
        "r1": last["r1"],
        "alpha": model.alpha,
    }


def larger(x):
    """Images at 28 × 28, each pixel repeated."""
    factor = 28 // x.shape[2]
    return x.repeat(factor, axis=2).repeat(factor, axis=3)


def blurred(x):
    """28 × 28 images with the detail of 7 × 7."""
    return larger(x.reshape(len(x), 1, 7, 4, 7, 4).mean(axis=(3, 5)))


if __name__ == "__main__":
    main()
