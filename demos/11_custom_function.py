"""Find the mistake in a custom function of PyTorch.

Who writes a ``torch.autograd.Function`` derives its backward by hand. ``torch.autograd.gradcheck``
compares the two by central differences,

    ∂L/∂xᵢ ≈ (L(x + h eᵢ) − L(x − h eᵢ)) / 2h,

and where they differ it prints both Jacobians. The gradient doctor starts from the same numbers and
says how they differ: it tries relations between the two, each at several draws and sizes, and then
repairs of the source, until one gives the right gradient everywhere.

Four functions, each with one mistake that is often made; both answers stand side by side. The
picture shows how many words each needs, and whether it names the mistake.

    python demos/11_custom_function.py      # a few seconds; needs PyTorch

Source: PyTorch's notes on extending torch.autograd.
"""

import argparse
from pathlib import Path

import numpy as np

import tinyae as ta

INSTALL = "demo 11 needs PyTorch, which is not installed: pip install torch"


def functions(torch):
    """Name, wrong Function, its inputs, and a word that an answer must contain to name the mistake."""

    class Swish(torch.autograd.Function):
        """y = x σ(x); the product rule is forgotten."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * torch.sigmoid(x)

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            s = torch.sigmoid(x)
            return dy * (s + s * (1 - s))

    class Linear(torch.autograd.Function):
        """y = x Wᵀ; the weights' gradient is averaged over the batch."""

        @staticmethod
        def forward(ctx, x, W):
            ctx.save_for_backward(x, W)
            return x @ W.T

        @staticmethod
        def backward(ctx, dy):
            x, W = ctx.saved_tensors
            return dy @ W, dy.T @ x / len(x)

    class Softmax(torch.autograd.Function):
        """y = softmax(x); only the Jacobian's diagonal is used."""

        @staticmethod
        def forward(ctx, x):
            y = torch.softmax(x, 1)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, dy):
            (y,) = ctx.saved_tensors
            return dy * y * (1 - y)

    class Lookup(torch.autograd.Function):
        """y = W[i]; a row that is read twice keeps the last gradient only."""

        @staticmethod
        def forward(ctx, W, i):
            ctx.save_for_backward(W, i)
            return W[i]

        @staticmethod
        def backward(ctx, dy):
            W, i = ctx.saved_tensors
            dW = torch.zeros_like(W)
            dW[i] = dy
            return dW, None

    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(5, 4)), rng.normal(size=(3, 4))
    rows = np.array([0, 2, 1, 2, 0])
    return (
        ("Swish", Swish, {"x": x}, "x"),
        ("Linear", Linear, {"x": x, "W": W}, "1/N"),
        ("Softmax", Softmax, {"x": x}, "sum"),
        ("Lookup", Lookup, {"W": W, "i": rows}, "add"),
    )


def pytorch_says(torch, function, inputs):
    """The message of torch.autograd.gradcheck."""
    tensors = [
        torch.from_numpy(np.array(a)).requires_grad_(a.dtype.kind == "f") for a in inputs.values()
    ]
    try:
        torch.autograd.gradcheck(function.apply, tensors)
    except RuntimeError as error:
        return str(error)
    return "no error"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="demo-out", help="folder for the picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="the same, it is quick already")
    options = parser.parse_args(argv)
    try:
        import torch
    except ImportError:
        print(INSTALL)
        return {}
    numbers, rows = {}, []
    for name, function, inputs, word in functions(torch):
        theirs = pytorch_says(torch, function, inputs)
        diagnosis = ta.gradcheck.diagnose(function, inputs, rng=options.seed)
        ours = str(diagnosis)
        print(f"--- {name}: {function.__doc__}\n")
        print(f"torch.autograd.gradcheck\n{_indented(theirs)}\n")
        print(f"tinyae.gradcheck.diagnose\n{_indented(ours)}\n")
        told = diagnosis.findings[0]
        named = word.lower() in f"{told.message} {told.do} {told.name}".lower()
        numbers[f"{name}: named"] = float(named)
        numbers[f"{name}: numbers shown by PyTorch"] = float(theirs.count("."))
        rows.append((name, theirs, told.message))
    draw(rows, Path(options.out))
    return numbers


def _indented(text):
    return "\n".join(f"    {line}" for line in text.splitlines())


def draw(rows, folder):
    """Both answers side by side, a row for each function."""
    import textwrap

    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.1 * len(rows)), layout="constrained")
    for k, (name, theirs, ours) in enumerate(rows):
        for column, (title, text, width) in enumerate(
            (("torch.autograd.gradcheck", theirs, 78), ("tinyae.gradcheck.diagnose", ours, 52))
        ):
            ax = figure.add_subplot(len(rows), 2, 2 * k + column + 1)
            ax.axis("off")
            ax.set_title(f"{name}: {title}", loc="left", fontsize=9, weight="bold")
            lines = [part for line in text.splitlines() for part in textwrap.wrap(line, width)]
            shown = lines[:9] + (["…"] if len(lines) > 9 else [])
            ax.text(0, 1, "\n".join(shown), va="top", fontsize=7, family="monospace")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "custom_function.png"
    figure.savefig(path, dpi=110)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
