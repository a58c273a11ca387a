"""Draw with styles: StyleGAN's generator, its mixed images, and truncation.

A plain generator turns z into an image layer by layer. Here a network of its own first maps z to a
style w, and every layer of the generator gets w: it scales the channels of that layer's convolution
(and weight demodulation scales the result back to size). The image starts from a learnt constant,
and noise of learnt strength is added to every pixel:

    w = f(z)      s = A w + a      h ← lrelu(d ∘ (W ∗ (s ∘ h)) + b + noise)      d = 1/‖s ∘ W‖

As each layer has a style of its own, coarse layers can get one image's and fine layers another's.
The second picture does that: its first row and column are two sets of digits, and each image
within has the styles of its row's digit in the coarse blocks, of its column's in the fine ones.
The third draws every style towards the mean one, w̄ + ψ (w − w̄): fewer odd images, less variety.

A classifier of real images judges the samples as in demo 10. What it cannot show at this size: on
faces, coarse styles are pose and fine ones colour; 28 × 28 pixels of grey have hardly any fine
styles, and how well the styles are disentangled (the paper's path lengths) is not measured.

    python demos/20_stylegan.py                  # built-in data, about two minutes
    python demos/20_stylegan.py --data mnist --epochs 2

Source: Karras, Laine & Aila (2019); weight demodulation: Karras et al. (2020).
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
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    data = ta.data.load(options.data)
    x, channels, epochs = data.x_train, (8, 16, 32), options.epochs
    if options.quick:
        x, channels, epochs = x[:256], (2, 4, 4), 1

    model = ta.StyleGAN(*ta.stylegan((1, 28, 28), channels, latent_dim=32, rng=rng))
    start = time.perf_counter()
    history = ta.fit(
        model,
        x,
        epochs=epochs,
        batch_size=16,
        optimizer=tuple(ta.Adam(2e-3, beta1=0.0, beta2=0.99) for _ in model.players),
        rng=rng,
    )
    seconds = time.perf_counter() - start
    ta.plot.page(model.sample(100, rng), folder / "stylegan_samples.png")
    page, changes = mixing_page(model, rng)
    ta.plot.page(page, folder / "stylegan_mixing.png", columns=9)

    z = rng.standard_normal((12, 32))
    psis = (0.0, 0.3, 0.5, 0.7, 1.0)
    rows = [model.decode(z, psi) for psi in psis]
    ta.plot.page(np.concatenate(rows), folder / "stylegan_truncation.png", columns=12)

    judge = judging.classifier(data.x_train, data.y_train, 1 if options.quick else 8, rng)
    accuracy = 1 - judge.error(data.x_test, data.y_test)
    print(f"\n{seconds:.0f} s; the judge names {accuracy:.1%} of the real test images rightly\n")
    seen = {"real": data.x_test} | {
        f"made, ψ = {psi:g}": model.sample(2000, rng, truncation=psi) for psi in (1.0, 0.7, 0.5)
    }
    numbers = judging.table({name: judging.verdict(judge, images) for name, images in seen.items()})
    for name, images in seen.items():
        numbers[f"{name}: spread"] = float(images.std(axis=0).mean())
        print(f"{name:14} spread of a pixel {numbers[f'{name}: spread']:.3f}")
    print(
        "other styles in the coarse blocks change a pixel by "
        f"{changes[0]:.3f}, in the fine blocks by {changes[1]:.3f}"
    )
    strengths = [float(abs(block.noise.a.value[0])) for block in model.generator.layers[1].blocks]
    print("strength of the noise, coarse to fine: " + ", ".join(f"{a:.2f}" for a in strengths))
    print(
        f"{folder}/stylegan_samples.png, stylegan_mixing.png (coarse from the left, fine from above), "
        f"stylegan_truncation.png (ψ = {', '.join(map(str, psis))})"
    )
    last = history.epochs[-1].terms
    return numbers | {
        "accuracy": accuracy,
        "coarse": changes[0],
        "fine": changes[1],
        "r1": last["r1"],
        "noise": max(strengths),
    }


def mixing_page(model, rng, crossover=2):
    """Six rows of coarse styles × eight columns of fine ones, and how much each kind changes."""
    coarse, fine = (
        rng.standard_normal((6, model.latent_dim)),
        rng.standard_normal((8, model.latent_dim)),
    )
    left, top = model.decode(coarse), model.decode(fine)
    grid = np.stack(
        [model.mix(np.repeat(z[None], len(fine), axis=0), fine, crossover) for z in coarse]
    )
    corner = np.ones_like(top[:1])
    rows = [np.concatenate([corner, top])]
    rows += [np.concatenate([left[i : i + 1], grid[i]]) for i in range(len(coarse))]
    changes = float(grid.std(axis=0).mean()), float(grid.std(axis=1).mean())
    return np.concatenate(rows), changes


if __name__ == "__main__":
    main()
