"""26 · Embedding: rows of a table

    y[n,t] = E[k[n,t]]          E (K, D): one row of D numbers for each of K words
                                k (N, T): whole numbers from 0 to K − 1      y (N, T, D)
    dE = ∂L/∂E (K, D),          given dy = ∂L/∂y (N, T, D)

Write  embedding_backward(dy, k, E): return dE.

Why    Words, classes and codes are no numbers that one could multiply. Each gets a row of numbers
       instead, which is looked up and learnt like any weight. k itself has no gradient: one cannot
       move a word by a little. A batch uses a few rows, some of them many times, and most of them
       not at all. It is the rule of exercise 07 once more: what is copied forward is summed
       backward.

Note   The check looks some words up several times, and some not at all.

See    tinyae/layers/embedding.py, Embedding: the library's own, for afterwards
"""

import numpy as np


def embedding(k, E):
    """y (N, T, D)"""
    return E[k]


def embedding_backward(dy, k, E):
    """dE (K, D)"""
    dE = np.zeros_like(E)
    np.add.at(dE, k, dy)
    return dE
