"""Take superposed features apart with sparse dictionaries.

A layer of a large network holds more features than it has numbers: each feature is a direction, and
only a few are present at once. They can be told apart because they are rarely present together:

    x = Σⱼ aⱼ fⱼ,   fⱼ of length 1, most aⱼ = 0      (more directions than dimensions)

A sparse autoencoder with more units than x has numbers looks for such directions:

    z = sparse(We (x − bd) + be)      y = z E + bd,   every Eⱼ of length 1

What is sparse differs: the k largest of a sample (TopK); the N k largest of a batch (BatchTopK), also
with the first features enough by themselves (Matryoshka); what exceeds a learnt threshold (JumpReLU);
what a separate gate lets through (gated).

Here the features are made, so the truth is known. A feature counts as recovered if some Eⱼ points
its way with a cosine of at least 0.9. PCA finds at most as many directions as x has numbers, and all
orthogonal; an autoencoder with as many ReLU units, but no price on their use, mixes the features.

dictionary.png         for each method, the best cosine of every feature, sorted
dictionary_found.png   the true directions against the learnt ones; what is present in one sample

    python demos/16_dictionary.py

Source: Elhage et al. (2022) for superposition; Gao et al. (2024), Bussmann et al. (2024, 2025),
Rajamanoharan et al. (2024) for the kinds.
"""

import argparse
from pathlib import Path

import numpy as np
from pictures import BLUE, GREEN, GREY, INK, ORANGE, QUIET, sheet

import tinyae as ta
from tinyae.metrics import PCA

DIM, FEATURES, PRESENT = 32, 48, 2  # numbers of x, features, how many are present on average
UNITS = 80
COLOURS = (BLUE, ORANGE, GREEN, "#9467bd", "#d62728", GREY, "#bcbd22")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    samples, epochs = (8_000, 30) if options.quick else (20_000, 40)
    truth = rng.normal(size=(FEATURES, DIM))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    x, _ = superposition(truth, samples, rng)
    x_test, amounts = superposition(truth, 2_000, rng)

    dead = {"dead_after": 5_000, "dead_k": 16}
    kinds = {
        "TopK": ta.TopKSAE(DIM, UNITS, 4, **dead, rng=rng),
        "BatchTopK": ta.BatchTopKSAE(DIM, UNITS, 2, **dead, rng=rng),
        "Matryoshka": ta.MatryoshkaSAE(DIM, (FEATURES, UNITS), 2, **dead, rng=rng),
        "JumpReLU": ta.JumpReLUSAE(
            DIM, UNITS, 0.1, initial_theta=0.3, bandwidth=0.1, **dead, rng=rng
        ),
        "gated": ta.GatedSAE(DIM, UNITS, 1.0, dead_after=5_000, rng=rng),
    }
    print(
        f"{samples:,} samples of {DIM} numbers, {FEATURES} features, {PRESENT} present on average"
    )
    print(f"\n{'':12} {'recovered':>9} {'features a sample':>18} {'explained':>10}")
    numbers, cosines = {}, {}
    for name, model in kinds.items():
        train(model, x, epochs, options.seed)
        terms = model.evaluate(x_test)
        directions = model.dictionary
        row(name, truth, directions, terms["l0"], terms["explained_variance"], numbers, cosines)
    plain = ta.Autoencoder(
        ta.Sequential(ta.Dense(DIM, UNITS, rng=rng), ta.ReLU()),
        ta.Dense(UNITS, DIM, rng=rng),
        ta.MSE(),
    )
    train(plain, x, epochs, options.seed)
    active = float((plain.encode(x_test) > 0).sum(axis=1).mean())
    row(
        "no sparsity",
        truth,
        plain.decoder.W.value.T,
        active,
        explained(x_test, plain.reconstruct(x_test)),
        numbers,
        cosines,
    )
    pca = PCA(DIM).fit(x)
    row(
        "PCA",
        truth,
        pca.components_,
        DIM,
        explained(x_test, pca.reconstruct(x_test)),
        numbers,
        cosines,
    )

    curves(cosines, folder / "dictionary.png")
    found(kinds["TopK"], truth, x_test, amounts, folder / "dictionary_found.png")
    print(f"\n{folder}/dictionary.png: the cosines; {folder}/dictionary_found.png: what was found")
    return numbers


def superposition(truth, n, rng):
    """n sums of a few of the directions, and how much of each is in it"""
    present = rng.random((n, len(truth))) < PRESENT / len(truth)
    amounts = present * rng.uniform(0.5, 1.5, (n, len(truth)))
    return (amounts @ truth).astype(np.float32), amounts


def train(model, x, epochs, seed):
    optimizer = ta.Adam(ta.Cosine(1e-2, epochs * -(-len(x) // 200)))
    ta.fit(model, x, epochs=epochs, batch_size=200, optimizer=optimizer, rng=seed, progress=False)


def explained(x, y):
    return float(1 - np.square(y - x).sum() / np.square(x - x.mean(axis=0)).sum())


def alike(truth, directions):
    """cosines (feature, direction)"""
    return truth @ (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T


def row(name, truth, directions, l0, variance, numbers, cosines):
    """Print a method's figures and keep them."""
    best = alike(truth, directions).max(axis=1)
    numbers[name], numbers[f"{name}: l0"] = float((best >= 0.9).mean()), l0
    cosines[name] = best
    print(f"{name:12} {numbers[name]:9.0%} {l0:18.1f} {variance:10.1%}", flush=True)


# --- pictures ----------------------------------------------------------------------------------------


def curves(cosines, path):
    figure, axis = sheet(7.5, 4.4)
    widths = np.linspace(8, 1.5, len(cosines))  # so that curves on top of each other are all seen
    for (name, best), colour, width in zip(cosines.items(), COLOURS, widths):
        share = float((best >= 0.9).mean())
        place = np.arange(1, len(best) + 1)
        axis.plot(
            place, np.sort(best)[::-1], color=colour, linewidth=width, label=f"{name}: {share:.0%}"
        )
    axis.axhline(0.9, color=QUIET, linewidth=1, linestyle="--")
    axis.set_xlabel("features, the best recovered first", color=INK)
    axis.set_ylabel("largest cosine with a learnt direction", color=INK)
    axis.set_ylim(0, 1.02)
    axis.legend(frameon=False, fontsize=9, loc="lower left", title="recovered")
    figure.savefig(path, facecolor="white")


def found(model, truth, x, amounts, path):
    """The cosines of all pairs of directions, and the code of one sample beside what is in it."""
    similar = alike(truth, model.dictionary)
    partner = similar.argmax(axis=1)
    others = np.setdiff1d(np.arange(similar.shape[1]), partner)
    figure, (left, right) = sheet(11, 4.4, 2)
    image = left.imshow(
        similar[:, [*partner, *others]], cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto"
    )
    figure.colorbar(image, ax=left, label="cosine")
    left.set_xlabel("learnt directions, partners first", color=INK)
    left.set_ylabel("true features", color=INK)
    left.grid(False)
    z = model.encode(x)[:, partner]
    right.plot([0, 2], [0, 2], color=QUIET, linewidth=1, linestyle="--")
    right.plot(amounts[:300].ravel(), z[:300].ravel(), ".", color=BLUE, markersize=4, alpha=0.5)
    right.set_xlabel("how much of a feature is in a sample", color=INK)
    right.set_ylabel("its partner in the code", color=INK)
    figure.savefig(path, facecolor="white")


if __name__ == "__main__":
    main()
