"""Interpolate between pictures: in pixel space and in code space.

Pictures of digits occupy a tiny part of the space of all pictures. They lie near a curved surface
of a few dimensions, the manifold, which the decoder g parametrises. A straight line between two
pictures leaves this surface; a straight line between their codes gives a path on it:

    pixels   (1 − t) a + t b                two pictures, each half faded
    codes    g((1 − t) f(a) + t f(b))       one picture, between the two

manifold.png            midpoints within one digit and between two digits. Of the pairs of two digits
                        five are shown from good to bad: those whose midpoint of codes is nearer to a
                        real picture than 90, 70, 50, 30 and 10 % of all such midpoints
manifold_distances.png  left: distance to the nearest training picture along both paths. The path in
                        pixel space has a maximum in the middle, where there are no data. Right: the
                        curse of dimensionality. For points distributed uniformly in a cube, the
                        farthest is hardly farther than the nearest in high dimensions. Digits have
                        784 pixels, yet the ratio of their distances is that of a cube of one or two
                        dozen dimensions. If each pixel is shuffled among the pictures separately,
                        brightness stays the same but the manifold is destroyed, and so is the
                        effect.

Two numbers describe a midpoint: its distance to the nearest training picture, and the fraction of
its ink that is grey (0.2 to 0.8); a pen leaves grey only at the edges of strokes. The decoder blurs
a little, so reconstructions of real pictures are the reference. Between two different digits the
surface may have gaps, and some midpoints are smudged, because the codes of a plain autoencoder need
not fill the latent space. Those of a variational one do (05_generation.py).

    python demos/06_manifold.py                  # built-in digits, about half a minute
    python demos/06_manifold.py --data mnist --epochs 3

Source: Bengio, Courville & Vincent (2013), §8; Goodfellow, Bengio & Courville (2016), §5.11.3;
distances: Beyer, Goldstein, Ramakrishnan & Shaft (1999).
"""

import argparse
from pathlib import Path

import numpy as np
from pictures import BLUE, GREEN, GREY, INK, ORANGE, QUIET, rows, sheet

import tinyae as ta


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes", help="strokes, mnist or fashion-mnist")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)

    data = ta.data.load(options.data)
    x, x_test, labels, epochs = data.x_train, data.x_test, data.y_test, options.epochs
    if options.quick:
        x, x_test, labels, epochs = x[:2000], x_test[:300], labels[:300], 15
    encoder, decoder = ta.dense_encoder_decoder(x.shape[1:], [256, 64, 8], rng=rng)
    model = ta.Autoencoder(encoder, decoder, ta.MSE())
    schedule = ta.Cosine(2e-3, epochs * -(-len(x) // 64))
    ta.fit(model, x, epochs=epochs, batch_size=64, optimizer=ta.Adam(schedule), rng=rng)

    # Two paths between the pictures of random pairs.
    through = {
        "pixels": lambda a, b, t: (1 - t) * x_test[a] + t * x_test[b],
        "codes": lambda a, b, t: model.decode((1 - t) * z[a] + t * z[b]),
    }
    z, n = model.encode(x_test), 100 if options.quick else 300
    a, b = rng.integers(0, len(x_test), (2, 40 * n))
    one, two = (labels[a] == labels[b]) & (a != b), labels[a] != labels[b]
    pairs = {"one digit": (a[one][:n], b[one][:n]), "two digits": (a[two][:n], b[two][:n])}

    # The numbers at the midpoint.
    sets = {"real": x_test, "reconstructed": model.reconstruct(x_test)}
    for kind, (a, b) in pairs.items():
        for space, at in through.items():
            sets[f"{kind}, midpoint of {space}"] = at(a, b, 0.5)
    near, numbers, away = x[:6000], {}, {}
    print(f"\n{'pictures':32} {'to the nearest':>14} {'grey ink':>9}")
    for name, images in sets.items():
        away[name] = nearest(images, near)
        distance, share = float(away[name].mean()), float(grey(images).mean())
        numbers |= {f"{name}: distance": distance, f"{name}: grey": share}
        print(f"{name:32} {distance:14.2f} {share:9.1%}")

    by_distance = np.argsort(away["two digits, midpoint of codes"])
    picture(x_test, labels, pairs, by_distance, through, folder / "manifold.png")
    ratios = curse(x_test[:1000], rng)
    cube = sorted((ratio, d) for d, ratio in ratios.items() if not isinstance(d, str))
    like = float(np.exp(np.interp(np.log(ratios["digits"]), *np.log(cube).T)))
    figure, (left, right) = sheet(10.0, 4.0, 2)
    hill(left, pairs["two digits"], through, near, nearest(x_test, near).mean())
    contrast(right, ratios, len(x_test[:1000]))
    figure.savefig(folder / "manifold_distances.png", facecolor="white")
    print(
        f"\nfarthest / nearest: points spread evenly in a cube of {x[0].size} dimensions "
        f"{ratios[x[0].size]:.2f}, digits shuffled by pixel {ratios['shuffled']:.2f}, digits "
        f"{ratios['digits']:.2f},\nas points spread evenly in a cube of {like:.0f} dimensions\n"
        f"{folder}/manifold.png, {folder}/manifold_distances.png: the pictures"
    )
    return numbers | {f"ratio: {name}": ratio for name, ratio in ratios.items()} | {"like": like}


def distances(a, b):
    """Distances of each row of a to each row of b: ‖a − b‖² = ‖a‖² − 2 aᵀb + ‖b‖²."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    squared = (a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)
    return np.sqrt(np.maximum(squared, 0))


def nearest(images, among):
    return distances(images, among).min(axis=1)


def grey(images):
    """The fraction of pixels with ink that are neither paper nor full ink."""
    flat = images.reshape(len(images), -1)
    return ((flat > 0.2) & (flat < 0.8)).sum(axis=1) / np.maximum((flat > 0.2).sum(axis=1), 1)


def curse(x, rng):
    """Mean ratio of the farthest to the nearest distance, for cubes of rising dimension and x."""

    def ratio(points):
        d = distances(points[:200], points)
        d[np.arange(200), np.arange(200)] = np.nan  # exclude the distance to itself
        return float(np.mean(np.nanmax(d, axis=1) / np.nanmin(d, axis=1)))

    D = x[0].size
    ratios = {d: ratio(rng.random((len(x), d))) for d in (2, 3, 5, 8, 12, 20, 40, 100, 300, D)}
    shuffled = rng.permuted(x.reshape(len(x), D), axis=0)  # each pixel separately
    return ratios | {"digits": ratio(x), "shuffled": ratio(shuffled)}


def picture(x, labels, pairs, by_distance, through, path):
    """The first pair of each of five digits, then five pairs of two digits, from good to bad."""
    a, b = pairs["one digit"]
    chosen = [np.flatnonzero(labels[a] == digit)[0] for digit in (1, 2, 4, 5, 7)]
    shares = (0.1, 0.3, 0.5, 0.7, 0.9)
    graded = by_distance[[int(share * len(by_distance)) for share in shares]]
    a = np.concatenate([a[chosen], pairs["two digits"][0][graded]])
    b = np.concatenate([b[chosen], pairs["two digits"][1][graded]])
    lines = [("one", x[a], ""), ("other", x[b], ""), None]
    lines += [(f"midpoint of {space}", at(a, b, 0.5), "") for space, at in through.items()]
    heads = ["", "", "one digit", "", "", *(f"{share:.0%}" for share in shares)]
    note = (
        "On the right two digits, from good to bad: so many of all such pairs have a midpoint of "
        "codes\nthat is nearer to a real picture. In the last ones it lies between the surface's parts."
    )
    rows(lines, path, heads=heads, title="Half-way between two pictures", note=note)


def hill(axis, pair, through, near, real):
    t = np.linspace(0, 1, 11)
    axis.axhline(real, color=QUIET, linewidth=1, linestyle="--")
    axis.text(0.5, real, "real test pictures", ha="center", va="bottom", color=QUIET, fontsize=9)
    for (space, at), colour in zip(through.items(), (ORANGE, BLUE)):
        height = [nearest(at(*pair, s), near).mean() for s in t.tolist()]
        axis.plot(t, height, "-o", color=colour, markersize=4, label=f"through {space}")
    axis.set_title(
        "Between two digits: is there a picture near?", loc="left", fontsize=11, color=INK
    )
    axis.set_xlabel("t, the way from one picture to the other")
    axis.set_ylabel("distance to the nearest training picture")
    axis.legend(frameon=False)


def contrast(axis, ratios, points):
    cube = [d for d in ratios if not isinstance(d, str)]
    axis.plot(
        cube,
        [ratios[d] for d in cube],
        "-o",
        color=GREY,
        markersize=4,
        label="points spread evenly in a cube",
    )
    axis.plot(cube[-1], ratios["digits"], "o", color=BLUE, markersize=8, label="pictures of digits")
    axis.plot(
        cube[-1],
        ratios["shuffled"],
        "s",
        color=GREEN,
        markersize=7,
        label="the same, each pixel shuffled",
    )
    axis.axhline(ratios["digits"], color=BLUE, linewidth=0.8, linestyle=":")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks([2, 5, 12, 40, 100, cube[-1]], ["2", "5", "12", "40", "100", str(cube[-1])])
    axis.set_yticks([1, 2, 5, 10, 50], ["1", "2", "5", "10", "50"])
    axis.minorticks_off()
    axis.set_title(
        f"Farthest over nearest of {points:,} points", loc="left", fontsize=11, color=INK
    )
    axis.set_xlabel("dimensions")
    axis.set_ylabel("farthest / nearest")
    axis.legend(frameon=False)


if __name__ == "__main__":
    main()
