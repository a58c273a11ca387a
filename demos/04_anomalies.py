"""Find abnormal heartbeats with an autoencoder trained on normal ones.

An autoencoder f, g is trained on normal beats alone. Its score of a beat x is

    e(x) = 1/140 Σᵢ (x̂ᵢ − xᵢ)²,   x̂ = g(f(x)),

and a beat is flagged if e(x) > t. The threshold t is the 97.5 % quantile of the scores of normal
beats held out from training, so about one normal beat in forty is a false alarm. Neither training
nor t uses abnormal beats, so unknown kinds of anomalies can be found, too.

The code has 8 numbers for 140 samples, and the input is noisy in training (x + 0.25 ε → x), so that
the network cannot simply copy. Two scores without a network serve as baselines, with thresholds
chosen in the same way: the residual of PCA with a code of the same size, eight components, and the
distance to the mean normal beat. A network is useful only if it beats them.

The picture shows the distribution of scores, the ROC curve (the area under it is the probability
that an abnormal beat scores higher than a normal one), and four beats with the error shaded.

    python demos/04_anomalies.py                  # generated heartbeats, a few seconds
    python demos/04_anomalies.py --data ecg5000   # real ones

Source: Japkowicz, Myers & Gluck (1995); the data set: Chen et al. (2015), UCR archive.
"""

import argparse
from pathlib import Path

import numpy as np

import tinyae as ta
from tinyae.metrics import PCA, detection, roc_auc, roc_curve

QUANTILE = 0.975
CODE = 8  # numbers, of the network and of PCA
BLUE, ORANGE, GREEN, INK, QUIET = "#1f77b4", "#ff7f0e", "#2ca02c", "#222222", "#6b6b6b"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="heartbeats", help="heartbeats or ecg5000")
    parser.add_argument("--out", default="demo-out", help="folder for the picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    # Four fifths for training, the rest for testing; label 1 is normal.
    data = ta.data.load(options.data)
    x = np.concatenate([data.x_train, data.x_test])
    abnormal = np.concatenate([data.y_train, data.y_test]) == 0
    order = rng.permutation(len(x))[: 1000 if options.quick else None]
    train, test = np.split(order, [len(order) * 4 // 5])

    # Four fifths of the normal training beats to fit the model, the rest for the threshold.
    normal = x[train][~abnormal[train]]
    fitted, held_out = np.split(normal, [len(normal) * 4 // 5])
    mean = fitted.mean(axis=0)

    epochs, batch_size = (120 if options.quick else 60), 64
    encoder, decoder = ta.dense_encoder_decoder(
        (140,), (64, 32, CODE), activation=ta.ReLU, output=None, rng=rng
    )
    model = ta.DenoisingAutoencoder(encoder, decoder, ta.MSE(), ta.GaussianNoise(0.25 * x.std()))
    steps = epochs * -(-len(fitted) // batch_size)
    history = ta.fit(
        model,
        fitted - mean,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=ta.Adam(ta.Cosine(3e-3, steps)),
        rng=rng,
    )
    pca = PCA(CODE).fit(fitted)
    scores = {
        "autoencoder": lambda beats: model.reconstruction_error(beats - mean),
        f"PCA-{CODE} residual": lambda beats: np.square(beats - pca.reconstruct(beats)).mean(
            axis=1
        ),
        "mean beat": lambda beats: np.square(beats - mean).mean(axis=1),
    }

    truth = abnormal[test]
    print(f"\n{len(fitted)} normal beats to fit, {len(held_out)} for the threshold; ", end="")
    print(f"{len(test)} to test, {truth.sum()} of them abnormal\n")
    print(f"{'score':16} {'ROC-AUC':>8} {'accuracy':>9} {'precision':>10} {'recall':>7}")
    numbers, curves = {}, {}
    for name, score in scores.items():
        threshold = np.quantile(score(held_out), QUANTILE)
        e = score(x[test])
        found, auc = detection(truth, e > threshold), roc_auc(truth, e)
        curves[name] = (auc, roc_curve(truth, e), found.recall, (e > threshold)[~truth].mean())
        numbers |= {f"{name}: AUC": auc, f"{name}: accuracy": found.accuracy}
        print(
            f"{name:16} {auc:8.3f} {found.accuracy:9.3f} {found.precision:10.3f} "
            f"{found.recall:7.3f}"
        )
    seconds = sum(epoch.seconds for epoch in history.epochs)
    print("precision and recall are those of abnormal beats")

    e = scores["autoencoder"](x[test])
    threshold = np.quantile(scores["autoencoder"](held_out), QUANTILE)
    drawn = model.reconstruct(x[test] - mean) + mean
    unit = "mV" if options.data == "heartbeats" else "standard deviations"
    path = folder / "anomalies.png"
    draw(x[test], drawn, e, truth, threshold, curves, unit, path)
    print(f"trained in {seconds:.1f} s; {path}: scores, ROC curves, four beats")
    return numbers


def draw(x, drawn, e, truth, threshold, curves, unit, path):
    """Top: histogram of scores, ROC curves. Bottom: four beats with the error shaded."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.8), dpi=150, layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.35, 1))
    left, right = above.subplots(1, 2, width_ratios=(1.75, 1))

    bins = np.geomspace(e.min(), e.max(), 60)
    left.hist(e[~truth], bins, color=BLUE, alpha=0.65, label="normal")
    left.hist(e[truth], bins, color=ORANGE, alpha=0.65, label="abnormal")
    left.axvline(threshold, color=INK, linewidth=1.2)
    left.set_ylim(top=left.get_ylim()[1] * 1.12)
    left.annotate(
        " flagged →",
        (threshold, 0.97),
        xycoords=("data", "axes fraction"),
        va="top",
        fontsize=9,
        color=INK,
    )
    left.set_xscale("log")
    left.set_xlabel("score e(x): mean squared error of the reconstruction")
    left.set_ylabel("test beats")
    left.legend(frameon=False, loc="upper right")

    for (name, (auc, curve, hits, false_alarms)), colour in zip(
        curves.items(), (INK, GREEN, QUIET)
    ):
        width = 2 if name == "autoencoder" else 1.2
        right.plot(*curve[:2], color=colour, linewidth=width, label=f"{name}, area {auc:.3f}")
        right.plot(false_alarms, hits, "o", color=colour, markersize=5)
    right.set_xlim(-0.01, 0.4)
    right.set_ylim(0.4, 1.01)
    right.set_title("ROC curve, its upper left corner", loc="left", fontsize=10, color=INK)
    right.set_xlabel("false alarms, share of normal beats (shown up to 0.4)")
    right.set_ylabel("found, share of abnormal beats (from 0.4)")
    right.legend(frameon=False, loc="lower right", title="● at its threshold", fontsize=9)

    columns = below.subplots(1, 4, sharey=True)
    for axis, (name, k) in zip(columns, choose(e, truth, threshold).items()):
        axis.plot(x[k], color=INK, linewidth=1.2, label="beat")
        axis.plot(drawn[k], color=BLUE, linewidth=1.2, label="reconstruction")
        axis.fill_between(
            range(len(x[k])), x[k], drawn[k], color=ORANGE, alpha=0.45, linewidth=0, label="error"
        )
        axis.set_title(f"{name}\ne = {e[k]:.2g}, {e[k] / threshold:.1f} t", fontsize=9.5)
        axis.set_xlabel("sample")
    columns[0].set_ylabel(unit)
    handles = columns[0].get_legend_handles_labels()
    below.legend(*handles, frameon=False, fontsize=9, loc="outside lower center", ncols=3)

    for axis in (left, right, *columns):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    figure.savefig(path, facecolor="white")


def choose(e, truth, threshold):
    """Four beats to show, by name: the one with the median score of each group."""
    kinds = {
        "normal, passed": ~truth & (e <= threshold),
        "normal, flagged: a false alarm": ~truth & (e > threshold),
        "abnormal, flagged": truth & (e > threshold),
        "abnormal, passed: missed": truth & (e <= threshold),
    }
    return {
        name: np.flatnonzero(kind)[np.argsort(e[kind])[kind.sum() // 2]]
        for name, kind in kinds.items()
        if kind.any()
    }


if __name__ == "__main__":
    main()
