"""30 · The GRU cell

    a = x Wᵀ + b               x (N, D)   W (3H, D)   b (3H,)   a (N, 3H), cut into ar, az, an
    c = h Uᵀ                   h (N, H)   U (3H, H)             c (N, 3H), cut into cr, cz, cn
    r = σ(ar + cr)             the reset gate, (N, H)
    z = σ(az + cz)             the update gate, (N, H)
    n = tanh(an + r · cn)      the candidate, (N, H)
    y = (1 − z) · n + z · h    the new state, (N, H); every · is entry by entry

Write  gru_backward(dy, x, h, W, U, b): return dx, dh, dW, dU and db.
       gates(x, h, W, U, b) is there: it gives r, z, n and cn.

Why    One step of a recurrent network. z decides how much of the old state stays, and where it is
       near 1 the state and its gradient pass unchanged through many steps: that is what the gates
       are for. Nothing in it is new, but the paths are many. h stands in y itself, and in c, which
       reaches y by r, by z and by n; r reaches y only through n. In the network dh is what goes to
       the step before.

Note   Write the six lines on paper and answer each, from the last to the first. When da and dc are
       put together again, in the order of the cut, the rest is exercises 06 and 07, twice.
       np.hsplit(a, 3) cuts, np.hstack([…]) puts together.

See    tinyae/layers/recurrent.py, GRU: the library's own, for afterwards
"""

import numpy as np


def sigmoid(a):
    """σ(a) at any a"""
    e = np.exp(-np.abs(a))
    return np.where(a >= 0, 1, e) / (1 + e)


def gates(x, h, W, U, b):
    """r, z, n and cn, each (N, H)"""
    ar, az, an = np.hsplit(x @ W.T + b, 3)
    cr, cz, cn = np.hsplit(h @ U.T, 3)
    r, z = sigmoid(ar + cr), sigmoid(az + cz)
    return r, z, np.tanh(an + r * cn), cn


def gru(x, h, W, U, b):
    """y (N, H)"""
    _, z, n, _ = gates(x, h, W, U, b)
    return (1 - z) * n + z * h


def gru_backward(dy, x, h, W, U, b):
    """dx (N, D), dh (N, H), dW (3H, D), dU (3H, H), db (3H,)"""
    r, z, n, cn = gates(x, h, W, U, b)
    dz = dy * (h - n)
    dn = dy * (1 - z)
    dan = dn * (1 - n**2)
    dcn = dan * r
    dr = dan * cn
    dar = dr * r * (1 - r)
    daz = dz * z * (1 - z)
    da = np.hstack([dar, daz, dan])
    dc = np.hstack([dar, daz, dcn])
    dx = da @ W
    dW = da.T @ x
    db = da.sum(axis=0)
    dh = dy * z + dc @ U
    dU = dc.T @ h
    return dx, dh, dW, dU, db
