"""28 · Straight through a jump: vector quantisation

    kₙ = argminⱼ ‖zₙ − Eⱼ‖²            z (N, D)   E (K, D), a table of K codes   k (N,)
    qₙ = E[kₙ]                         what the decoder gets in z's place, (N, D)
    P  = mean ([z] − q)²  +  β mean (z − [q])²         each over all N·D entries

    [·] is held: it counts as a constant when the gradient is taken. L = R(q) + P, where R is what
    the decoder makes of q, and dq = ∂R/∂q (N, D) comes from there.

Write  quantise_backward(dq, z, E, beta): return dz (N, D) and dE (K, D), the gradients of L by
       these rules:

       1. The way from z to q jumps, and has no slope. As an estimate, dq is handed to z as it is,
          as if q were z. It is not handed to E.
       2. P's first term moves the table: E learns by it, and z is held.
       3. P's second term, times β, moves z: it commits z to its code, and q is held.

       nearest(z, E) is there: it gives k.

Why    A code that is one of K can be stored in a few bits, and what is discrete can be modelled as
       language is. But argmin has slope 0 wherever it has one, so by the chain rule the encoder
       would never learn. The straight-through estimate is a deliberate lie that works: z and q lie
       close together, and what would make q better would make z better too. What a gradient check
       measures here is the same loss with all that is held kept at its value.

Note   Codes that several zₙ have chosen collect a gradient from each of them.

See    tinyae/models/vqvae.py, VQVAE: the library's own, for afterwards
"""

import numpy as np


def nearest(z, E):
    """k (N,): the number of the code that lies nearest to each z"""
    return ((z[:, None] - E) ** 2).sum(axis=2).argmin(axis=1)


def quantise(z, E):
    """q (N, D)"""
    return E[nearest(z, E)]


def quantise_backward(dq, z, E, beta):
    """dz (N, D) and dE (K, D)"""
    k = nearest(z, E)
    gap = z - E[k]
    dz = dq + beta * 2 * gap / z.size
    dE = np.zeros_like(E)
    np.add.at(dE, k, -2 * gap / z.size)
    return dz, dE
