"""Right answers in other words than the solution's, which must pass as well."""

RIGHT = {
    "silu": """
def silu_backward(dy, x):
    s = 1 / (1 + np.exp(-x))
    y = x * s
    return dy * (y + s * (1 - y))


def swish_backward(dy, x, beta):
    s = 1 / (1 + np.exp(-beta * x))
    y = x * s
    return dy * (beta * y + s * (1 - beta * y)), np.sum(dy * y * (x - y))
""",
    "embedding": """
def embedding_backward(dy, k, E):
    one_hot = np.eye(len(E))[k.ravel()]
    return one_hot.T @ dy.reshape(-1, E.shape[1])
""",
    "layer_norm": """
def layer_norm_backward(dy, x, gamma, beta):
    D = x.shape[-1]
    rows, up = x.reshape(-1, D), dy.reshape(-1, D)
    centred = rows - rows.mean(1, keepdims=True)
    std = np.sqrt(rows.var(1, keepdims=True) + EPS)
    g = up * gamma
    dstd = -(g * centred).sum(1, keepdims=True) / std**2
    dcentred = g / std + dstd * centred / (D * std)
    dx = dcentred - dcentred.mean(1, keepdims=True)
    return dx.reshape(x.shape), (up * centred / std).sum(0), up.sum(0)
""",
    "straight_through": """
def quantise_backward(dq, z, E, beta):
    one_hot = np.eye(len(E))[nearest(z, E)]
    q = one_hot @ E
    n = z.size
    return dq + 2 * beta / n * (z - q), one_hot.T @ (2 / n * (q - z))
""",
    "attention": """
def attention_backward(do, q, k, v):
    root = q.shape[2] ** 0.5
    P = softmax(np.einsum("ntd,nmd->ntm", q, k) / root)
    dP = np.einsum("nte,nme->ntm", do, v)
    o = np.einsum("ntm,nme->nte", P, v)
    dS = P * (dP - (do * o).sum(2, keepdims=True)) / root
    return (
        np.einsum("ntm,nmd->ntd", dS, k),
        np.einsum("ntm,ntd->nmd", dS, q),
        np.einsum("ntm,nte->nme", P, do),
    )
""",
    "gru_cell": """
def gru_backward(dy, x, h, W, U, b):
    H = h.shape[1]
    r, z, n, cn = gates(x, h, W, U, b)
    g = np.empty((len(x), 3 * H))
    g[:, 2 * H :] = dy * (1 - z) * (1 - n * n)
    g[:, :H] = g[:, 2 * H :] * cn * r * (1 - r)
    g[:, H : 2 * H] = dy * (h - n) * z * (1 - z)
    from_h = g.copy()
    from_h[:, 2 * H :] *= r
    return g @ W, from_h @ U + dy * z, g.T @ x, from_h.T @ h, g.sum(0)
""",
    "diffusion_weight": """
def clean_loss(o, x, eps, a):
    weight = (a**2 / (1 - a**2))[:, None]
    return np.mean(weight * (o - x) ** 2), 2 * weight * (o - x) / o.size


def velocity_loss(o, x, eps, a):
    a = a[:, None]
    error = o - (a * eps - np.sqrt(1 - a**2) * x)
    return np.mean(a**2 * error**2), 2 * a**2 * error / o.size
""",
    "gradient_penalty": """
def gradient_penalty(x, W, b, v):
    N = len(x)
    h = np.tanh(x @ W.T + b)
    slope = 1 - h * h
    G = np.einsum("k,nk,kd->nd", v, slope, W)
    norm = np.linalg.norm(G, axis=1)
    dG = (2 / N * (1 - 1 / norm))[:, None] * G
    along = np.einsum("nd,kd->nk", dG, W)
    da = along * v * -2 * h * slope
    dW = np.einsum("nd,nk->kd", dG, v * slope) + da.T @ x
    return ((norm - 1) ** 2).mean(), dW, da.sum(0), (along * slope).sum(0)
""",
}
