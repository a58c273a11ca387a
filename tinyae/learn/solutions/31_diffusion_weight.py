"""31 · Diffusion's loss, and the weight in it

    xₜ = a x + s ε             x, ε, xₜ (N, D): data, noise, and their mixture
                               a (N,): one number for each sample, 0 < a < 1;   s = √(1 − a²)

    Any two of x, ε and xₜ give the third, and so does v = a ε − s x with xₜ. So a network may be
    trained to say x̂ or v̂, and either says what the noise is:

    clean       o = x̂          ε̂ = (xₜ − a x̂) / s
    velocity    o = v̂          ε̂ = s xₜ + a v̂

    L  = 1/n Σ (ε̂ − ε)²        over all n = N·D entries: how well the noise is known
    do = ∂L/∂o (N, D)          o: what the network says

Write  clean_loss(o, x, eps, a): return L and do, where o is x̂.
       velocity_loss(o, x, eps, a): return L and do, where o is v̂.

Why    One loss, three networks. Seen from x̂ the loss is a weighted one, and the chain rule says
       with which weight: an error of x̂ counts much where there is little noise, and hardly at all
       where there is much. Seen from v̂ the weight never exceeds 1. Which network to train is a
       question of this weight, and it is put in by hand in many papers; here it falls out of
       the chain rule, and you can say what each choice means.

Note   a belongs to a sample: a[:, None] is (N, 1), and meets all of its D entries. xₜ is data, and
       no gradient of it is asked for.

See    tinyae/models/noising.py, Prediction: the library's own, for afterwards
"""

import numpy as np


def noised(x, eps, a):
    """xₜ (N, D), and a and s as columns (N, 1)"""
    a = a[:, None]
    s = np.sqrt(1 - a**2)
    return a * x + s * eps, a, s


def clean_loss(o, x, eps, a):
    """L, a number, and do (N, D)"""
    xt, a, s = noised(x, eps, a)
    gap = (xt - a * o) / s - eps
    L = np.mean(gap**2)
    do = 2 * gap / gap.size * (-a / s)
    return L, do


def velocity_loss(o, x, eps, a):
    """L, a number, and do (N, D)"""
    xt, a, s = noised(x, eps, a)
    gap = s * xt + a * o - eps
    L = np.mean(gap**2)
    do = 2 * gap / gap.size * a
    return L, do
