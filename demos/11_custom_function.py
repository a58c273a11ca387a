"""Find the mistake in a custom function of PyTorch.

Who writes a ``torch.autograd.Function`` derives its backward by hand. ``torch.autograd.gradcheck``
compares the two by central differences,

    ∂L/∂xᵢ ≈ (L(x + h eᵢ) − L(x − h eᵢ)) / 2h,

and where they differ it prints both Jacobians. The gradient doctor starts from the same numbers and
says how they differ: it tries relations between the two, each at several draws and sizes, and then
repairs of the source, until one gives the right gradient everywhere.

Four functions, each with one mistake that is often made; both answers stand side by side. The
picture shows the error of every entry, its colour, and in each cell analytic / numeric: what the
wrong entries have in common is what the doctor names. A row that is wrong as a whole has a frame;
where the true gradient sums to zero along the rows, the sums of the given one stand beside them.

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
        ("Swish", Swish, {"x": x}, "σ′(x)"),
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


def gradients(torch, function, inputs, name, seed=0):
    """∂L/∂(the input of that name) for L = Σ r ∘ y, by the function's backward and by differences."""
    tensors = {k: torch.from_numpy(np.array(a)) for k, a in inputs.items()}
    tensors[name].requires_grad_()
    y = function.apply(*tensors.values())
    r = torch.from_numpy(np.random.default_rng(seed).normal(size=tuple(y.shape)))
    (y * r).sum().backward()

    def loss(moved):
        given = tensors | {name: torch.from_numpy(moved)}
        return float((function.apply(*given.values()) * r).sum())

    return tensors[name].grad.numpy(), ta.gradcheck.numeric_gradient(loss, inputs[name])


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
        pair = gradients(torch, function, inputs, diagnosis.wrong[0].removeprefix("d"))
        rows.append((f"{name}: {diagnosis.wrong[0]}", pair, theirs, f"{told.message}\n→ {told.do}"))
    draw(rows, Path(options.out))
    return numbers


def _indented(text):
    return "\n".join(f"    {line}" for line in text.splitlines())


def draw(rows, folder):
    """A row for each function: the errors of its entries, what PyTorch says, what the doctor says."""
    import textwrap

    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 2.9 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 3, width_ratios=(5, 4, 5))
    for (title, (a, n), theirs, ours), (left, middle, right) in zip(rows, axes):
        error_map(left, a, n)
        left.set_title(f"{title}, analytic / numeric", loc="left", fontsize=10, weight="bold")
        told = (
            (middle, "torch.autograd.gradcheck", theirs, 44, 11, 7),
            (right, "tinyae.gradcheck.diagnose", ours, 44, 11, 10),
        )
        for ax, who, text, width, most, size in told:
            ax.axis("off")
            ax.set_title(who, loc="left", fontsize=10, weight="bold")
            lines = [part for line in text.splitlines() for part in textwrap.wrap(line, width)]
            rest = len(lines) - most
            shown = lines[:most] + ([f"… and {rest} lines more"] if rest > 0 else [])
            ax.text(0, 1, "\n".join(shown), va="top", fontsize=size, family="monospace")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "custom_function.png"
    figure.savefig(path, dpi=110)
    print(f"picture: {path}")


def error_map(ax, a, n):
    """Colour: |analytic − numeric|, relative to the largest |numeric|. In a cell: their ratio."""
    from matplotlib.patches import Rectangle

    error = np.abs(a - n) / np.abs(n).max()
    ax.imshow(error, cmap="Reds", vmin=0, vmax=1, aspect="auto")
    wrong = error > 1e-6
    for i, j in np.ndindex(n.shape):
        text = "✓" if not wrong[i, j] else f"{a[i, j] / n[i, j]:.3g}" if n[i, j] else "·"
        colour = "white" if error[i, j] > 0.6 else "black"
        ax.text(j, i, text, ha="center", va="center", fontsize=9, color=colour)
    if not wrong.all():
        for i in np.flatnonzero(wrong.all(axis=1)):
            frame = Rectangle((-0.48, i - 0.46), n.shape[1] - 0.04, 0.92)
            frame.set(fill=False, edgecolor="tab:blue", linewidth=2)
            ax.add_patch(frame)
    if np.abs(n.sum(axis=1)).max() < 1e-6 * np.abs(n).sum():
        for i, total in enumerate(a.sum(axis=1)):
            ax.text(n.shape[1] - 0.4, i, f"Σ = {total:+.2f}, not 0", va="center", fontsize=9)
        ax.set_xlim(-0.5, n.shape[1] + 0.9)
    ax.set_xticks(range(n.shape[1]))
    ax.set_yticks(range(n.shape[0]))
    for side in ax.spines.values():
        side.set_visible(False)


if __name__ == "__main__":
    main()
