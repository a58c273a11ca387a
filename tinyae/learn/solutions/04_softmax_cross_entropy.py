"""04 · Softmax and cross-entropy

    pₙₖ = e^yₙₖ / Σⱼ e^yₙⱼ                 each row of scores y (N, K) as K probabilities
    L   = −1/N Σₙ ln pₙ,ₜ₍ₙ₎               t (N,): the number of the right class of each row
    dy  = ∂L/∂y                            (N, K)

Write  softmax_cross_entropy(y, t): return L and dy, both finite at any scores, such as 1000.

Why    This is the loss of every classifier. Adding one number to all scores of a row changes no
       pₙₖ: so the row's maximum may be subtracted first, and then no exp overflows. For the same
       reason each row of dy sums to zero: what one class gains, the others lose.

Note   ln pₙₖ = yₙₖ − ln Σⱼ e^yₙⱼ. The mean is over the N rows, not over the N·K entries.

See    tinyae/models/classifier.py, Classifier: the library's own, for afterwards
"""

import numpy as np


def softmax_cross_entropy(y, t):
    """L, a number, and dy, of y's shape."""
    rows = np.arange(len(y))
    y = y - y.max(axis=1, keepdims=True)
    log_p = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    L = -log_p[rows, t].mean()
    dy = np.exp(log_p)
    dy[rows, t] -= 1
    dy /= len(y)
    return L, dy
