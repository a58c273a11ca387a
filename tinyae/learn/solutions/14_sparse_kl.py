"""14 · The sparse autoencoder's penalty

    qⱼ = 1/N Σₙ zₙⱼ                   unit j's mean activation; z (N, K), 0 < z < 1
    P  = λ Σⱼ [ρ ln(ρ/qⱼ) + (1 − ρ) ln((1 − ρ)/(1 − qⱼ))]
    dz = ∂P/∂z                        (N, K)

Write  kl_sparsity(z, rho, weight): return P and dz. rho is ρ, the share of the samples for which a
       unit should be active, such as 0.05; weight is λ.

Why    The bracket is the Kullback–Leibler divergence between two coins, one that shows heads with
       probability ρ and one with qⱼ: it is 0 where qⱼ = ρ, and grows to both sides. It looks at a
       unit's average over the batch and not at one sample, so a unit may be fully active for the
       few samples that are its own. The path of the gradient leads through that average: every
       sample moves qⱼ by its share of 1/N, so all rows of dz are the same.

See    tinyae/models/sparse.py, KLSparsity: the library's own, for afterwards
"""

import numpy as np


def kl_sparsity(z, rho, weight):
    """P, a number, and dz (N, K)"""
    q = z.mean(axis=0)
    P = weight * (rho * np.log(rho / q) + (1 - rho) * np.log((1 - rho) / (1 - q))).sum()
    dq = weight * ((1 - rho) / (1 - q) - rho / q)
    dz = np.ones_like(z) * dq / len(z)
    return P, dz
