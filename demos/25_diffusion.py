"""Draw by taking noise away: denoising diffusion, with and without a class.

Noise is added to images in 1,000 steps, until nothing else is left. A network is trained to go
back: it sees a noisy image x_t and the step t, and says what in it is noise. From pure noise,
fifty such steps of the network lead to a new image:

    x_t = a x + s ε      x̂ = E[x | x_t], as the network sees it      x_t′ = a′ x̂ + s′ ε̂

Samples draw a part of ε̂ anew at each step, which mends what earlier steps missed.

The network is a U-Net that reads 2 × 2 pixels at a time and is told t and the class; a fifth of
the images were shown without theirs, so it can draw either way. Guidance goes on from what it says
without a class through what it says with one: samples get plainer, and vary less.

The second picture shows the reverse process: above x_t, below what the network makes of it. Its
first guess is the mean of all images; one is chosen step by step, and details come last.

A classifier of real images judges the samples as in demo 10; with a class, it is counted how many
it puts there. The moving average of the weights draws, not the last ones. Bits a dimension is the
variational bound on −log₂ p(x), a number of x, for 256 grey values; a file without a model needs 8.

    python demos/25_diffusion.py                  # built-in data, about two minutes
    python demos/25_diffusion.py --data mnist --epochs 4 --widths 48 96

Source: Ho, Jain & Abbeel (2020); Song, Meng & Ermon (2021); Ho & Salimans (2022).
"""

import argparse
import itertools
import time
from pathlib import Path

import judge as judging
import numpy as np
import pictures

import tinyae as ta

STEPS = (0, 10, 20, 25, 30, 35, 40, 45, 50)  # of fifty: those that are shown


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default="strokes", help="images with ten classes: strokes, mnist, fashion-mnist"
    )
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32], help="of the U-Net")
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    data = ta.data.load(options.data)
    x, y, widths, epochs, steps, n = (
        *(data.x_train, data.y_train, options.widths, options.epochs),
        *(50, 200),
    )
    if options.quick:
        x, y, widths, epochs, steps, n = x[:256], y[:256], [8], 1, 5, 20
    x = 2 * x - 1

    unet = ta.ConditionedUNet(1, 32 + 10, widths, patch=2, embedding=64, rng=rng)
    unet.embed.layers[0].W.value[:, 32:] *= 4  # one number for the class is heard among 32 for t
    model = ta.Diffusion(
        unet, (1, 28, 28), prediction=ta.PredictVelocity(), classes=10, unlabelled=0.2
    )
    rate = ta.WarmUp(ta.Cosine(2e-3, epochs * -(-len(x) // 32)), 50)
    optimizer = ta.MovingAverage(ta.Adam(rate), decay=0.99)
    start = time.perf_counter()
    ta.fit(model, (x, y), epochs=epochs, batch_size=32, optimizer=optimizer, clip_norm=1.0, rng=rng)
    seconds = time.perf_counter() - start
    model = optimizer.averaged(model)

    start = time.perf_counter()
    free = images(model.sample(n, rng, steps=steps, eta=1.0, clip=(-1, 1)))
    per_hundred = (time.perf_counter() - start) * 100 / n
    labels = np.arange(n) % 10
    seen = {"real": data.x_test, "made, no class": free}
    for w in (0.0, 2.0):
        made = model.sample(n, rng, steps=steps, eta=1.0, labels=labels, guidance=w, clip=(-1, 1))
        seen[f"made, class, guidance {w:g}"] = images(made)
    ta.plot.page(free[:100], folder / "diffusion_samples.png")
    ta.plot.page(seen["made, class, guidance 2"][:100], folder / "diffusion_classes.png")
    guesses = reverse_process(model, rng, steps, folder / "diffusion_steps.png")

    judge = judging.classifier(data.x_train, data.y_train, 1 if options.quick else 8, rng)
    accuracy = 1 - judge.error(data.x_test, data.y_test)
    print(f"\nthe judge names {accuracy:.1%} of the real test images rightly\n")
    numbers = judging.table({name: judging.verdict(judge, made) for name, made in seen.items()})
    for name in list(seen)[2:]:
        numbers[f"{name}: right"] = float((judge.predict(seen[name]) == labels).mean())
        print(f"{name:24} {numbers[f'{name}: right']:.1%} are of their class")
    few = 2 * data.x_test[: 2 if options.quick else 20] - 1
    bits = model.bits_per_dimension(few, rng)
    print(f"{bits:.2f} bits a dimension, by the bound, of {len(few)} test images")
    print(f"training in {seconds:.0f} s, a hundred samples in {per_hundred:.0f} s")
    print(
        f"{folder}/diffusion_samples.png, diffusion_classes.png (a class in each column), "
        "diffusion_steps.png"
    )
    return numbers | {
        "accuracy": accuracy,
        "bits": bits,
        "spread of guesses: first": guesses[0],
        "spread of guesses: last": guesses[1],
    }


def images(x):
    """From [−1, 1] to grey values"""
    return np.clip((x + 1) / 2, 0, 1)


def reverse_process(model, rng, steps, path):
    """Draw x_t and the network's guess on the way from noise; how much the guesses differ."""
    places = np.linspace(model.schedule.steps, 0, steps + 1).round().astype(int)
    signal = model.schedule.signal
    xt = rng.standard_normal((3, 1, 28, 28), np.float32)
    noisy, guesses = [], []
    for t, to in itertools.pairwise(places):
        a, b = signal[t], signal[to]
        x = np.clip(model.denoise(xt, t), -1, 1)
        noisy.append(xt)
        guesses.append(x)
        eps = (xt - a * x) / np.sqrt(1 - a * a)
        xt = (b * x + np.sqrt(1 - b * b) * eps).astype(np.float32)
    chosen = [k for k in STEPS if k < steps]
    lines = []
    for i in range(len(xt)):
        shown = np.stack([noisy[k][i] for k in chosen] + [xt[i]])
        lines += [
            ("x_t", images(shown), ""),
            ("x̂", images(np.stack([guesses[k][i] for k in chosen])), ""),
        ]
        lines += [None]
    heads = [f"t = {places[k]}" for k in chosen] + ["t = 0"]
    pictures.rows(lines[:-1], path, heads=heads, title="From noise to an image")
    return [float(np.std(x, axis=0).mean()) for x in (guesses[0], guesses[-1])]


if __name__ == "__main__":
    main()
