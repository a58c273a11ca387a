"""Verify faces: enrol a person with three pictures, then compare codes of other pictures.

Does a new picture show the enrolled person? Pixels cannot tell: light, background, pose and
expression change them more than the person does. A plain autoencoder keeps all of that in its code,
because it must reconstruct it. So this is a denoising autoencoder whose "noise" is the
circumstances of a picture: the input is one picture, and the target is the mean of the same
person's other pictures,

    x̃ = a picture of a person      x = the mean of the other pictures of that person
    minimise E‖x − g(f(x̃))‖²

A single random other picture as the target would give the same optimum, but a noisier gradient. The
optimum is E[x | x̃], the face averaged over circumstances. To predict it, the code z = f(x̃) must
contain the identity, and nothing else. Verification then compares a distance with a threshold:

    enrolled  c = mean of f over three pictures      genuine if ‖f(x̃) − c‖ < threshold

The network is trained on some people, the threshold is chosen on others (where false alarms and
misses are equally frequent: the equal error rate), and verification is tested on a third group. The
baselines are distances between pixels; between PCA codes of the same size; between PCA codes
whitened by the covariance within a person, estimated from the same labelled pictures (Fisher's
linear discriminant, "Fisherfaces"); and between codes of a plain autoencoder with the same layers.

    python demos/09_genuine_match.py
    python demos/09_genuine_match.py --data FOLDER     # your own: a sub-folder for each person

Source: Vincent et al. (2010) for the model; Turk & Pentland (1991), Belhumeur, Hespanha &
Kriegman (1997) for PCA and Fisherfaces; Zhu, Luo, Wang & Tang (2013) for a face as the target.
"""

import argparse
from pathlib import Path

import numpy as np

import tinyae as ta
from tinyae.data.faces import faces

ENROL = 3  # pictures to enrol a person
SHOTS = 8  # pictures of each person


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="your own: a folder with a sub-folder of pictures a person")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    # People for training, for the threshold and for testing: nobody is in two groups.
    sizes, units, epochs = (1200, 200, 300), [512, 128, 32], 14
    if options.quick:
        sizes, units, epochs = (240, 60, 60), [128, 32], 10
    if options.data:
        learn, choose, verify = own_people(options.data, rng)
    else:
        learn, choose, verify = (people(n, rng) for n in sizes)
    x = learn.reshape(-1, *learn.shape[2:])

    # The input is one picture, the target the mean of the person's other pictures.
    others = (learn.sum(axis=1, keepdims=True) - learn) / (SHOTS - 1)
    model = train(x, others.reshape(x.shape), units, epochs, rng)
    plain = train(x, x, units, epochs, rng)
    model.save(folder / "genuine_match.npz")

    # The baselines use the same pictures, and Fisherfaces also the same labels.
    pca = ta.metrics.PCA(units[-1]).fit(x)
    white = whitening(pca.transform(x).reshape(len(learn), SHOTS, -1))
    codes = {
        "pixels": lambda x: x.reshape(len(x), -1),
        "PCA": pca.transform,
        "plain autoencoder": plain.encode,
        "PCA, whitened (Fisher)": lambda x: pca.transform(x) @ white,
        "person autoencoder": model.encode,
    }
    print(
        f"\n{len(verify)} strangers, {ENROL} pictures to enrol, {SHOTS - ENROL} to verify; "
        "threshold from others\n"
    )
    print(f"{'distance of':24} {'AUC':>6} {'EER':>7}   false alarms, misses at the threshold")
    numbers, curves = {}, {}
    for name, code in codes.items():
        threshold, _ = equal_error(*distances(code, choose))
        genuine, impostor = distances(code, verify)
        same = np.repeat([1, 0], [len(genuine), len(impostor)])
        auc = ta.metrics.roc_auc(same, -np.concatenate([genuine, impostor]))
        _, eer = equal_error(genuine, impostor)
        alarms, misses = np.mean(impostor < threshold), np.mean(genuine >= threshold)
        print(f"{name:24} {auc:6.3f} {eer:7.1%}   {alarms:12.1%} {misses:9.1%}")
        numbers |= {f"{name}: AUC": auc, f"{name}: EER": eer}
        numbers |= {f"{name}: false alarms": float(alarms), f"{name}: misses": float(misses)}
        curves[name] = genuine, impostor, auc

    rates = {what: numbers[f"person autoencoder: {what}"] for what in ("false alarms", "misses")}
    strip(model, verify, threshold, rates, rng, folder / "genuine_match_faces.png")
    roc(curves, threshold, folder / "genuine_match_roc.png")
    print(f"\n{folder}/genuine_match_faces.png: enrolled, genuine and impostor, with distances")
    print(f"{folder}/genuine_match_roc.png: the distances with the threshold, and ROC curves")
    return numbers


# --- people --------------------------------------------------------------------------------------


def people(n, rng):
    """Pictures (n, SHOTS, 1, 32, 32) of n new people."""
    images, _ = faces(n, SHOTS, rng)
    return images.reshape(n, SHOTS, *images.shape[1:])


def own_people(path, rng):
    """The people in a folder with at least SHOTS pictures, in three groups of ratio 3 : 1 : 1."""
    data = ta.data.load(path, image_size=32, test_fraction=0)
    if data.y_train is None:
        raise ValueError(f"{path} has no sub-folders; sort the pictures by person")
    rows = [np.flatnonzero(data.y_train == who) for who in np.unique(data.y_train)]
    chosen = [rng.choice(r, SHOTS, replace=False) for r in rows if len(r) >= SHOTS]
    if len(chosen) < 20:
        raise ValueError(
            f"{path}: {len(chosen)} people have {SHOTS} pictures or more, expected 20 at least, "
            "and better hundreds; add people"
        )
    pictures = data.x_train[rng.permutation(np.array(chosen))]
    return np.split(pictures, [3 * len(chosen) // 5, 4 * len(chosen) // 5])


# --- learning --------------------------------------------------------------------------------------


def train(source, target, units, epochs, rng):
    encoder, decoder = ta.dense_encoder_decoder(source.shape[1:], units, rng=rng)
    model = ta.DenoisingAutoencoder(encoder, decoder, ta.MSE())  # pairs are given: no corruption
    optimizer = ta.Adam(ta.Cosine(1e-3, epochs * -(-len(source) // 64)))
    ta.fit(model, (source, target), epochs=epochs, batch_size=64, optimizer=optimizer, rng=rng)
    return model


def whitening(z):
    """The linear map that gives codes (people, SHOTS, k) unit covariance within a person."""
    within = (z - z.mean(axis=1, keepdims=True)).reshape(-1, z.shape[-1])
    variance, axes = np.linalg.eigh(within.T @ within / (len(z) * (SHOTS - 1)))
    return axes / np.sqrt(np.maximum(variance, 1e-6 * variance.max()))


# --- verification ----------------------------------------------------------------------------------


def distances(code, pictures):
    """Distances of every test picture to its own person's code and to all other people's."""
    z = code(pictures.reshape(-1, *pictures.shape[2:])).astype(np.float64)
    z = z.reshape(len(pictures), SHOTS, -1)
    enrolled, probe = z[:, :ENROL].mean(axis=1), z[:, ENROL:]
    # ‖p − c‖² = ‖p‖² − 2 p·c + ‖c‖²
    squared = (probe**2).sum(-1)[..., None] - 2 * probe @ enrolled.T + (enrolled**2).sum(-1)
    d = np.sqrt(np.maximum(squared, 0))  # (people, pictures, claimed)
    own = np.broadcast_to(np.eye(len(z), dtype=bool)[:, None], d.shape)
    return d[own], d[~own]


def equal_error(genuine, impostor):
    """The threshold at which the miss rate equals the false alarm rate."""
    thresholds, impostor = np.sort(genuine), np.sort(impostor)
    misses = 1 - np.arange(len(thresholds)) / len(thresholds)  # distances not below the threshold
    alarms = np.searchsorted(impostor, thresholds) / len(impostor)
    k = np.argmin(np.abs(misses - alarms))
    return float(thresholds[k]), float(misses[k] + alarms[k]) / 2


# --- pictures --------------------------------------------------------------------------------------


def strip(model, pictures, threshold, rates, rng, path):
    """Six people: enrolled pictures, decoded code, three genuine pictures, three impostors.

    Of a hundred random draws of people and impostors the one is shown whose shares of errors are
    nearest to those of all people.
    """
    from matplotlib.figure import Figure

    z = model.encode(pictures.reshape(-1, *pictures.shape[2:])).reshape(*pictures.shape[:2], -1)
    enrolled = z[:, :ENROL].mean(axis=1)

    def draw():
        who = rng.choice(len(pictures), 6, replace=False)
        others = (np.delete(np.arange(len(pictures)), person) for person in who)
        impostors = np.array([rng.choice(other, 3, replace=False) for other in others])
        probes = np.concatenate([z[who, ENROL : ENROL + 3], z[impostors, ENROL]], axis=1)
        accepted = np.linalg.norm(probes - enrolled[who, None], axis=2) < threshold
        shares = accepted[:, 3:].mean(), 1 - accepted[:, :3].mean()
        return (
            abs(shares[0] - rates["false alarms"]) + abs(shares[1] - rates["misses"]),
            who,
            impostors,
        )

    _, who, chosen = min((draw() for _ in range(100)), key=lambda drawn: drawn[0])
    figure = Figure(figsize=(10.5, 8.1), layout="constrained")
    axes = figure.subplots(6, 2 * ENROL + 4)
    for row, person, impostors in zip(axes, who, chosen):
        c = enrolled[person]
        probes = [*pictures[person, ENROL : ENROL + 3], *pictures[impostors, ENROL]]
        shown = [*pictures[person, :ENROL], model.decode(c[None])[0], *probes]
        for axis, image in zip(row, shown):
            axis.imshow(image.mean(axis=0), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        for k, (axis, code) in enumerate(zip(row[ENROL + 1 :], model.encode(np.stack(probes)))):
            d, genuine = np.linalg.norm(code - c), k < 3
            right = (d < threshold) == genuine
            color = "#1f77b4" if right else "#ff7f0e"
            said = "accepted" if d < threshold else "refused"
            axis.set_xlabel(f"{d:.2f} {said}", color=color, fontsize=8.5)
            for spine in axis.spines.values():
                spine.set(color=color, linewidth=2.5)
    titles = {
        1: "enrolled",
        ENROL: "their code\ndrawn",
        ENROL + 2: "genuine",
        ENROL + 5: "impostor",
    }
    for column, title in titles.items():
        axes[0, column].set_title(title, fontsize=10)
    alarms, misses = rates["false alarms"], rates["misses"]
    figure.suptitle(
        f"Distance of the codes: accepted below {threshold:.2f}. Blue is right, orange is wrong.\n"
        f"Of all people {alarms:.0%} of the impostors are accepted and {misses:.0%} of the genuine "
        "refused; these six are a draw with about such shares.",
        fontsize=10.5,
    )
    figure.savefig(path, dpi=130)


def roc(curves, threshold, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    genuine, impostor, _ = curves["person autoencoder"]
    bins = np.linspace(0, impostor.max(), 60)
    left.hist(genuine, bins, density=True, alpha=0.6, color="#1f77b4", label="genuine")
    left.hist(impostor, bins, density=True, alpha=0.6, color="#ff7f0e", label="impostor")
    left.axvline(threshold, color="#222222", linewidth=1, label="threshold, from other people")
    left.set(xlabel="distance to the enrolled code", ylabel="density", yticks=[])
    left.legend(frameon=False)
    colors = ["#999999", "#bcbd22", "#9467bd", "#ff7f0e", "#1f77b4"]
    for (name, (genuine, impostor, auc)), color in zip(curves.items(), colors):
        thresholds = np.quantile(impostor, np.geomspace(1e-4, 1, 300))
        alarms = [np.mean(impostor <= t) for t in thresholds]
        hits = [np.mean(genuine <= t) for t in thresholds]
        right.plot(alarms, hits, color=color, label=f"{name}, AUC {auc:.3f}")
    rate = np.geomspace(1e-4, 1, 100)
    right.plot(rate, 1 - rate, ":", color="#999999", linewidth=1, label="equal error rates")
    right.set(xscale="log", xlim=(1e-3, 1), ylim=(0, 1))
    right.set(xlabel="impostors accepted", ylabel="genuine accepted")
    right.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
