"""29 · Softmax attention

    S = q kᵀ / √d              q (N, T, d)   k (N, M, d)   S (N, T, M): of each sample n by itself
    P = softmax(S)             along the last axis: how much each query looks at each key
    o = P v                    v (N, M, e)   o (N, T, e)

    oₙₜ = Σₘ Pₙₜₘ vₙₘ          the same, row by row: a mean of the values, weighted by P

Write  attention_backward(do, q, k, v): return dq, dk and dv, given do = ∂L/∂o (N, T, e).
       softmax(S) is there. a.swapaxes(-1, -2) transposes each sample's matrix.

Why    It is three lines, and each of them is known: two matrix products (exercises 06 and 07) with
       a softmax between them (exercise 05). So backward is three lines as well, from the last to
       the first. In a product both sides are variables here, and both get a gradient. The √d keeps
       the scores' spread independent of d, so that the softmax is not shut from the start; like any
       constant factor it stands in backward too.

See    tinyae/layers/attention.py, MultiHeadAttention: the library's own, for afterwards
"""

import numpy as np


def softmax(S):
    """The last axis as probabilities, of S's shape"""
    e = np.exp(S - S.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q, k, v):
    """o (N, T, e)"""
    S = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(S) @ v


def attention_backward(do, q, k, v):
    """dq (N, T, d), dk (N, M, d), dv (N, M, e)"""
    scale = 1 / np.sqrt(q.shape[-1])
    P = softmax(q @ k.swapaxes(-1, -2) * scale)
    dv = P.swapaxes(-1, -2) @ do
    dP = do @ v.swapaxes(-1, -2)
    dS = P * (dP - (dP * P).sum(axis=-1, keepdims=True))
    dq = dS @ k * scale
    dk = dS.swapaxes(-1, -2) @ q * scale
    return dq, dk, dv
