"""Pre-training on unlabelled pictures, so that few labels are enough.

Unlabelled pictures are plentiful, labels are expensive. So first train without labels, layer by
layer; then put a softmax on top and train with the few labels:

    h₀ = x      hₖ = σ(Wₖ hₖ₋₁ + bₖ)

    pre-training   block k learns to undo noise on its own input:  gₖ(fₖ(h̃ₖ₋₁)) ≈ hₖ₋₁,
                   h̃ with 40 % of its entries masked, cross-entropy; no label is used
    fine-tuning    p = softmax(V h₂ + c), minimise −ln p[label] over V, c and every Wₖ, bₖ

For comparison, the same network is fine-tuned in the same way from random weights. It fits any 100
labels, but generalises poorly. The pre-trained network starts with codes that distinguish strokes
and ignore stray pixels. Pre-training is worth about as much as twice the number of labels; the gain
in percentage points falls as the number of labels rises. To save time, the pictures are halved to
14 × 14.

pretraining.png shows the errors, and pretraining_filters.png the weights of the first layer after
pre-training: dots, edges and pieces of strokes.

    python demos/08_pretraining.py                       # built-in digits, about half a minute
    python demos/08_pretraining.py --data mnist --epochs 5

Source: Hinton & Salakhutdinov (2006); Vincent et al. (2010), §6; Erhan et al. (2010).
"""

import argparse
from pathlib import Path

import numpy as np
from pictures import GREY, ORANGE, sheet

import tinyae as ta

HIDDEN = (256, 256)
START = {"random": GREY, "pre-trained": ORANGE}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes", help="images: strokes, mnist, fashion-mnist")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40, help="of pre-training, for each layer")
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    data = ta.data.load(options.data)
    if data.y_train is None:
        parser.error(f"{options.data} has no labels, and this demo is about them")
    x, y, test = halved(data.x_train), data.y_train, (halved(data.x_test), data.y_test)
    labelled, epochs, draws = (20, 50, 100, 300, 1000, 5000), options.epochs, 4
    if options.quick:
        labelled, epochs, draws = (100,), 25, 2
        x, y = x[:3000], y[:3000]

    # Without labels: each block is a shallow denoising autoencoder on the codes of the one below.
    rng = np.random.default_rng(options.seed)
    stack = ta.stack_of(x.shape[1:], HIDDEN, corruption=ta.MaskingNoise(0.4), rng=rng)
    random = stack.astype(np.float32)  # a copy of the initial weights

    def train(block, codes):
        schedule = ta.Cosine(1e-2, epochs * -(-len(x) // 50))
        ta.fit(block, codes, epochs=epochs, batch_size=50, optimizer=ta.Adam(schedule), rng=rng)

    stack.pretrain(x, train)

    # With labels: the same samples and steps from both starts.
    errors = {start: np.zeros((len(labelled), draws)) for start in START}
    print(f"\n{'labels':>7} " + " ".join(f"{start:>18}" for start in START) + "   test error in %")
    for i, n in enumerate(labelled):
        for k in range(draws):
            few = choose(y, n, np.random.default_rng(options.seed + k))
            for start, origin in zip(START, (random, stack)):
                model = origin.astype(np.float32).classifier(10, rng=np.random.default_rng(k))
                fine_tune(model, x[few], y[few], k)
                errors[start][i, k] = 100 * model.error(*test)
        cells = (f"{e[i].mean():11.1f} ± {e[i].std(ddof=1):4.1f}" for e in errors.values())
        print(f"{n:7d} " + " ".join(cells), flush=True)
    print(f"means of {draws} choices of the labelled pictures, ± their standard deviation")

    curves(labelled, errors, len(x), folder / "pretraining.png")
    filters = stack.blocks[0].encoder.layers[1].W.value
    ta.plot.filters(filters, folder / "pretraining_filters.png", image_shape=x.shape[-2:])
    print(
        f"{folder}/pretraining.png: the errors; {folder}/pretraining_filters.png: the first layer"
    )
    means = {start: e.mean(axis=1) for start, e in errors.items()}
    return {f"{start} {n}": float(m) for start in START for n, m in zip(labelled, means[start])}


def halved(x):
    """Half the size: each pixel is the mean of 2 × 2."""
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5))


def choose(labels, n, rng):
    """Indices of n samples, the same number of each class."""
    each = [rng.permutation(np.flatnonzero(labels == c))[: n // 10] for c in range(10)]
    return rng.permutation(np.concatenate(each))


def fine_tune(model, x, y, seed):
    """300 steps, or 20 epochs if that is more; no early stopping, which would need labels."""
    batch = min(100, max(10, len(x) // 10))
    each = -(-len(x) // batch)
    epochs = max(300 // each, 20)
    optimizer = ta.Adam(ta.Cosine(1e-2, epochs * each))
    ta.fit(
        model,
        (x, y),
        epochs=epochs,
        batch_size=batch,
        optimizer=optimizer,
        rng=seed,
        progress=False,
    )


def curves(labelled, errors, unlabelled, path):
    figure, axis = sheet(6.6, 4.2)
    names = {
        "random": "from random weights",
        "pre-trained": f"pre-trained on {unlabelled:,} pictures without labels",
    }
    for start, colour in START.items():
        mean, spread = errors[start].mean(axis=1), errors[start].std(axis=1, ddof=1)
        axis.fill_between(
            labelled, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0
        )
        axis.plot(labelled, mean, "-o", color=colour, markersize=5, linewidth=2, label=names[start])
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(labelled, [f"{n:,}" for n in labelled])
    every = np.concatenate(list(errors.values()))
    ticks = [t for t in (1, 2, 3, 5, 10, 20, 40, 80) if 0.8 * every.min() < t < 1.2 * every.max()]
    axis.set_yticks(ticks, [f"{t} %" for t in ticks])
    axis.minorticks_off()
    axis.set_xlabel("pictures with a label")
    axis.set_ylabel("test error")
    axis.legend(frameon=False)
    figure.savefig(path, facecolor="white")


if __name__ == "__main__":
    main()
