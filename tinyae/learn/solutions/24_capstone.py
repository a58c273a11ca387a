"""24 · The capstone: a variational autoencoder with five mistakes

    encode           h = tanh(x W1ᵀ + b1)   μ = h Wmᵀ + bm   s = h Wsᵀ + bs      (s = ln σ²)
    draw             z = μ + e^(s/2) ε
    decode           g = tanh(z V1ᵀ + c1)
    output           l = g V2ᵀ + c2                            the logits of x
    reconstruction   R = 1/N Σₙ Σ_d BCE(l_nd, x_nd)            summed over features, nats a sample
    divergence       K = 1/N Σₙ Σₖ ½ (μₙₖ² + e^sₙₖ − 1 − sₙₖ)
    loss             L = R + K

    x (N, D) in [0, 1]   h (N, H)   μ, s, ε, z (N, K)   g (N, H)   l (N, D)

Find   Each of the six parts has a function and its backward. Five of the six backward functions
       have one wrong line each. All else is right: the functions themselves, and gradients(…), which
       puts everything together.

How    Run this file. It shows each part to the doctor, from the end of the network to its
       beginning, and stops at the first that is wrong:

           python tinyae_learn/24_capstone.py

       It says which gradients are wrong, which are right, and of what kind the mistake is. The
       line it keeps to itself, for you to find: it is one that only the wrong gradients pass
       through. Say why it is wrong before you mend it. `tinyae learn check 24 --more` names the
       line, and never what belongs there.

Why    This is what the work is like. Nobody writes backward passes without a slip, and none of
       these five would have stopped the network from learning: it would have learnt worse, and
       nobody would have known. And this is how a long one is mended: not as a whole, where every
       mistake spoils all gradients before it, but in parts, each with a dy of its own.

See    tinyae/models/variational.py, VariationalAutoencoder: the library's own, for afterwards
"""

import numpy as np


def sigmoid(y):
    """σ(y) at any y"""
    e = np.exp(-np.abs(y))
    return np.where(y >= 0, 1, e) / (1 + e)


def encode(x, W1, b1, Wm, bm, Ws, bs):
    """μ and s side by side, (N, 2K)"""
    h = np.tanh(x @ W1.T + b1)
    return np.hstack([h @ Wm.T + bm, h @ Ws.T + bs])


def encode_backward(dy, x, W1, b1, Wm, bm, Ws, bs):
    """dW1, db1, dWm, dbm, dWs, dbs, from dy: dμ and ds side by side"""
    h = np.tanh(x @ W1.T + b1)
    dmu, ds = np.hsplit(dy, 2)
    dWm, dbm = dmu.T @ h, dmu.sum(axis=0)
    dWs, dbs = ds.T @ h, ds.sum(axis=0)
    dh = dmu @ Wm + ds @ Ws
    da = dh * (1 - h**2)
    dW1, db1 = da.T @ x, da.sum(axis=0)
    return dW1, db1, dWm, dbm, dWs, dbs


def draw(mu, s, eps):
    """z (N, K)"""
    return mu + np.exp(s / 2) * eps


def draw_backward(dz, mu, s, eps):
    """dμ, ds"""
    dmu = dz
    ds = dz * eps * np.exp(s / 2) / 2
    return dmu, ds


def decode(z, V1, c1):
    """g (N, H)"""
    return np.tanh(z @ V1.T + c1)


def decode_backward(dg, z, V1, c1):
    """dz, dV1, dc1"""
    p = z @ V1.T + c1
    g = np.tanh(p)
    dp = dg * (1 - g**2)
    dV1, dc1 = dp.T @ z, dp.sum(axis=0)
    dz = dp @ V1
    return dz, dV1, dc1


def output(g, V2, c2):
    """l (N, D)"""
    return g @ V2.T + c2


def output_backward(dl, g, V2, c2):
    """dg, dV2, dc2"""
    dV2, dc2 = dl.T @ g, dl.sum(axis=0)
    dg = dl @ V2
    return dg, dV2, dc2


def reconstruction(l, x):
    """R, a number"""
    return (np.maximum(l, 0) - l * x + np.log1p(np.exp(-np.abs(l)))).sum() / len(x)


def reconstruction_backward(l, x):
    """dl"""
    dl = (sigmoid(l) - x) / len(x)
    return dl


def divergence(mu, s):
    """K, a number"""
    return 0.5 * (mu**2 + np.exp(s) - 1 - s).sum() / len(mu)


def divergence_backward(mu, s):
    """dμ, ds"""
    dmu = mu / len(mu)
    ds = 0.5 * (np.exp(s) - 1) / len(mu)
    return dmu, ds


def loss(x, eps, W1, b1, Wm, bm, Ws, bs, V1, c1, V2, c2):
    """L, a number"""
    mu, s = np.hsplit(encode(x, W1, b1, Wm, bm, Ws, bs), 2)
    l = output(decode(draw(mu, s, eps), V1, c1), V2, c2)
    return reconstruction(l, x) + divergence(mu, s)


def gradients(x, eps, W1, b1, Wm, bm, Ws, bs, V1, c1, V2, c2):
    """dW1, db1, dWm, dbm, dWs, dbs, dV1, dc1, dV2, dc2"""
    mu, s = np.hsplit(encode(x, W1, b1, Wm, bm, Ws, bs), 2)
    z = draw(mu, s, eps)
    g = decode(z, V1, c1)
    l = output(g, V2, c2)

    dl = reconstruction_backward(l, x)
    dg, dV2, dc2 = output_backward(dl, g, V2, c2)
    dz, dV1, dc1 = decode_backward(dg, z, V1, c1)
    dmu, ds = draw_backward(dz, mu, s, eps)
    dmu_too, ds_too = divergence_backward(mu, s)  # μ and s are used twice
    dy = np.hstack([dmu + dmu_too, ds + ds_too])
    return *encode_backward(dy, x, W1, b1, Wm, bm, Ws, bs), dV1, dc1, dV2, dc2


def example(N=7, D=5, H=3, K=2):
    """Random inputs of all functions, by name"""
    rng = np.random.default_rng(0)
    shapes = {
        "eps": (N, K),
        "W1": (H, D),
        "b1": (H,),
        "Wm": (K, H),
        "bm": (K,),
        "Ws": (K, H),
        "bs": (K,),
        "V1": (H, K),
        "c1": (H,),
        "V2": (D, H),
        "c2": (D,),
        "mu": (N, K),
        "s": (N, K),
        "z": (N, K),
        "g": (N, H),
        "l": (N, D),
    }
    inputs = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    return inputs | {"x": rng.uniform(size=(N, D))}


def named(*inputs):
    """What the doctor may look for in the gradients of decode"""
    z, V1, c1 = inputs
    p = z @ V1.T + c1
    return {"p": p, "g": np.tanh(p)}


# From the end to the beginning: a part, its backward, what it takes, whether a dy comes from above
PARTS = (
    (reconstruction, reconstruction_backward, "l x", False),
    (divergence, divergence_backward, "mu s", False),
    (output, output_backward, "g V2 c2", True),
    (decode, decode_backward, "z V1 c1", True),
    (draw, draw_backward, "mu s eps", True),
    (encode, encode_backward, "x W1 b1 Wm bm Ws bs", True),
)
WITHOUT = ("x", "eps")  # data and noise: no gradient is asked for

if __name__ == "__main__":
    from tinyae.gradcheck import diagnose

    for f, backward, names, upstream in PARTS:
        inputs = {name: example()[name] for name in names.split()}
        wrt = tuple(name for name in inputs if name not in WITHOUT)
        tensors = named if f is decode else None
        diagnosis = diagnose(
            f, inputs, backward=backward, wrt=wrt, upstream=upstream, tensors=tensors
        )
        wrong, right = ", ".join(diagnosis.wrong), ", ".join(diagnosis.right)
        print(f"{backward.__name__}:", f"wrong: {wrong}" if wrong else "right")
        if not diagnosis.ok:
            print(f"  right: {right or 'none'}\n  {diagnosis.hint(1)}")
            break
