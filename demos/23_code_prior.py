"""Draw a digit that is asked for: a Transformer learns to write a picture's codes, one after the other.

A VQ-VAE (demo 14) turns a picture into 7 × 7 numbers from a table, and back. Which numbers go together
it does not know: drawn each by itself, they decode to scraps. A second model learns their distribution.
It reads a picture's codes as words, row by row, the class before them, and says of each which it may be:

    p(k | c) = p(k₁ | c) p(k₂ | c, k₁) … p(k₄₉ | c, k₁ … k₄₈)

Each factor is a softmax over the table, by a Transformer in which a token attends only to those
before it. So −ln p(k | c) is exact, no bound, and cross-entropy trains it. Samples are drawn code by
code, and the VQ-VAE's decoder makes a picture of them. Text-to-image models of that kind have a
sentence where the class stands here.

A classifier of real pictures says whether a sample is what was asked for, and the Fréchet distance in
its last hidden layer (128 units) whether all samples together are as real pictures are. As the
comparison, codes are drawn each by itself, as often as the class has it at that place. The classifier
knows most of those too, because built-in digits lie well in place; but they are scraps of digits. And
the prior is a classifier itself: the class for which a picture's codes are most probable.

What it cannot show: its text is one word of ten, so nothing is combined that was never seen together.

code_prior.png   real digits, what their codes keep, and samples by class

    python demos/23_code_prior.py                          # built-in digits, about two minutes
    python demos/23_code_prior.py --data mnist --epochs 2

Source: van den Oord, Vinyals & Kavukcuoglu (2017), §3.3; Esser, Rombach & Ommer (2021), §3.2;
Ramesh et al. (2021).
"""

import argparse
import math
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
    parser.add_argument("--epochs", type=int, default=4, help="of the prior")
    parser.add_argument("--codes", type=int, default=32, help="vectors in the table, K")
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)

    data = ta.data.load(options.data)
    x, y, x_test, y_test = data.x_train, data.y_train, data.x_test, data.y_test
    channels, codes, first, epochs = [16, 32], options.codes, 4, options.epochs
    if options.quick:
        x, y, x_test, y_test = x[:1500], y[:1500], x_test[:200], y_test[:200]
        channels, codes, first, epochs = [8, 16], 16, 8, 2
    judge = classifier(x, y, 8, rng)

    dim = channels[-1]
    encoder, decoder = ta.conv_encoder_decoder(
        x.shape[1:], channels, kernel_size=4, output=None, rng=rng
    )
    encoder = ta.Sequential(*encoder.layers, ta.Conv2d(dim, dim, 1, rng=rng))
    vqvae = ta.VQVAE(encoder, decoder, ta.BCEWithLogits(), codes, dim, commitment=0.05)
    train(vqvae, x, first, 3e-3, rng)

    k, k_test = vqvae.encode(x), vqvae.encode(x_test)
    prior = ta.CodePrior(codes, k.shape[1:], 10, dim=32, depth=2, rng=rng)
    train(prior, (k, y), epochs, 5e-3, rng)

    each = by_itself(k, y, codes)
    bits = prior.evaluate((k_test, y_test))["bits"]
    alone = -np.log2(np.take_along_axis(each[y_test], k_test[..., None], axis=-1)).mean()
    print(f"\n{k[0].size} codes of {codes}, −log₂ p of one on test pictures, in bits:")
    print(f"  all alike {math.log2(codes):.2f}, each by itself {alone:.2f}, the prior {bits:.2f}")

    labels = np.repeat(np.arange(10), 10 if options.quick else 50)
    drawn = {
        "each by itself": draw(each[labels], rng),
        "the prior": prior.sample(labels, rng),
        "temperature 0.7": prior.sample(labels, rng, temperature=0.7),
        "5 most probable": prior.sample(labels, rng, top_k=5),
    }
    kept = (judge.predict(vqvae.decode(k_test)) == y_test).mean()
    print(f"\nright, of {len(labels)} samples by class, says a classifier of real pictures:")
    numbers = {"kept": kept, "bits": bits, "alone": float(alone), "most": math.log2(codes)}
    features = ta.Sequential(*judge.network.layers[:-1])
    real = features(x_test)
    for name, sampled in drawn.items():
        made = vqvae.decode(sampled)
        right = judge.predict(made) == labels
        distance = ta.metrics.frechet_distance(features(made), real)
        numbers |= {name: right.mean(), f"{name}: distance": distance}
        by_class = " ".join(f"{part:4.0%}" for part in right.reshape(10, -1).mean(axis=1))
        print(f"  {name:16} {right.mean():6.1%}  Fréchet {distance:6.2f}  by class {by_class}")
    distance = ta.metrics.frechet_distance(features(vqvae.decode(k_test)), real)
    print(f"  {'test pictures':16} {kept:6.1%}  Fréchet {distance:6.2f}  from their own codes")

    each = [prior.log_likelihood(k_test, np.full(len(k_test), c)) for c in range(10)]
    numbers["as a classifier"] = float((np.argmax(each, axis=0) == y_test).mean())
    print(f"argmax p(k | c) names {numbers['as a classifier']:.1%} of the test pictures rightly")

    show = one_each(y_test)
    lines = [
        ("pictures", x_test[show], ""),
        ("from their codes", vqvae.decode(k_test[show]), f"{kept:.0%} right"),
        None,
    ]
    for name, sampled in drawn.items():
        remark = f"{numbers[name]:.0%} right, Fréchet {numbers[f'{name}: distance']:.1f}"
        pages = vqvae.decode(sampled).reshape(10, -1, *x.shape[1:])
        lines += [(name if i == 0 else "", pages[:, i], remark if i == 0 else "") for i in range(3)]
        lines.append(None)
    note = "samples: three of each class, drawn before they were looked at"
    rows(lines[:-1], folder / "code_prior.png", heads=list(range(10)), note=note)
    print(f"{folder}/code_prior.png: samples by class")
    return numbers


def train(model, x, epochs, rate, rng):
    n = len(x[0] if isinstance(x, tuple) else x)
    schedule = ta.WarmUp(ta.Cosine(rate, epochs * -(-n // 32)), 50)
    ta.fit(model, x, epochs=epochs, batch_size=32, optimizer=ta.Adam(schedule), rng=rng)


def by_itself(k, y, codes):
    """How often a class has a code at a place: (10, H, W, codes); none is quite impossible."""
    onehot = np.eye(codes)[k]
    counts = np.stack([onehot[y == c].sum(axis=0) for c in range(10)]) + 0.1
    return counts / counts.sum(axis=-1, keepdims=True)


def draw(p, rng):
    """A number of each distribution along the last axis."""
    return (np.log(p) + rng.gumbel(size=p.shape)).argmax(axis=-1)


if __name__ == "__main__":
    main()
