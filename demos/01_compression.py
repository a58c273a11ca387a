"""Compress pictures of 784 pixels to 8, 16 or 32 numbers, in three ways.

An autoencoder maps x to a code z with fewer numbers, and learns to reconstruct x from z:

    z = f(x)      y = g(z)      minimise the mean of (y − x)² over the pixels

PCA     f and g are linear, from the eigenvectors of the covariance: z = Vᵀ(x − m), y = Vz + m.
        The singular value decomposition of the centred data, X = U S Vᵀ, has the same V: its first
        k terms are the best matrix of rank k (Eckart & Young 1936). Both are computed below.
linear  f and g are one Dense layer each, without an activation, trained by gradient descent. Every
        local minimum is global and spans PCA's subspace (Baldi & Hornik 1989): the axes differ, but
        the plane is the same, once the training has ended. How much of PCA's plane it has found is
        printed: Σᵢ cos² θᵢ of the angles θᵢ between the two planes, of k at most. What is missing
        is the last axis or so: if PCA's next axis has nearly the same variance, either is almost as
        good, and descent takes long to choose. So the ratio of these two variances is printed, too.
deep    f and g are three layers each, with ReLU between. Digits lie near a curved surface, not a
        plane, and a nonlinear map needs fewer numbers to describe it (Hinton & Salakhutdinov 2006).

How large is a compressed picture? A picture takes 784 bytes, a code k bytes: one byte per number is
enough, as the demo checks. The decoder must be stored as well, but only once for all pictures.

    python demos/01_compression.py                     # built-in digits, about half a minute
    python demos/01_compression.py --data fashion-mnist --epochs 5

Source: Eckart & Young (1936); Baldi & Hornik (1989); Hinton & Salakhutdinov (2006).
"""

import argparse
import zlib
from pathlib import Path

import numpy as np
from pictures import BLUE, GREY, ORANGE, one_each, rows, sheet

import tinyae as ta
from tinyae.metrics import PCA, mse


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes", help="images: strokes, mnist, fashion-mnist")
    parser.add_argument("--out", default="demo-out", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    data = ta.data.load(options.data)
    x, x_test, sizes, epochs = data.x_train, data.x_test, (8, 16, 32), options.epochs
    if options.quick:
        x, x_test, sizes, epochs = x[:1500], x_test[:300], (8,), 15
    shape = x.shape[1:]

    # PCA at every size from 1 to 64: the axes are sorted, so the first k give PCA with k.
    every = np.array([1, 2, 4, 8, 16, 32, 64])
    most = PCA(64).fit(x)
    pca_curve = [mse(x_test, first(most, k).reconstruct(x_test)) for k in every]
    few = x[:2000]  # enough to check that SVD gives the same
    gap = float(np.abs(svd(few, 16) - PCA(16).fit(few).reconstruct(few)).max())
    print(f"PCA by eigenvectors and by SVD, 16 numbers: the same to {gap:.0e} in every pixel\n")

    # The two autoencoders of each size.
    lines = ["numbers       PCA    linear  of PCA's plane  next/last      deep  in bytes"]
    numbers, restored = {"svd": gap}, {}
    for k in sizes:
        rng = np.random.default_rng(options.seed)
        linear = ta.Autoencoder(
            *ta.dense_encoder_decoder(shape, [k], output=None, rng=rng), ta.MSE()
        )
        deep = ta.Autoencoder(*ta.dense_encoder_decoder(shape, [256, 64, k], rng=rng), ta.MSE())
        for model, rate in ((linear, 1e-2), (deep, 2e-3)):
            schedule = ta.Cosine(rate, epochs * -(-len(x) // 64))
            ta.fit(model, x, epochs=epochs, batch_size=64, optimizer=ta.Adam(schedule), rng=rng)
        pca = first(most, k)
        restored[k] = [m.reconstruct(x_test) for m in (pca, linear, deep)]
        in_bytes = deep.decode(as_bytes(deep.encode(x_test)))
        e = [mse(x_test, y) for y in (*restored[k], in_bytes)]
        shared = common_axes(linear.decoder.layers[0].W.value, pca.components_.T)
        ratio = most.explained_variance_[k] / most.explained_variance_[k - 1]
        plane = f"{shared:5.2f} of {k:2} axes"
        line = f"{k:7} {e[0]:9.5f} {e[1]:9.5f} {plane} {ratio:10.2f} {e[2]:9.5f} {e[3]:9.5f}"
        lines.append(line)
        names = (f"{name} {k}" for name in ("pca", "linear", "deep", "bytes", "shared"))
        numbers |= dict(zip(names, (*e, shared)))
    print("\n" + "\n".join(lines))
    print(
        "mean squared error a pixel on test images; of PCA's plane: what the linear one shares with "
        "it;\nnext/last: the variance of PCA's next axis to that of its last; in bytes: deep, rounded\n"
    )

    # The size of a compressed picture.
    pixels = np.round(255 * x_test).astype(np.uint8)
    raw, coded = pixels[0].nbytes, sizes[-1]
    packed = float(np.mean([len(zlib.compress(image.tobytes(), 9)) for image in pixels]))
    once = sum(p.value.nbytes for p in deep.decoder.params.values())
    print(
        f"bytes a picture: {raw} raw, {packed:.0f} packed without loss (zlib), {coded} as a code;"
    )
    print(f"the decoder, once, {once:,}: worth it from {once // (raw - coded) + 1:,} pictures on")

    show = one_each(data.y_test[: len(x_test)]) if data.y_test is not None else np.arange(10)
    lines = [("original", x_test[show], f"{raw} bytes")]
    for k, made in restored.items():
        lines.append(None)
        for name, y in zip(("PCA", "linear", "deep"), made):
            lines.append((f"{name}, {k}", y[show], f"MSE {mse(x_test, y):.4f}"))
    rows(lines, folder / "compression.png")
    curve(every, pca_curve, sizes, numbers, folder / "compression_curve.png")
    print(f"{folder}/compression.png: the pictures; {folder}/compression_curve.png: the errors")
    return numbers | {"zlib": packed, "ratio": raw / coded}


def first(pca, k):
    """PCA with k components, from PCA with more."""
    small = PCA(k)
    small.mean_, small.shape_ = pca.mean_, pca.shape_
    small.components_ = pca.components_[:k]
    return small


def svd(x, k):
    """The best rank-k approximation of the centred data, plus the mean."""
    X = x.reshape(len(x), -1)
    m = X.mean(axis=0)
    U, S, Vt = np.linalg.svd(X - m, full_matrices=False)
    return ((U[:, :k] * S[:k]) @ Vt[:k] + m).reshape(x.shape)


def common_axes(A, B):
    """How many dimensions the column spaces of A and B share: Σᵢ cos² θᵢ of their principal angles."""
    Q, R = np.linalg.qr(A.astype(np.float64))[0], np.linalg.qr(B)[0]
    return float(np.square(Q.T @ R).sum())


def as_bytes(z):
    """Codes rounded to 256 levels between each number's minimum and maximum."""
    low, high = z.min(axis=0), z.max(axis=0)
    step = np.maximum(high - low, 1e-12) / 255
    return low + step * np.round((z - low) / step).astype(np.uint8)


def curve(every, pca, sizes, numbers, path):
    linear, deep = ([numbers[f"{name} {k}"] for k in sizes] for name in ("linear", "deep"))
    figure, axis = sheet(6.6, 4.2)
    axis.plot(every, pca, "-o", color=GREY, markersize=4, label="PCA = truncated SVD")
    ring = {"color": BLUE, "markersize": 9, "fillstyle": "none", "label": "linear autoencoder"}
    axis.plot(sizes, linear, "o", **ring)
    axis.plot(sizes, deep, "-o", color=ORANGE, markersize=5, label="deep autoencoder")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(every, [str(k) for k in every])
    axis.set_ylim(0.006, 0.07)
    axis.set_yticks([0.01, 0.02, 0.05], ["0.01", "0.02", "0.05"])
    axis.set_xlabel("numbers in the code")
    axis.set_ylabel("mean squared error a pixel, test images")
    axis.minorticks_off()
    axis.legend(frameon=False)
    figure.savefig(path, facecolor="white")


if __name__ == "__main__":
    main()
