"""Generate digits with a generative adversarial network (GAN).

The generator G maps noise z ~ N(0, I) to an image. The discriminator D estimates the probability
that an image is real: D(x) is the logit, σ(D(x)) the probability. Each minimises its own loss:

    discriminator   −E ln σ(D(x)) − E ln(1 − σ(D(G(z))))     tell real from generated images
    generator       −E ln σ(D(G(z)))                         make D classify its images as real

G never sees a real image. It learns only from the gradient ∂D/∂x, the direction in which an image
would look more real. If D can only guess, its loss is 2 ln 2 ≈ 1.386.

The first picture shows images from the same noise at several epochs, one row each; the second, a
page of new digits, not chosen: many are none. Neither loss measures their quality. So a small
classifier, trained on real images, judges 2,000 of them. Each should clearly be one digit (low
entropy), and all ten digits should occur: a generator that produces only one good image ("mode
collapse") fails this test.

    python demos/10_gan.py                  # built-in data, about a minute
    python demos/10_gan.py --data mnist --epochs 3     # real ones

Source: Goodfellow et al. (2014); with convolutions: Radford, Metz & Chintala (2016).
"""

import argparse
from pathlib import Path

import numpy as np
from judge import classifier, entropy
from pictures import rows

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
    x, channels, epochs = data.x_train, (16, 32), options.epochs
    if options.quick:
        x, channels, epochs = x[:512], (4, 8), 2

    # The generator has transposed convolutions, the discriminator convolutions.
    generator, discriminator = ta.dcgan(x.shape[1:], channels, latent_dim=32, rng=rng)
    model = ta.GAN(generator, discriminator, real_label=0.9)

    # Images from the same twelve noise vectors after each of these epochs, one row each.
    z = model.noise(12, rng)
    stages = [e for e in (1, 2, 4, 8, 16, 32) if e < epochs] + [epochs]
    lines = [("untrained", model.decode(z), "undecided: grey")]
    before = model.sample(2000, rng)

    def keep(epoch):
        if epoch.epoch in stages:
            name = f"{epoch.epoch} epoch{'s' * (epoch.epoch > 1)}"
            lines.append((name, model.decode(z), ""))

    steps = epochs * -(-len(x) // 32)
    history = ta.fit(
        model,
        x,
        epochs=epochs,
        batch_size=32,
        # one optimizer for each network
        optimizer=tuple(ta.Adam(ta.Cosine(1e-3, steps), beta1=0.5) for _ in model.players),
        rng=rng,
        on_epoch=keep,
    )
    title = "What twelve draws of noise become as the generator learns"
    rows(lines, folder / "gan_training.png", title=title)
    shown = model.sample(100, rng)

    # Judge the samples with a classifier of real images.
    judge = classifier(data.x_train, data.y_train, 1 if options.quick else 8, rng)
    seen = {
        "real": probabilities(judge, data.x_test),
        "before training": probabilities(judge, before),
        "made": probabilities(judge, model.sample(2000, rng)),
    }
    accuracy = float((seen["real"].argmax(axis=1) == data.y_test).mean())
    print(f"\nthe judge names {accuracy:.1%} of the real test images rightly\n")
    print(
        f"{'images':16} {'entropy of one':>14} {'of all':>8} {'score':>7}  {'rarest digit':>12}"
        f" {'is sure of':>10}"
    )
    numbers = {"accuracy": accuracy}
    for name, p in seen.items():
        one, whole = entropy(p).mean(), entropy(p.mean(axis=0))
        share = np.bincount(p.argmax(axis=1), minlength=p.shape[1]) / len(p)
        sure = float((p.max(axis=1) > 0.9).mean())
        print(
            f"{name:16} {one:11.3f} nats {whole:8.3f} {np.exp(whole - one):7.2f} {share.min():12.1%}"
            f" {sure:9.1%}"
        )
        numbers |= {f"{name}: entropy": float(one), f"{name}: score": float(np.exp(whole - one))}
        numbers[f"{name}: sure"] = sure
    print("score = exp of the gap: 10 if every image is plainly one of ten equally frequent digits")
    sure = numbers["made: sure"]
    title = f"100 samples, not chosen; the judge is sure (p > 0.9) of {sure:.0%} of such, "
    title += f"of real digits {numbers['real: sure']:.0%}"
    ta.plot.page(shown, folder / "gan_samples.png", title=title)
    last = history.epochs[-1].terms
    print(
        f"at the end D calls {last['real']:.2f} of the real and {last['fake']:.2f} of the made "
        f"images real; its loss is {last['discriminator']:.3f} (guessing: {2 * np.log(2):.3f})"
    )
    print(
        f"{folder}/gan_training.png: the same noise after epochs 0, "
        f"{', '.join(map(str, stages))}; {folder}/gan_samples.png: new digits"
    )
    return numbers | {"discriminator": last["discriminator"], "generator": last["generator"]}


def probabilities(judge, x):
    return judge.predict_proba(x).astype(np.float64)


if __name__ == "__main__":
    main()
