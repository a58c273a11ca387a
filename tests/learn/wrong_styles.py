"""Wrong answers as people write them who have not seen the solution: other names, other steps.

Each holds whole functions, which stand in for those of the solution.
"""

WRONG = {
    "mse": {
        "row by row": """
def mse(y, t):
    L = 0.0
    dy = np.zeros_like(y)
    for i in range(len(y)):
        L += np.mean((y[i] - t[i]) ** 2) / len(y)
        dy[i] = 2 * (y[i] - t[i]) / len(y)
    return L, dy
""",
        "absolute values": """
def mse(y, t):
    error = np.abs(y - t)
    return np.mean(error**2), 2 * error / error.size
""",
        "the target forgotten in dy": """
def mse(pred, target):
    loss = ((pred - target) ** 2).mean()
    grad = 2 * pred / pred.size
    return loss, grad
""",
    },
    "numeric_gradient": {
        "forward difference, flat": """
def numeric_gradient(f, x, h=1e-5):
    flat = x.ravel()
    out = np.zeros(x.size)
    for i in range(x.size):
        e = np.zeros(x.size)
        e[i] = h
        out[i] = (f((flat + e).reshape(x.shape)) - f(x)) / h
    return out.reshape(x.shape)
""",
        "left flat": """
def numeric_gradient(f, x, h=1e-5):
    out = []
    for i in range(x.size):
        e = np.zeros(x.size)
        e[i] = h
        e = e.reshape(x.shape)
        out.append((f(x + e) - f(x - e)) / (2 * h))
    return np.array(out)
""",
        "one step for all": """
def numeric_gradient(f, x, h=1e-5):
    return (f(x + h) - f(x - h)) / (2 * h) * np.ones_like(x)
""",
    },
    "bce_with_logits": {
        "in p, not in y": """
def bce_with_logits(y, t):
    p = sigmoid(y)
    L = np.mean(np.maximum(y, 0) - y * t + np.log1p(np.exp(-np.abs(y))))
    dp = (-t / p + (1 - t) / (1 - p)) / y.size
    return L, dp
""",
        "the slope once too often": """
def bce_with_logits(y, t):
    p = sigmoid(y)
    L = np.mean(np.maximum(y, 0) - y * t + np.log1p(np.exp(-np.abs(y))))
    dy = (p - t) / y.size * p * (1 - p)
    return L, dy
""",
        "clipped": """
def bce_with_logits(y, t):
    p = np.clip(sigmoid(y), 1e-7, 1 - 1e-7)
    L = -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))
    return L, (p - t) / y.size
""",
    },
    "softmax_cross_entropy": {
        "one-hot of N": """
def softmax_cross_entropy(y, t):
    e = np.exp(y - y.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    one_hot = np.eye(len(y))[t]
    L = -(one_hot * np.log(p)).sum() / len(y)
    return L, (p - one_hot) / len(y)
""",
        "1 taken off everywhere": """
def softmax_cross_entropy(y, t):
    z = y - y.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    L = -logp[np.arange(len(t)), t].mean()
    return L, (np.exp(logp) - 1) / len(t)
""",
        "softmax over the batch": """
def softmax_cross_entropy(y, t):
    z = y - y.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    L = -logp[np.arange(len(t)), t].mean()
    p = np.exp(z) / np.exp(z).sum(axis=0)
    p[np.arange(len(t)), t] -= 1
    return L, p / len(t)
""",
    },
    "softmax_vjp": {
        "a Jacobian with a plus": """
def softmax_backward(dy, x):
    y = softmax(x)
    dx = np.zeros_like(x)
    for n in range(len(x)):
        J = np.diag(y[n]) + np.outer(y[n], y[n])
        dx[n] = J @ dy[n]
    return dx
""",
        "the mean taken off": """
def softmax_backward(dy, x):
    y = softmax(x)
    return y * (dy - dy.mean(axis=1, keepdims=True))
""",
        "softmax of dy": """
def softmax_backward(dy, x):
    y = softmax(dy)
    return y * (x - (x * y).sum(axis=1, keepdims=True))
""",
    },
    "dense_dw": {
        "a loop that overwrites": """
def dense_dw(dy, x, W, b):
    grad = np.zeros_like(W)
    for n in range(len(x)):
        grad = np.outer(dy[n], x[n])
    return grad
""",
        "letters the wrong way": """
def dense_dw(dy, x, W, b):
    return np.einsum("no,ni->io", dy, x)
""",
        "divided by all of dy": """
def dense_dw(dy, x, W, b):
    return np.einsum("no,ni->oi", dy, x) / dy.size
""",
    },
    "dense_dx_db": {
        "a loop that overwrites": """
def dense_dx(dy, x, W, b):
    out = np.zeros_like(x)
    for n in range(dy.shape[0]):
        for o in range(dy.shape[1]):
            out[n] = dy[n, o] * W[o]
    return out
""",
        "left transposed": """
def dense_dx(dy, x, W, b):
    return W.T @ dy.T
""",
        "db divided by the width": """
def dense_db(dy, x, W, b):
    return dy.sum(0) / x.shape[1]
""",
    },
    "relu": {
        "maximum of two": """
def leaky_relu_backward(dy, x):
    return np.maximum(dy, ALPHA * dy)
""",
        "alpha put in, dy lost": """
def leaky_relu_backward(dy, x):
    dx = dy.copy()
    dx[x <= 0] = ALPHA
    return dx
""",
        "mask of |x|": """
def relu_backward(dy, x):
    return dy * (np.abs(x) > 0)
""",
    },
    "sigmoid_tanh": {
        "y taken for x": """
def tanh_backward(dy, y):
    return dy / np.cosh(y) ** 2
""",
        "a sum for a product": """
def sigmoid_backward(dy, y):
    return dy + y * (1 - y)
""",
        "the root": """
def tanh_backward(dy, y):
    slope = np.sqrt(1 - y * y)
    return dy * slope
""",
    },
    "autoencoder": {
        "2 left out": """
def gradients(x, W, b, V, c):
    h, y = forward(x, W, b, V, c)
    e = (y - x) / y.size
    g = (e @ V) * (1 - h * h)
    return g.T @ x, g.sum(0), e.T @ h, e.sum(0)
""",
        "tanh of tanh": """
def gradients(x, W, b, V, c):
    h, y = forward(x, W, b, V, c)
    e = 2 * (y - x) / y.size
    g = (e @ V) * (1 - np.tanh(h) ** 2)
    return g.T @ x, g.sum(0), e.T @ h, e.sum(0)
""",
        "dW with the code": """
def gradients(x, W, b, V, c):
    h, y = forward(x, W, b, V, c)
    e = 2 * (y - x) / y.size
    g = (e @ V) * (1 - h * h)
    return (h.T @ e) * 1.0, g.sum(0), e.T @ h, e.sum(0)
""",
    },
    "tied_weights": {
        "decoder forgotten": """
def gradients(x, W, b, c):
    h, y = forward(x, W, b, c)
    e = 2 * (y - x) / y.size
    g = (e @ W.T) * (1 - h * h)
    return g.T @ x, g.sum(0), e.sum(0)
""",
        "encoder forgotten": """
def gradients(x, W, b, c):
    h, y = forward(x, W, b, c)
    e = 2 * (y - x) / y.size
    g = (e @ W.T) * (1 - h * h)
    return h.T @ e, g.sum(0), e.sum(0)
""",
        "halved": """
def gradients(x, W, b, c):
    h, y = forward(x, W, b, c)
    e = 2 * (y - x) / y.size
    g = (e @ W.T) * (1 - h * h)
    encoder, decoder = g.T @ x, h.T @ e
    return encoder + decoder / 2, g.sum(0), e.sum(0)
""",
        "the decoder's share through the slope": """
def gradients(x, W, b, c):
    h, y = forward(x, W, b, c)
    e = 2 * (y - x) / y.size
    g = e @ W.T
    both = g.T @ x + h.T @ e
    return both, g.sum(0), e.sum(0)
""",
        "two slips": """
def gradients(x, W, b, c):
    h, y = forward(x, W, b, c)
    e = (y - x) / y.size
    g = (e @ W.T) * (1 - h)
    return g.T @ x, g.sum(0), e.sum(0)
""",
        "the input in both": """
def gradients(x, W, b, c):
    h, y = forward(x, W, b, c)
    e = 2 * (y - x) / y.size
    g = (e @ W.T) * (1 - h * h)
    return g.T @ x + g.T @ y, g.sum(0), e.sum(0)
""",
        "subtracted": """
def gradients(x, W, b, c):
    h, y = forward(x, W, b, c)
    e = 2 * (y - x) / y.size
    g = (e @ W.T) * (1 - h * h)
    encoder, decoder = g.T @ x, h.T @ e
    return encoder - decoder, g.sum(0), e.sum(0)
""",
    },
    "penalties": {
        "0/0": """
def l1_penalty(z, weight):
    return weight * np.abs(z).sum() / len(z), weight * np.abs(z) / z / len(z)
""",
        "divided by all entries": """
def l1_penalty(z, weight):
    n = len(z)
    return weight * np.abs(z).sum() / n, weight * np.sign(z) / z.size
""",
        "L2 with |W|": """
def l2_penalty(W, weight):
    return weight / 2 * np.square(W).sum(), weight * np.abs(W)
""",
    },
    "dropout_denoising": {
        "x in backward": """
def dropout_backward(dy, x, m, p):
    return dy * x * m / (1 - p)
""",
        "the dropped ones": """
def dropout_backward(dy, x, m, p):
    return dy * (1 - m) / (1 - p)
""",
        "noise as the target": """
def denoising_gradients(x, eps, W, V):
    xn = x + eps
    h = np.tanh(xn @ W.T)
    out = h @ V.T
    d = 2 * (out - eps) / out.size
    return ((d @ V) * (1 - h * h)).T @ xn, d.T @ h
""",
    },
    "sparse_kl": {
        "divided by all entries": """
def kl_sparsity(z, rho, weight):
    q = z.mean(0)
    P = weight * np.sum(rho * np.log(rho / q) + (1 - rho) * np.log((1 - rho) / (1 - q)))
    grad = weight * ((1 - rho) / (1 - q) - rho / q)
    return P, np.tile(grad, (len(z), 1)) / z.size
""",
        "both plus": """
def kl_sparsity(z, rho, weight):
    q = z.mean(0)
    P = weight * np.sum(rho * np.log(rho / q) + (1 - rho) * np.log((1 - rho) / (1 - q)))
    grad = weight * ((1 - rho) / (1 - q) + rho / q) / len(z)
    return P, np.tile(grad, (len(z), 1))
""",
        "z for q in dz": """
def kl_sparsity(z, rho, weight):
    q = z.mean(0)
    P = weight * np.sum(rho * np.log(rho / q) + (1 - rho) * np.log((1 - rho) / (1 - q)))
    return P, weight * ((1 - rho) / (1 - z) - rho / z) / len(z)
""",
    },
    "contractive": {
        "h held": """
def contractive(x, W, b):
    h = sigmoid(x @ W.T + b)
    s2 = (h * (1 - h)) ** 2
    P = (s2 @ (W**2)).sum() / len(x)
    dW = 2 * W * s2.mean(axis=0)[:, None]
    return P, dW, np.zeros_like(b)
""",
        "1 - h for 1 - 2h": """
def contractive(x, W, b):
    h = sigmoid(x @ W.T + b)
    s = h * (1 - h)
    w = (W * W).sum(axis=1)
    P = (s * s * w).sum() / len(x)
    da = 2 * s * w * (1 - h) * s / len(x)
    return P, da.T @ x + 2 * (s * s).mean(axis=0)[:, None] * W, da.sum(axis=0)
""",
        "slope once": """
def contractive(x, W, b):
    h = sigmoid(x @ W.T + b)
    s = h * (1 - h)
    w = (W * W).sum(axis=1)
    P = (s * s * w).sum() / len(x)
    da = 2 * s * w * (1 - 2 * h) / len(x)
    return P, da.T @ x + 2 * (s * s).mean(axis=0)[:, None] * W, da.sum(axis=0)
""",
    },
    "batch_norm": {
        "the mean's path without 1/N": """
def batch_norm_backward(dy, x, gamma, beta):
    N = len(x)
    mu, var = x.mean(0), x.var(0)
    std = np.sqrt(var + EPS)
    xhat = (x - mu) / std
    dxhat = dy * gamma
    dvar = (dxhat * (x - mu) * -0.5 * (var + EPS) ** -1.5).sum(0)
    dmu = -(dxhat / std).sum(0)
    dx = dxhat / std + dvar * 2 * (x - mu) / N + dmu
    return dx, (dy * xhat).sum(0), dy.sum(0)
""",
        "the wrong exponent": """
def batch_norm_backward(dy, x, gamma, beta):
    N = len(x)
    mu, var = x.mean(0), x.var(0)
    std = np.sqrt(var + EPS)
    xhat = (x - mu) / std
    dxhat = dy * gamma
    dvar = (dxhat * (x - mu) * -0.5 * (var + EPS) ** -0.5).sum(0)
    dmu = -(dxhat / std).sum(0)
    dx = dxhat / std + dvar * 2 * (x - mu) / N + dmu / N
    return dx, (dy * xhat).sum(0), dy.sum(0)
""",
        "divided by N − 1": """
def batch_norm_backward(dy, x, gamma, beta):
    mu, std = x.mean(0), np.sqrt(x.var(0, ddof=1) + EPS)
    xhat = (x - mu) / std
    g = dy * gamma
    dx = (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std
    return dx, (dy * xhat).sum(0), dy.sum(0)
""",
    },
    "conv2d_dw_db": {
        "stride 1": """
def conv2d_dw(dy, x, W, b, stride):
    grad = np.zeros(W.shape)
    for a in range(W.shape[2]):
        for c in range(W.shape[3]):
            part = window(x, a, c, dy.shape[2], dy.shape[3], 1)
            grad[:, :, a, c] = np.einsum("nohw,nchw->oc", dy, part)
    return grad
""",
        "place by place, stride forgotten": """
def conv2d_dw(dy, x, W, b, stride):
    kh, kw = W.shape[2:]
    grad = np.zeros(W.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            patch = x[:, :, i : i + kh, j : j + kw]
            grad += np.einsum("no,ncuv->ocuv", dy[:, :, i, j], patch)
    return grad
""",
        "db keeps the wrong axis": """
def conv2d_db(dy, x, W, b, stride):
    return dy.sum(axis=(1, 2, 3))
""",
    },
    "conv2d_dx": {
        "place by place, stride forgotten": """
def conv2d_dx(dy, x, W, b, stride):
    kh, kw = W.shape[2:]
    dx = np.zeros_like(x)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            dx[:, :, i : i + kh, j : j + kw] += np.einsum("no,ocuv->ncuv", dy[:, :, i, j], W)
    return dx
""",
        "place by place, replaced": """
def conv2d_dx(dy, x, W, b, stride):
    kh, kw = W.shape[2:]
    dx = np.zeros_like(x)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            p, q = stride * i, stride * j
            dx[:, :, p : p + kh, q : q + kw] = np.einsum("no,ocuv->ncuv", dy[:, :, i, j], W)
    return dx
""",
        "stride as a number": """
def conv2d_dx(dy, x, W, b, stride):
    out = np.zeros_like(x)
    for u in range(W.shape[2]):
        for v in range(W.shape[3]):
            add = np.einsum("nohw,oc->nchw", dy, W[:, :, u, v])
            window(out, u, v, dy.shape[2], dy.shape[3], 1)[...] += add
    return out
""",
    },
    "conv_transpose": {
        "room for one more both ways": """
def conv_transpose2d(x, W, stride):
    height, width = x.shape[2:]
    kh, kw = W.shape[2:]
    y = np.zeros((len(x), W.shape[1], stride * height + kh, stride * width + kw))
    for u in range(kh):
        for v in range(kw):
            add = np.einsum("nchw,co->nohw", x, W[:, :, u, v])
            window(y, u, v, height, width, stride)[...] += add
    return y
""",
        "stride as a number": """
def conv_transpose2d(x, W, stride):
    height, width = x.shape[2:]
    kh, kw = W.shape[2:]
    y = np.zeros((len(x), W.shape[1], 2 * (height - 1) + kh, 2 * (width - 1) + kw))
    for u in range(kh):
        for v in range(kw):
            add = np.einsum("nchw,co->nohw", x, W[:, :, u, v])
            window(y, u, v, height, width, 2)[...] += add
    return y
""",
        "dx place by place, stride forgotten": """
def conv_transpose2d_dx(dy, x, W, stride):
    kh, kw = W.shape[2:]
    dx = np.zeros_like(x)
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            dx[:, :, i, j] = np.einsum("nouv,couv->nc", dy[:, :, i : i + kh, j : j + kw], W)
    return dx
""",
    },
    "pool_upsample": {
        "shared by equal ones": """
def max_pool_backward(dy, x):
    parts = windows(x)
    won = parts == parts.max(axis=-1, keepdims=True)
    return from_windows(won * dy[..., None] / won.sum(axis=-1, keepdims=True))
""",
        "four times one of four": """
def upsample_backward(dy, x):
    return 4 * dy[:, :, ::2, ::2]
""",
        "only the rows added": """
def upsample_backward(dy, x):
    n, c, h, w = dy.shape
    return dy.reshape(n, c, h // 2, 2, w // 2, 2).sum(axis=3)[..., 0]
""",
    },
    "reparameterisation": {
        "the ½ taken twice": """
def sample_backward(dz, mu, logvar, eps):
    sigma = np.exp(0.5 * logvar)
    return dz, 0.25 * dz * eps * sigma
""",
        "z for z − μ": """
def sample_backward(dz, mu, logvar, eps):
    z = mu + np.exp(0.5 * logvar) * eps
    return dz, 0.5 * dz * z
""",
        "s by the product rule": """
def sample_backward(dz, mu, logvar, eps):
    sigma = np.exp(0.5 * logvar)
    return dz, dz * eps * sigma * logvar / 2
""",
    },
    "vae_kl": {
        "a mean in dlogvar": """
def kl(mu, logvar, beta):
    v = np.exp(logvar)
    P = beta * 0.5 * np.sum(mu * mu + v - 1 - logvar) / mu.shape[0]
    return P, beta * mu / mu.shape[0], -0.5 * beta * (1 - v) / mu.size
""",
        "|μ|": """
def kl(mu, logvar, beta):
    v = np.exp(logvar)
    P = beta * 0.5 * np.sum(mu * mu + v - 1 - logvar) / mu.shape[0]
    return P, beta * np.abs(mu) / mu.shape[0], 0.5 * beta * (v - 1) / mu.shape[0]
""",
        "1/σ² for −1": """
def kl(mu, logvar, beta):
    v = np.exp(logvar)
    P = beta * 0.5 * np.sum(mu * mu + v - 1 - logvar) / mu.shape[0]
    return P, beta * mu / mu.shape[0], 0.5 * beta * (v - 1 / v) / mu.shape[0]
""",
    },
    "gan_generator": {
        "all of σ": """
def generator_loss(s):
    L = np.mean(np.maximum(-s, 0) + np.log1p(np.exp(-np.abs(s))))
    return L, -sigmoid(s) / len(s)
""",
        "(1 − x)²": """
def generator_gradients(z, A, a, w):
    x = generate(z, A, a)
    ds = generator_loss(x @ w)[1]
    g = np.outer(ds, w) * (1 - x) ** 2
    return g.T @ z, g.sum(0)
""",
        "tanh's slope forgotten": """
def generator_gradients(z, A, a, w):
    x = generate(z, A, a)
    ds = generator_loss(x @ w)[1]
    g = np.outer(ds, w)
    return g.T @ z, g.sum(0)
""",
    },
    "capstone": {
        "decode in other words": """
def decode_backward(dg, z, V1, c1):
    g = np.tanh(z @ V1.T + c1)
    dp = dg * (1 - g)
    return dp @ V1, dp.T @ z, dp.sum(0)
""",
        "dh of μ alone, in other words": """
def encode_backward(dy, x, W1, b1, Wm, bm, Ws, bs):
    K = dy.shape[1] // 2
    m, s = dy[:, :K], dy[:, K:]
    h = np.tanh(x @ W1.T + b1)
    da = (m @ Wm) * (1 - h * h)
    return da.T @ x, da.sum(0), m.T @ h, m.sum(0), s.T @ h, s.sum(0)
""",
        "the log-variance as the variance": """
def draw_backward(dz, mu, s, eps):
    sigma = np.sqrt(np.exp(s))
    return dz, dz * eps * sigma
""",
    },
    "silu": {
        "y over x": """
def silu_backward(dy, x):
    y = silu(x)
    return dy * (y + sigmoid(x)) * (1 - y)
""",
        "as a ReLU": """
def silu_backward(dy, x):
    return dy * (x > 0)
""",
        "β outside": """
def swish_backward(dy, x, beta):
    g = sigmoid(beta * x)
    d = g * (1 - g)
    return dy * (g + x * d), np.sum(dy * x * d)
""",
    },
    "embedding": {
        "a loop that overwrites": """
def embedding_backward(dy, k, E):
    out = np.zeros_like(E)
    for n in range(k.shape[0]):
        for t in range(k.shape[1]):
            out[k[n, t]] = dy[n, t]
    return out
""",
        "averaged over its places": """
def embedding_backward(dy, k, E):
    out = np.zeros_like(E)
    for w in range(len(E)):
        hit = dy[k == w]
        if len(hit):
            out[w] = hit.mean(axis=0)
    return out
""",
        "only the words in use": """
def embedding_backward(dy, k, E):
    words = np.unique(k)
    return np.stack([dy[k == w].sum(axis=0) for w in words])
""",
    },
    "layer_norm": {
        "γ and β like batch norm's": """
def layer_norm_backward(dy, x, gamma, beta):
    xhat, inv = normalise(x)
    g = dy * gamma
    dx = inv * (g - g.mean(axis=(0, 1)) - xhat * (g * xhat).mean(axis=(0, 1)))
    return dx, (dy * xhat).sum(axis=(0, 1)), dy.sum(axis=(0, 1))
""",
        "one mean for a sample": """
def layer_norm_backward(dy, x, gamma, beta):
    xhat, inv = normalise(x)
    g = dy * gamma
    m = g.mean(axis=(1, 2), keepdims=True)
    c = (g * xhat).mean(axis=(1, 2), keepdims=True)
    return inv * (g - m - xhat * c), (dy * xhat).sum(axis=(0, 1)), dy.sum(axis=(0, 1))
""",
        "the variance's path twice": """
def layer_norm_backward(dy, x, gamma, beta):
    xhat, inv = normalise(x)
    g = dy * gamma
    c = (g * xhat).mean(axis=-1, keepdims=True)
    dx = inv * (g - g.mean(axis=-1, keepdims=True) - 2 * xhat * c)
    return dx, (dy * xhat).sum(axis=(0, 1)), dy.sum(axis=(0, 1))
""",
    },
    "straight_through": {
        "dq through the table": """
def quantise_backward(dq, z, E, beta):
    k = nearest(z, E)
    dE = np.zeros_like(E)
    np.add.at(dE, k, dq + 2 * (E[k] - z) / z.size)
    return 2 * beta * (z - E[k]) / z.size, dE
""",
        "a code's mean": """
def quantise_backward(dq, z, E, beta):
    k = nearest(z, E)
    q = E[k]
    dE = np.zeros_like(E)
    for j in range(len(E)):
        if (k == j).any():
            dE[j] = (2 * (q - z)[k == j] / z.size).mean(axis=0)
    return dq + 2 * beta * (z - q) / z.size, dE
""",
        "β on the wrong term": """
def quantise_backward(dq, z, E, beta):
    k = nearest(z, E)
    d = 2 * (z - E[k]) / z.size
    dE = np.zeros_like(E)
    np.add.at(dE, k, -beta * d)
    return dq + d, dE
""",
    },
    "attention": {
        "the scale forgotten": """
def attention_backward(do, q, k, v):
    P = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
    dP = do @ v.swapaxes(-1, -2)
    dS = P * (dP - np.sum(dP * P, axis=-1, keepdims=True))
    return dS @ k, dS.swapaxes(-1, -2) @ q, P.swapaxes(-1, -2) @ do
""",
        "the scale by the wrong length": """
def attention_backward(do, q, k, v):
    s = 1 / np.sqrt(v.shape[-1])
    P = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
    dP = do @ v.swapaxes(-1, -2)
    dS = P * (dP - np.sum(dP * P, axis=-1, keepdims=True)) * s
    return dS @ k, dS.swapaxes(-1, -2) @ q, P.swapaxes(-1, -2) @ do
""",
        "a mean for the softmax's sum": """
def attention_backward(do, q, k, v):
    s = 1 / np.sqrt(q.shape[-1])
    P = softmax(q @ k.swapaxes(-1, -2) * s)
    dP = do @ v.swapaxes(-1, -2)
    dS = P * (dP - dP.mean(axis=-1, keepdims=True)) * s
    return dS @ k, dS.swapaxes(-1, -2) @ q, P.swapaxes(-1, -2) @ do
""",
        "P computed without the scale": """
def attention_backward(do, q, k, v):
    s = 1 / np.sqrt(q.shape[-1])
    P = softmax(q @ k.swapaxes(-1, -2))
    dP = do @ v.swapaxes(-1, -2)
    dS = P * (dP - np.sum(dP * P, axis=-1, keepdims=True)) * s
    return dS @ k, dS.swapaxes(-1, -2) @ q, P.swapaxes(-1, -2) @ do
""",
    },
    "gru_cell": {
        "the reset gate held": """
def gru_backward(dy, x, h, W, U, b):
    r, z, n, cn = gates(x, h, W, U, b)
    H = h.shape[1]
    g = np.zeros((len(x), 3 * H))
    g[:, H : 2 * H] = dy * (h - n) * z * (1 - z)
    g[:, 2 * H :] = dy * (1 - z) * (1 - n * n)
    gh = g.copy()
    gh[:, 2 * H :] *= r
    return g @ W, dy * z + gh @ U, g.T @ x, gh.T @ h, g.sum(0)
""",
        "one gradient for both cuts": """
def gru_backward(dy, x, h, W, U, b):
    r, z, n, cn = gates(x, h, W, U, b)
    dan = dy * (1 - z) * (1 - n * n)
    daz = dy * (h - n) * z * (1 - z)
    dar = dan * cn * r * (1 - r)
    g = np.concatenate([dar, daz, dan], axis=1)
    return g @ W, dy * z + g @ U, g.T @ x, g.T @ h, g.sum(0)
""",
        "z and 1 − z changed": """
def gru_backward(dy, x, h, W, U, b):
    r, z, n, cn = gates(x, h, W, U, b)
    dan = dy * z * (1 - n * n)
    daz = dy * (n - h) * z * (1 - z)
    dar = dan * cn * r * (1 - r)
    g = np.concatenate([dar, daz, dan], axis=1)
    gh = np.concatenate([dar, daz, dan * r], axis=1)
    return g @ W, dy * (1 - z) + gh @ U, g.T @ x, gh.T @ h, g.sum(0)
""",
    },
    "diffusion_weight": {
        "one a for all": """
def clean_loss(o, x, eps, a):
    a = a.mean()
    s = np.sqrt(1 - a * a)
    gap = (a * x + s * eps - a * o) / s - eps
    return np.mean(gap**2), -2 * a / s * gap / gap.size
""",
        "the weight put in twice": """
def clean_loss(o, x, eps, a):
    xt, a, s = noised(x, eps, a)
    w = a**2 / s**2
    L = np.mean(w * (o - x) ** 2)
    return L, 2 * w * w * (o - x) / o.size
""",
        "a mean over the features": """
def velocity_loss(o, x, eps, a):
    xt, a, s = noised(x, eps, a)
    v = a * eps - s * x
    return np.mean(a**2 * (o - v) ** 2), 2 * a**2 * (o - v) / o.shape[1]
""",
    },
    "gradient_penalty": {
        "h held": """
def gradient_penalty(x, W, b, v):
    h = np.tanh(x @ W.T + b)
    u = v * (1 - h * h)
    G = u @ W
    r = np.linalg.norm(G, axis=1)
    g = (2 * (r - 1) / r / len(x))[:, None] * G
    return np.mean((r - 1) ** 2), u.T @ g, np.zeros_like(b), ((g @ W.T) * (1 - h * h)).sum(0)
""",
        "tanh's slope once": """
def gradient_penalty(x, W, b, v):
    h = np.tanh(x @ W.T + b)
    u = v * (1 - h * h)
    G = u @ W
    r = np.linalg.norm(G, axis=1)
    g = (2 * (r - 1) / r / len(x))[:, None] * G
    d = g @ W.T
    da = d * v * -2 * h
    return np.mean((r - 1) ** 2), u.T @ g + da.T @ x, da.sum(0), (d * (1 - h * h)).sum(0)
""",
        "the norm's slope forgotten": """
def gradient_penalty(x, W, b, v):
    h = np.tanh(x @ W.T + b)
    u = v * (1 - h * h)
    G = u @ W
    r = np.linalg.norm(G, axis=1)
    g = (2 * (r - 1) / len(x))[:, None] * G
    d = g @ W.T
    da = d * v * -2 * h * (1 - h * h)
    return np.mean((r - 1) ** 2), u.T @ g + da.T @ x, da.sum(0), (d * (1 - h * h)).sum(0)
""",
    },
}
