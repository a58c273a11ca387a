"""Turn pictures into a few whole numbers with a vector-quantised autoencoder.

The code of an autoencoder is real numbers, and how much they say has no bound. A vector-quantised
one (VQ-VAE) has a table of K vectors. At each place of the code the encoder's z is replaced by the
nearest of them, so the code is a number from 0 to K − 1, of log₂ K bits:

    z = f(x)      k = argminⱼ ‖z − Eⱼ‖²      q = E_k      y = g(q)
    L(y, x) + β mean (z − q)²

k jumps and has no slope, so q's gradient is passed to z as it is ("straight through"). The second
term keeps z near the vector that it chose, and each vector moves to the mean of the z that choose it,
as in k-means. A code that nothing chooses begins anew at some z. How many are in use, the perplexity
tells: exp(entropy of the codes), which is K if all are chosen alike.

PCA with as many bits is the comparison: as many components as the code has bytes, each rounded to
256 levels.

vqvae.png        pictures, their codes as colours, and what becomes of them
vqvae_codes.png  how often each code is used; the mean window of the pictures where a code was chosen

    python demos/14_vqvae.py                        # built-in digits
    python demos/14_vqvae.py --data fashion-mnist --codes 512 --epochs 1

Source: van den Oord, Vinyals & Kavukcuoglu (2017).
"""

import argparse
import math
from pathlib import Path

import numpy as np
from pictures import BLUE, INK, QUIET, one_each, sheet

import tinyae as ta
from tinyae.metrics import PCA, mse


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes", help="images: strokes, mnist, fashion-mnist")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--codes", type=int, default=64, help="vectors in the table, K")
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)

    data = ta.data.load(options.data)
    x, x_test, labels = data.x_train, data.x_test, data.y_test
    channels, epochs, codes = [32, 32], options.epochs, options.codes
    if options.quick:
        x, x_test, labels = x[:1500], x_test[:200], None if labels is None else labels[:200]
        channels, epochs, codes = [16, 16], 15, 32
    dim = channels[-1]
    encoder, decoder = ta.conv_encoder_decoder(
        x.shape[1:], channels, kernel_size=4, output=None, rng=rng
    )
    encoder = ta.Sequential(*encoder.layers, ta.Conv2d(dim, dim, 1, rng=rng))  # z of any sign
    model = ta.VQVAE(encoder, decoder, ta.BCEWithLogits(), codes, dim, commitment=0.05)
    optimizer = ta.Adam(ta.Cosine(2e-3, epochs * -(-len(x) // 32)))
    ta.fit(model, x, epochs=epochs, optimizer=optimizer, rng=rng)

    k = model.encode(x_test)
    y = model.decode(k)
    bits = k[0].size * math.log2(codes)
    components = int(bits // 8)
    linear = rounded_pca(x, x_test, components)
    used = np.bincount(k.ravel(), minlength=codes)
    p = used[used > 0] / used.sum()
    numbers = {
        "bits": bits,
        "VQ-VAE": mse(x_test, y),
        "PCA": mse(x_test, linear),
        "perplexity": math.exp(-float((p * np.log(p)).sum())),
        "used": int((used > 0).sum()),
    }
    places = " × ".join(map(str, k.shape[1:]))
    print(f"\n{places} codes of {codes}: {bits:.0f} bits a picture, {8 * x[0].size} as bytes")
    print(f"mean squared error: {numbers['VQ-VAE']:.5f}, PCA-{components} {numbers['PCA']:.5f}")
    print(
        f"on test pictures {numbers['used']} codes are used, perplexity {numbers['perplexity']:.0f}"
    )

    show = one_each(labels) if labels is not None else np.arange(10)
    pictures(x_test[show], k[show], y[show], linear[show], numbers, folder / "vqvae.png")
    table(x_test, k, used, folder / "vqvae_codes.png")
    print(f"{folder}/vqvae.png: pictures and their codes; {folder}/vqvae_codes.png: the table")
    return numbers


def rounded_pca(x, x_test, components):
    """x_test from that many components, a byte each, between the extremes of the training codes"""
    pca = PCA(components).fit(x)
    z, z_test = pca.transform(x), pca.transform(x_test)
    low = z.min(axis=0)
    step = (z.max(axis=0) - low) / 255
    kept = np.clip(np.round((z_test - low) / step), 0, 255) * step + low
    return np.clip(pca.inverse_transform(kept), 0, 1).astype(x.dtype)


# --- pictures ----------------------------------------------------------------------------------------


def pictures(x, k, y, linear, numbers, path):
    """Columns of pictures: the original, its codes as colours, and the two reconstructions."""
    from matplotlib.figure import Figure

    lines = {
        "picture": x[:, 0],
        "its codes": k,
        f"VQ-VAE\nMSE {numbers['VQ-VAE']:.4f}": y[:, 0],
        f"PCA, as many bits\nMSE {numbers['PCA']:.4f}": linear[:, 0],
    }
    figure = Figure(figsize=(10.5, 4.2), dpi=150, layout="constrained")
    axes = figure.subplots(len(lines), len(x))
    colours = np.random.default_rng(0).permutation(
        256
    )  # codes that are close in number are not alike
    for row, (name, images) in zip(axes, lines.items()):
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", color=INK)
        for axis, image in zip(row, images):
            if name == "its codes":
                axis.imshow(colours[image % 256], cmap="nipy_spectral", vmin=0, vmax=255)
            else:
                axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set_visible(False)
    figure.savefig(path, facecolor="white")


def table(x, k, used, path, window=12, shown=48):
    """How often each code is used, and the mean window around the places where it was chosen."""
    figure, (left, right) = sheet(11, 4.6, 2)
    share = np.sort(used)[::-1] / used.sum()
    left.bar(np.arange(len(share)), share, color=BLUE, width=1.0)
    left.axhline(1 / len(share), color=QUIET, linewidth=1, linestyle="--")
    left.set_xlabel("codes, the most used first", color=INK)
    left.set_ylabel("share of all places", color=INK)
    left.text(
        len(share), 1 / len(share), "if all were used alike ", ha="right", va="bottom", color=QUIET
    )

    step, margin = x.shape[2] // k.shape[1], (window - x.shape[2] // k.shape[1]) // 2
    padded = np.pad(x[:, 0], ((0, 0), (margin, margin), (margin, margin)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(1, 2))
    windows = windows[:, ::step, ::step][:, : k.shape[1], : k.shape[2]]
    most = np.argsort(-used, kind="stable")[:shown]
    means = [
        windows[k == code].mean(axis=0) if used[code] else np.zeros((window, window))
        for code in most
    ]
    columns = 8
    page = np.ones((-(-len(means) // columns) * (window + 1), columns * (window + 1)))
    for at, mean in enumerate(means):
        i, j = at // columns * (window + 1), at % columns * (window + 1)
        page[i : i + window, j : j + window] = mean
    right.imshow(page, cmap="gray", vmin=0, vmax=1)
    right.set_title(
        f"the mean {window} × {window} pixels around a place, the {len(means)} most used codes",
        loc="left",
        fontsize=9,
        color=INK,
    )
    right.set_axis_off()
    figure.savefig(path, facecolor="white")


if __name__ == "__main__":
    main()
