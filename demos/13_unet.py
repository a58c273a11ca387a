"""Remove noise, and find digits in clutter, with a U-Net.

An autoencoder with a narrow code must rebuild every edge from a few numbers. A U-Net keeps no narrow
code. It works at several resolutions, and joins what a coarse level has found to the features of
the finer one, so that edges pass by the bottleneck:

    levelₗ(h) = blockₗ′([e, ↑ levelₗ₊₁(↓ e)]),   e = blockₗ(h)      y = W ∗ [x, level₁(x)] + b

A block is two convolutions of three pixels. ↓ halves the picture, so a pixel of the next level sees
twice as far; ↑ doubles it again; [ , ] joins channels.

Denoising: x̃ = x + 0.2 ε, clipped to [0, 1], is made x again. Beside the U-Net stand PCA, which keeps
what noisy pictures have in common (of several numbers of components the best one is taken), and a
convolutional denoiser with a code. PSNR = 10 log₁₀(1 / MSE), in dB.

Segmentation: which pixels belong to the digit? Around it lie scraps of other digits, with the same
strokes and the same grey. So neither a pixel's grey nor a small window tells; the shape of the whole
does. The loss is the cross-entropy of each pixel, and the score is the intersection over union,
IoU = |found ∧ digit| / |found ∨ digit|, where found is what exceeds the threshold that is best on
training pictures. Beside the U-Net stand the pixel's grey, and the same network without its deeper
levels, which sees two pixels around each.

    python demos/13_unet.py                         # built-in digits
    python demos/13_unet.py --data fashion-mnist    # denoises garments; digits in clutter stay built-in

Source: Ronneberger, Fischer & Brox (2015).
"""

import argparse
from pathlib import Path

import numpy as np
from pictures import one_each, rows

import tinyae as ta
from tinyae.metrics import PCA, psnr

SIGMA = 0.2
SIDE = 40  # of a picture with clutter
SCRAP, SCRAPS = 9, 9  # side of a scrap, and how many there are


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes", help="images: strokes, mnist, fashion-mnist")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = denoise(options, folder / "unet_denoising.png")
    numbers |= segment(options, folder / "unet_segmentation.png")
    print(f"{folder}/unet_denoising.png, {folder}/unet_segmentation.png: the pictures")
    return numbers


def train(model, data, epochs, rate, rng, batch_size=32):
    count = len(data[0] if isinstance(data, tuple) else data)
    optimizer = ta.Adam(ta.Cosine(rate, epochs * -(-count // batch_size)))
    ta.fit(model, data, epochs=epochs, batch_size=batch_size, optimizer=optimizer, rng=rng)
    return model


# --- denoising ---------------------------------------------------------------------------------------


def denoise(options, path):
    rng = np.random.default_rng(options.seed)
    data = ta.data.load(options.data)
    x, x_test, widths, epochs = data.x_train, data.x_test, [16, 32, 64], options.epochs
    if options.quick:
        x, x_test, widths, epochs = x[:1000], x_test[:200], [8, 16], 2
    noise = ta.GaussianNoise(SIGMA, clip=(0, 1))
    unet = ta.UNet(1, 1, widths, ta.MSE(), noise, rng=rng)
    parts = ta.conv_encoder_decoder(x.shape[1:], [16, 8], output=None, rng=rng)
    narrow = ta.DenoisingAutoencoder(*parts, ta.MSE(), noise)
    train(unet, x, epochs, 2e-3, rng)
    train(narrow, x, epochs, 2e-3, rng)

    noisy, noisy_train = noise(x_test, rng), noise(x[:10_000], rng)
    sizes = (10, 20, 40, 80, 160, 320)
    pca = PCA(sizes[-1]).fit(noisy_train)
    kept = {k: shrink(pca, noisy, k) for k in sizes}
    best = max(sizes, key=lambda k: psnr(x_test, kept[k]))
    made = {
        "noisy": noisy,
        f"PCA, {best} numbers": kept[best],
        "code of 7 × 7 × 8": narrow.reconstruct(noisy),
        "U-Net": np.clip(unet.reconstruct(noisy), 0, 1),
    }
    print(f"\n{'denoising, σ = 0.2':24} {'PSNR':>8}")
    numbers, lines = {}, []
    show = one_each(data.y_test[: len(x_test)]) if data.y_test is not None else np.arange(10)
    for name, y in made.items():
        value = psnr(x_test, y)
        print(f"{name:24} {value:5.2f} dB")
        numbers["PCA" if name.startswith("PCA") else name] = value
        lines.append((name, y[show], f"{value:.1f} dB"))
    rows([*lines, ("clean", x_test[show], "")], path)
    return numbers


def shrink(pca, x, k):
    """x with its first k components alone"""
    z = pca.transform(x)
    z[:, k:] = 0
    return np.clip(pca.inverse_transform(z), 0, 1)


# --- segmentation ------------------------------------------------------------------------------------


def clutter(digits, rng):
    """Pictures of a digit each among scraps of others, and masks of the digits' pixels."""
    n = len(digits)
    pictures = np.zeros((n, 1, SIDE, SIDE), np.float32)
    masks = np.zeros_like(pictures)
    room = SIDE - digits.shape[2]
    for picture, mask, digit in zip(pictures[:, 0], masks[:, 0], digits[:, 0]):
        i, j = rng.integers(0, room + 1, 2)
        own = slice(i, i + len(digit)), slice(j, j + len(digit))
        picture[own] = digit
        mask[own] = digit > 0.3
        for _ in range(SCRAPS):
            other = digits[rng.integers(n), 0]
            a, b = rng.integers(4, len(other) - SCRAP - 3, 2)  # from the middle, where strokes are
            i, j = rng.integers(0, SIDE - SCRAP + 1, 2)
            place = slice(i, i + SCRAP), slice(j, j + SCRAP)
            free = mask[place] == 0
            picture[place][free] = np.maximum(picture[place], other[a : a + SCRAP, b : b + SCRAP])[
                free
            ]
    return pictures, masks


def segment(options, path):
    rng = np.random.default_rng(options.seed)
    data = ta.data.load("strokes")
    x, x_test, widths, epochs = data.x_train, data.x_test, [16, 32, 64], 2 * options.epochs
    if options.quick:
        x, x_test, widths, epochs = x[:1500], x_test[:100], [8, 16, 16], 6
    pictures, masks = clutter(x, rng)
    test, wanted = clutter(x_test[:1000], rng)
    unet = ta.UNet(1, 1, widths, ta.BCEWithLogits(), rng=rng)
    shallow = ta.UNet(1, 1, widths[:1], ta.BCEWithLogits(), rng=rng)
    train(unet, (pictures, masks), epochs, 3e-3, rng)
    train(shallow, (pictures, masks), epochs, 3e-3, rng)

    methods = {
        "grey": lambda x: x,
        "one level": shallow.reconstruct,
        "U-Net": unet.reconstruct,
    }
    print(f"\n{'digits in clutter':24} {'IoU':>8}")
    numbers, lines = {}, [("picture", test[:10], "")]
    for name, method in methods.items():
        seen, p = method(pictures[:1000]), method(test)
        at = max(np.linspace(0.1, 0.9, 17), key=lambda t: iou(seen > t, masks[:1000]))
        value = iou(p > at, wanted)
        print(f"{name:24} {value:8.3f}   above {at:.2f}")
        numbers[f"IoU: {name}"] = value
        lines.append((name, p[:10], f"IoU {value:.2f}"))
    rows([*lines, ("the digit's pixels", wanted[:10], "")], path)
    return numbers


def iou(found, wanted):
    """The intersection of two sets of pixels over their union, of all pictures together."""
    wanted = wanted > 0.5
    return float((found & wanted).sum() / (found | wanted).sum())


if __name__ == "__main__":
    main()
