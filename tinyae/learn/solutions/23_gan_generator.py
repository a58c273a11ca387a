"""23 · The GAN's generator

    x = tanh(z Aᵀ + a)         the generator: noise z (N, K), A (D, K), a (D,), x (N, D)
    s = x w                    the discriminator: w (D,), s (N,), a logit; D = σ(s) = "x is real"
    L = −1/N Σₙ ln σ(sₙ)       what the generator wants small: x should look real

Write  generator_loss(s): return L and ds, both finite at any s, such as ±1000.
       generator_gradients(z, A, a, w): return dA and da.

Why    The generator never sees real data. All that it learns it learns through the discriminator:
       the gradient goes back through s into x, and on into A and a. The discriminator is a bridge
       there: its w carries the gradient and is not itself moved. Why −ln σ(s) and not
       ln (1 − σ(s))? Early on the discriminator is sure that x is false, s is very negative, and
       the slope of the second is nearly 0 there: nothing would be learnt just when all is to be.
       The slope of the first is then nearly −1.

Note   −ln σ(s) = max(−s, 0) + ln(1 + e^−|s|): exercise 03 with target 1.

See    tinyae/models/gan_players.py, GeneratorPlayer: the library's own, for afterwards
"""

import numpy as np


def sigmoid(s):
    """σ(s) at any s"""
    e = np.exp(-np.abs(s))
    return np.where(s >= 0, 1, e) / (1 + e)


def generate(z, A, a):
    """x (N, D)"""
    return np.tanh(z @ A.T + a)


def generator_loss(s):
    """L, a number, and ds (N,)"""
    L = np.mean(np.maximum(-s, 0) + np.log1p(np.exp(-np.abs(s))))
    ds = (sigmoid(s) - 1) / len(s)
    return L, ds


def generator_gradients(z, A, a, w):
    """dA (D, K) and da (D,)"""
    x = generate(z, A, a)
    _, ds = generator_loss(x @ w)
    dx = ds[:, None] * w
    dg = dx * (1 - x**2)
    dA = dg.T @ z
    da = dg.sum(axis=0)
    return dA, da
