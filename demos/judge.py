"""What a classifier of real images says of generated ones: are they plain, are all classes there?"""

import numpy as np

import tinyae as ta


def classifier(x, y, epochs, rng):
    """784-128-10 with a softmax."""
    network = ta.Sequential(
        ta.Flatten(), ta.Dense(x[0].size, 128, rng=rng), ta.ReLU(), ta.Dense(128, 10, rng=rng)
    )
    judge = ta.Classifier(network)
    judge.fit((x, y), epochs=epochs, batch_size=64, rng=rng, progress=False)
    return judge


def verdict(judge, x):
    """Entropy of one image and of all, in nats; score; share of the rarest class."""
    p = judge.predict_proba(np.clip(x, 0, 1)).astype(np.float64)
    one, whole = entropy(p).mean(), entropy(p.mean(axis=0))
    share = np.bincount(p.argmax(axis=1), minlength=p.shape[1]) / len(p)
    return {
        "entropy of one": float(one),
        "entropy of all": float(whole),
        "score": float(np.exp(whole - one)),
        "rarest": float(share.min()),
    }


def table(seen):
    """Print the verdicts by name, and return them as one dictionary of numbers."""
    width = max(map(len, seen)) + 2
    print(
        f"{'images':{width}} {'entropy of one':>14} {'of all':>8} {'score':>7}  {'rarest class':>12}"
    )
    for name, v in seen.items():
        print(
            f"{name:{width}} {v['entropy of one']:11.3f} nats {v['entropy of all']:8.3f} "
            f"{v['score']:7.2f} {v['rarest']:12.1%}"
        )
    print(
        "score = exp of the gap: 10 if every image is plainly one of ten equally frequent classes"
    )
    return {f"{name}: {key}": value for name, v in seen.items() for key, value in v.items()}


def entropy(p):
    return -(p * np.log(np.maximum(p, 1e-12))).sum(axis=-1)
