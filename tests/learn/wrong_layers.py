"""Typical wrong answers to the exercises on layers, as edits (old, new, …) of the solutions."""

WRONG = {
    "sigmoid_tanh": {
        "sigmoid taken again": (
            "return dy * y * (1 - y)",
            "s = sigmoid(y)\n    return dy * s * (1 - s)",
        ),
        "tanh taken again": ("dy * (1 - y**2)", "dy * (1 - tanh(y) ** 2)"),
        "y lost": ("dy * y * (1 - y)", "dy * (1 - y)"),
        "1 - y lost": ("dy * y * (1 - y)", "dy * y"),
        "no square": ("1 - y**2", "1 - y"),
        "sigmoid's slope for tanh": ("dy * (1 - y**2)", "dy * y * (1 - y)"),
        "plus": ("1 - y**2", "1 + y**2"),
        "dy forgotten": ("dy * y * (1 - y)", "y * (1 - y)"),
        "dy in the slope": ("1 - y**2", "1 - dy**2"),
    },
    "dropout_denoising": {
        "no rescaling forward": ("return x * m / (1 - p)", "return x * m"),
        "divided by p": ("return x * m / (1 - p)", "return x * m / p"),
        "multiplied by 1 - p": ("return x * m / (1 - p)", "return x * m * (1 - p)"),
        "no rescaling backward": ("return dy * m / (1 - p)", "return dy * m"),
        "mask lost backward": ("return dy * m / (1 - p)", "return dy / (1 - p)"),
        "mask drawn anew": (
            "import numpy as np\n",
            "import numpy as np\n\nRNG = np.random.default_rng(1)\n",
            "return dy * m / (1 - p)",
            "m = RNG.uniform(size=x.shape) > p\n    return dy * m / (1 - p)",
        ),
        "the noisy x as target": ("dy = 2 * (y - x) / y.size", "dy = 2 * (y - noisy) / y.size"),
        "the clean x in dW": ("dW = da.T @ noisy", "dW = da.T @ x"),
        "the clean x encoded": (
            "h = np.tanh(noisy @ W.T)\n    y = h @ V.T\n    dy",
            "h = np.tanh(x @ W.T)\n    y = h @ V.T\n    dy",
        ),
        "noise added twice": ("noisy = x + eps", "noisy = x + 2 * eps"),
        "no activation": ("(dy @ V) * (1 - h**2)", "dy @ V"),
        "x written into": ("noisy = x + eps", "x += eps\n    noisy = x"),
    },
    "batch_norm": {
        "only the direct path": (
            "inverse * (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0))",
            "inverse * g",
        ),
        "path through the variance lost": (" - xhat * (g * xhat).mean(axis=0)", ""),
        "path through the mean lost": (" - g.mean(axis=0)", ""),
        "gamma lost": ("g = gamma * dy", "g = dy"),
        "means over the features": (
            "g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)",
            "g.mean(axis=1, keepdims=True) - xhat * (g * xhat).mean(axis=1, keepdims=True)",
        ),
        "sums for means": (
            "g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)",
            "g.sum(axis=0) - xhat * (g * xhat).sum(axis=0)",
        ),
        "1/√ lost": ("dx = inverse * (", "dx = ("),
        "dgamma with x": ("(dy * xhat).sum(axis=0)", "(dy * x).sum(axis=0)"),
        "dgamma without xhat": ("(dy * xhat).sum(axis=0)", "dy.sum(axis=0)"),
        "dgamma and dbeta swapped": ("return dx, dgamma, dbeta", "return dx, dbeta, dgamma"),
        "dbeta a mean": ("dbeta = dy.sum(axis=0)", "dbeta = dy.mean(axis=0)"),
        "N − 1 in a mean": ("g.mean(axis=0) -", "g.sum(axis=0) / (len(g) - 1) -"),
    },
    "conv2d_dw_db": {
        "kernel flipped": (
            "dW[:, :, u, v] = ",
            "dW[:, :, W.shape[2] - 1 - u, W.shape[3] - 1 - v] = ",
        ),
        "u and v swapped": (
            "window(x, u, v, height, width, stride)\n            dW",
            "window(x, v, u, height, width, stride)\n            dW",
        ),
        "stride forgotten": (
            "window(x, u, v, height, width, stride)\n            dW",
            "window(x, u, v, height, width, 1)\n            dW",
        ),
        "mean over the batch": (
            'np.einsum("nohw,nchw->oc", dy, seen)',
            'np.einsum("nohw,nchw->oc", dy, seen) / len(x)',
        ),
        "only the last sample": (
            'np.einsum("nohw,nchw->oc", dy, seen)',
            'np.einsum("ohw,chw->oc", dy[-1], seen[-1])',
        ),
        "window off by one": ("seen = window(x, u, v,", "seen = window(x, u, max(v - 1, 0),"),
        "last column of dy left out": (
            'np.einsum("nohw,nchw->oc", dy, seen)',
            'np.einsum("nohw,nchw->oc", dy[..., :-1], seen[..., :-1])',
        ),
        "db over the batch only": ("dy.sum(axis=(0, 2, 3))", "dy.sum(axis=0)"),
        "db without the batch": ("dy.sum(axis=(0, 2, 3))", "dy[0].sum(axis=(1, 2))"),
        "db a mean": ("dy.sum(axis=(0, 2, 3))", "dy.mean(axis=(0, 2, 3))"),
        "db mean over places": ("dy.sum(axis=(0, 2, 3))", "dy.sum(axis=0).mean(axis=(1, 2))"),
        "channels mixed up": (
            'np.einsum("nohw,nchw->oc", dy, seen)',
            'np.einsum("nohw,nchw->o", dy, seen)[:, None]',
        ),
    },
    "conv2d_dx": {
        "= for +=": ("[...] += given", "[...] = given"),
        "kernel flipped": (
            "dy, W[:, :, u, v])\n            window",
            "dy, W[:, :, ::-1, ::-1][:, :, u, v])\n            window",
        ),
        "stride forgotten": (
            "window(dx, u, v, height, width, stride)",
            "window(dx, u, v, height, width, 1)",
        ),
        "only the first tap": (
            "for u in range(W.shape[2]):\n        for v in range(W.shape[3]):\n            given",
            "for u in range(1):\n        for v in range(1):\n            given",
        ),
        "u and v swapped": ("window(dx, u, v,", "window(dx, v, u,"),
        "offset by one": (
            "window(dx, u, v, height, width, stride)[...] += given",
            "window(np.roll(dx, 1, axis=3), u, v, height, width, stride)[...] += given",
        ),
        "last column left out": (
            "window(dx, u, v, height, width, stride)[...] += given",
            "window(dx, u, v, height, width - 1, stride)[...] += given[..., :-1]",
        ),
        "channels summed": (
            'np.einsum("nohw,oc->nchw", dy, W[:, :, u, v])\n            window(dx',
            'np.einsum("nohw,oc->nhw", dy, W[:, :, u, v])[:, None]\n            window(dx',
        ),
        "divided by the taps": ("return dx", "return dx / (W.shape[2] * W.shape[3])"),
        "divided by N": ("return dx", "return dx / len(x)"),
        "result lost": (
            "window(dx, u, v, height, width, stride)[...] += given",
            "dx_window = window(dx, u, v, height, width, stride) + given",
        ),
    },
    "conv_transpose": {
        "= for +=": (
            "window(y, u, v, height, width, stride)[...] += laid",
            "window(y, u, v, height, width, stride)[...] = laid",
        ),
        "kernel flipped": ("window(y, u, v, height", "window(y, kh - 1 - u, kw - 1 - v, height"),
        "stride forgotten": (
            "window(y, u, v, height, width, stride)",
            "window(y, u, v, height, width, 1)",
        ),
        "size without stride": (
            "stride * (height - 1) + kh, stride * (width - 1) + kw",
            "height + kh - 1, width + kw - 1",
        ),
        "room for one more": ("stride * (height - 1) + kh,", "stride * height + kh,"),
        "channels mixed up in dx": (
            'np.einsum("nohw,co->nchw", seen, W[:, :, u, v])',
            'np.einsum("nohw,co->nhw", seen, W[:, :, u, v])[:, None]',
        ),
        "dx flipped": (
            "seen = window(dy, u, v,",
            "seen = window(dy, W.shape[2] - 1 - u, W.shape[3] - 1 - v,",
        ),
        "dx of the last tap": ("dx += np.einsum", "dx = np.einsum"),
        "dx with stride 1": (
            "seen = window(dy, u, v, height, width, stride)",
            "seen = window(dy, u, v, height, width, 1)",
        ),
        "dx scatters again": (
            "    return dx",
            "    return conv_transpose2d(dy, W.swapaxes(0, 1), stride)",
        ),
        "dx divided by N": ("    return dx", "    return dx / len(x)"),
    },
    "pool_upsample": {
        "all that are equal": (
            "    won = np.arange(4) == first\n",
            "    won = parts == parts.max(axis=-1, keepdims=True)\n",
        ),
        "shared by all four": ("won * dy[..., None]", "0.25 * (won + ~won) * dy[..., None]"),
        "to all four": ("won * dy[..., None]", "(won | True) * dy[..., None]"),
        "the minimum": ("parts.argmax", "parts.argmin"),
        "times x": ("won * dy[..., None]", "won * parts * dy[..., None]"),
        "the last of equal ones": (
            "parts.argmax(axis=-1)[..., None]",
            "3 - parts[..., ::-1].argmax(axis=-1)[..., None]",
        ),
        "dy lost": ("won * dy[..., None]", "1.0 * won"),
        "upsample: mean of four": ("windows(dy).sum(axis=-1)", "windows(dy).mean(axis=-1)"),
        "upsample: every second": ("windows(dy).sum(axis=-1)", "dy[:, :, ::2, ::2]"),
        "upsample: max of four": ("windows(dy).sum(axis=-1)", "windows(dy).max(axis=-1)"),
        "upsample: upsampled again": ("windows(dy).sum(axis=-1)", "upsample(dy)"),
        "windows not in reading order": (
            "x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5)",
            "x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 5, 3)",
        ),
    },
}
