"""Sharp pictures from few codes: a VQ-VAE that also plays against a discriminator of patches.

What a code does not say, a decoder trained pixel by pixel fills with the mean of all that it may be,
and the mean of edges in different places is blur. The VQGAN adds a discriminator D that sees patches of
pictures and reconstructions, and the autoencoder is to make patches that pass:

    L(y, x) + β mean (z − q)² + λ · (−mean ln σ(D(y)))

The two gradients have different units and sizes. λ makes them equally large (times a weight of 0.8)
where they meet, at the decoder's last matrix W. Two short backward passes give it, anew at each step:

    λ = 0.8 ‖∂L/∂W‖ / (‖∂generator/∂W‖ + 10⁻⁶)

The game begins from a trained VQ-VAE, and that VQ-VAE is trained on for as many epochs without it, so
that one sees what is won and what is lost. The error grows, as it must: the plain one has no other aim.
The Fréchet distance compares the means and covariances of what the last hidden layer (128 units) of a
classifier makes of reconstructions and of other real pictures. Sharpness is the mean step between
neighbouring pixels.

What it cannot show at this size: the paper's pictures have 256 × 256 pixels, with textures that need
not be right in detail, only plausible; and its error is a perceptual one, by a large trained network.
Here most patches are black, of which D can only guess. Strokes become a little sharper, and that is
all that is won: the Fréchet distance grows, for blur hardly matters to that classifier.

vqgan.png   pictures and both reconstructions

    python demos/24_vqgan.py                                      # built-in digits, about two minutes
    python demos/24_vqgan.py --data fashion-mnist --epochs 1

Source: Esser, Rombach & Ommer (2021), §3.1; patches: Isola et al. (2017).
"""

import argparse
import copy
from pathlib import Path

import numpy as np
from judge import classifier
from pictures import one_each, rows

import tinyae as ta


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default="strokes", help="images with ten classes: strokes, mnist, fashion-mnist"
    )
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4, help="before the game, and with it")
    parser.add_argument("--codes", type=int, default=16, help="vectors in the table, K")
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)

    data = ta.data.load(options.data)
    x, y, x_test, y_test = data.x_train, data.y_train, data.x_test, data.y_test
    channels, epochs, codes = [16, 32], options.epochs, options.codes
    if options.quick:
        x, y, x_test, y_test = x[:1000], y[:1000], x_test[:400], y_test[:400]
        channels, epochs = [8, 16], 4
    judge = classifier(x, y, 8, rng)
    features = ta.Sequential(*judge.network.layers[:-1])

    dim = channels[-1]
    encoder, decoder = ta.conv_encoder_decoder(x.shape[1:], channels, kernel_size=4, rng=rng)
    encoder = ta.Sequential(*encoder.layers, ta.Conv2d(dim, dim, 1, rng=rng))
    first = ta.VQVAE(encoder, decoder, ta.BCE(), codes, dim, commitment=0.05)
    train(first, x, epochs, 3e-3, rng)

    plain = copy.deepcopy(first)
    discriminator = ta.patch_discriminator(x.shape[1], (16, 32), rng=rng)
    game = ta.VQGAN(encoder, decoder, ta.BCE(), discriminator, codes, dim, commitment=0.05)
    for name, a in first.state.items():
        game.state[name][...] = a  # the table
    histories = {
        name: train(model, x, epochs, 1e-3, rng)
        for name, model in (("VQ-VAE", plain), ("VQGAN", game))
    }

    half = len(x_test) // 2
    show = one_each(y_test)
    lines, numbers = [("pictures", x_test[show], "")], {}
    print(f"\n{'':14}     MSE  Fréchet  sharpness  class kept")
    made = {"VQ-VAE": plain.reconstruct(x_test), "VQGAN": game.reconstruct(x_test)}
    for name, images in (made | {"pictures": x_test}).items():
        seen = {
            "mse": ta.metrics.mse(images, x_test),
            "distance": ta.metrics.frechet_distance(
                features(x_test[:half]), features(images[half:])
            ),
            "sharpness": float(np.abs(np.diff(images, axis=-1)).mean()),
            "kept": float((judge.predict(images) == y_test).mean()),
        }
        numbers |= {f"{name}: {key}": value for key, value in seen.items()}
        print(
            f"{name:14} {seen['mse']:.5f} {seen['distance']:8.3f} {seen['sharpness']:10.4f} "
            f"{seen['kept']:11.1%}"
        )
        if name in made:
            remark = f"MSE {seen['mse']:.4f}, Fréchet {seen['distance']:.2f}"
            lines.append((name, images[show], remark))
    last = histories["VQGAN"].epochs[-1].terms
    numbers["adaptive weight"] = last["adaptive_weight"]
    print(f"λ in the last epoch {last['adaptive_weight']:.4f}; the discriminator takes for real:")
    print(f"  patches of pictures {last['real']:.0%}, of reconstructions {last['fake']:.0%}")
    note = f"{plain.encode(x_test[:1])[0].size} codes of {codes} a picture"
    rows(lines, folder / "vqgan.png", cell=0.9, note=note)
    print(f"{folder}/vqgan.png: pictures and both reconstructions")
    return numbers


def train(model, x, epochs, rate, rng):
    steps = epochs * -(-len(x) // 32)
    optimizers = tuple(ta.Adam(ta.Cosine(rate, steps), beta1=0.5) for _ in model.players)
    return ta.fit(model, x, epochs=epochs, batch_size=32, optimizer=optimizers, rng=rng)


if __name__ == "__main__":
    main()
