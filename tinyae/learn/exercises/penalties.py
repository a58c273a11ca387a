"""12: L1 and L2 penalties."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    z, weight = np.array([[1.0, -2.0, 0.0], [0.0, 3.0, -0.5]]), 0.4
    total, square = np.abs(z).sum(), (z**2).sum()
    known = {
        "P": {
            "This is the sum over the samples; the penalty is their mean, 1/N": weight * total,
            "This is the mean over all N·K entries; the sum over k stays a sum": weight
            * np.abs(z).mean(),
            "The weight λ is missing": total / len(z),
            "This is the sum of z itself, without | |": weight * z.sum() / len(z),
            "This is the sum of squares; L1 takes absolute values": weight * square / len(z),
        },
        "dz": {
            "Where z is 0, the slope is to be taken as 0": weight * np.where(z >= 0, 1, -1) / len(z)
        },
    }
    e.values("l1_penalty", {"z": z, "weight": weight}, ("P", "dz"), known=known)
    known = {
        "P": {
            "The ½ is missing": weight * square,
            "W is there once: its penalty is not divided by its number of rows": weight
            / 2
            * square
            / len(z),
            "This is a mean over the entries; L2 is their sum": weight / 2 * (z**2).mean(),
            "The weight λ is missing": square / 2,
            "This is the root of the sum of squares; L2 here is the sum itself": weight
            / 2
            * np.sqrt(square),
        }
    }
    e.values("l2_penalty", {"W": z, "weight": weight}, ("P", "dW"), known=known)
    for shape in ((7, 5), (3, 11)):
        rng = np.random.default_rng(len(shape))
        a, lam = rng.normal(size=shape), np.array(0.3)
        sizes = {"N": shape[0], "K": shape[1]}
        e.loss("l1_penalty", {"z": a, "weight": lam}, "z", value="P", sizes=sizes)
        sizes = {"O": shape[0], "I": shape[1]}
        e.loss("l2_penalty", {"W": a, "weight": lam}, "W", value="P", sizes=sizes)


EXERCISE = Exercise(
    title="L1 and L2 penalties",
    fill=("l1_penalty", "l2_penalty"),
    hints=(
        "Both are sums over entries, so take one entry: what is the slope of λ/N |z|, and what of "
        "λ/2 W²?",
        "|z| rises with slope 1 to the right of 0 and falls with slope −1 to the left: that is the "
        "sign of z, whatever its size. W² has the slope 2W, and the ½ is there to meet the 2.",
        "dz = weight * np.sign(z) / len(z) and dW = weight * W.",
    ),
    check=check,
)
