"""32 · The gradient penalty

    h = tanh(x Wᵀ + b)                  x (N, D)   W (K, D)   b (K,)   h (N, K)
    f = h v                             v (K,), f (N,): a critic, one number for each sample
    G = ∂f/∂x                           Gₙᵢ = Σⱼ vⱼ (1 − hₙⱼ²) Wⱼᵢ, (N, D)
    P = 1/N Σₙ (‖Gₙ‖ − 1)²              ‖Gₙ‖ = √(Σᵢ Gₙᵢ²)

Write  gradient_penalty(x, W, b, v): return P, dW, db and dv.

Why    A critic whose slope is near 1 everywhere measures how far two sets of samples lie apart
       (the Wasserstein distance); this penalty asks for that slope. As in exercise 15 the loss holds
       a derivative, so its gradient is a second one. There the derivative was of the code, here it
       is itself the result of a backward pass: you go backward through a backward. W enters on two
       paths, in G in plain sight, and hidden in h.

Note   Write P as a chain: h; then u = v (1 − h²), (N, K); then G = u W; then ‖G‖; then P. From here on
       it is a forward pass like any other. No sample has ‖Gₙ‖ = 0.

See    tinyae/models/wasserstein_gan.py, CriticPlayer: the library's own, for afterwards
"""

import numpy as np


def critic(x, W, b, v):
    """f (N,)"""
    return np.tanh(x @ W.T + b) @ v


def gradient_penalty(x, W, b, v):
    """P, a number, dW (K, D), db (K,) and dv (K,)"""
    h = np.tanh(x @ W.T + b)
    u = v * (1 - h**2)
    G = u @ W
    norm = np.sqrt((G**2).sum(axis=1, keepdims=True))
    P = np.mean((norm - 1) ** 2)

    dG = 2 * (norm - 1) / len(x) * G / norm
    du = dG @ W.T
    dv = (du * (1 - h**2)).sum(axis=0)
    dh = du * v * (-2 * h)
    da = dh * (1 - h**2)
    dW = u.T @ dG + da.T @ x
    db = da.sum(axis=0)
    return P, dW, db, dv
