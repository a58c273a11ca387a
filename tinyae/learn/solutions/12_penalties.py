"""12 · L1 and L2 penalties

    L1, on the code       P = λ/N Σₙ Σₖ |zₙₖ|        z (N, K)
    L2, on a matrix       P = λ/2 Σ Wₒᵢ²             W (O, I)
    dz = ∂P/∂z,  dW = ∂P/∂W

Write  l1_penalty(z, weight): return P and dz.   l2_penalty(W, weight): return P and dW.
       weight is λ. Where an entry of z is 0, take its slope as 0.

Why    A penalty is one more term of the loss: its gradient is simply added to what the
       reconstruction sends. L2 pulls each weight back in proportion to its size, so large ones
       shrink first and none reaches 0 (weight decay). L1 pulls with the same force everywhere, so
       small codes are driven to exactly 0: that is what makes a code sparse. The code has one row
       a sample, so its penalty is a mean over N; W is there once, so its penalty is not.

See    tinyae/models/sparse.py, L1Sparsity: the library's own, for afterwards
"""

import numpy as np


def l1_penalty(z, weight):
    """P, a number, and dz (N, K)"""
    P = weight * np.abs(z).sum() / len(z)
    dz = weight * np.sign(z) / len(z)
    return P, dz


def l2_penalty(W, weight):
    """P, a number, and dW (O, I)"""
    P = weight / 2 * (W**2).sum()
    dW = weight * W
    return P, dW
