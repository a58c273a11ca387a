"""What ``tinyae explain`` does with a saved model, or with an example of a layer or a model.

Its options are in :mod:`tinyae.cli.explain`.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from tinyae import catalog, data, files, io
from tinyae.explanation.walk import explain
from tinyae.layers import Layer, Skip
from tinyae.models import Autoencoder, Model, VariationalAutoencoder


def run(args: argparse.Namespace) -> str:
    """Print the explanation, or write it to a file; returns a line that says what was done."""
    source = None if args.data in data.DATASETS else args.data
    files.check_outputs("explain", {"--latex": args.latex}, {"model": args.model, "--data": source})
    if args.layer == "list":
        print("\n".join(_examples()))
        return f"{len(_examples())} examples"
    if (args.model is None) == (args.layer is None):
        raise ValueError(
            "explain: expected a model's file or --layer NAME, one of them; "
            "pass e.g. --layer Dense, or `--layer list` for the names"
        )
    if args.rows < 1:
        raise ValueError(f"explain: --rows is {args.rows}, expected ≥ 1; pass e.g. --rows 4")
    if args.layer is not None:
        if args.data is not None:
            raise ValueError("explain: --data is for a saved model; an example draws its own x")
        subject, x = _example(args.layer, args.seed)
    else:
        subject, x = _saved(args)
    explanation = explain(subject, x, args.seed)
    if args.latex is None:
        print(explanation)
        return repr(explanation)
    files.write_text("explain", args.latex, explanation.latex())
    return f"{args.latex}: {explanation!r}; `pdflatex {args.latex}` makes a page of it"


def _examples() -> dict[str, Any]:
    """The rows of the catalog that can be explained, by name."""
    rows: list[Any] = [*catalog.LAYERS, *catalog.MODELS]
    return {row.name: row for row in rows}


def _example(name: str, seed: int) -> tuple[Any, Any]:
    found = {key.lower(): row for key, row in _examples().items()}
    row = found.get(name.lower())
    if row is None:
        raise ValueError(f"explain: there is no example {name!r}; one of: {', '.join(_examples())}")
    rng = np.random.default_rng(seed)

    def integers(low: int, high: int) -> int:
        return min(max(low, 2), high) if high <= 2 else int(rng.integers(max(low, 2), high + 1))

    return row.draw(integers, rng)


def _saved(args: argparse.Namespace) -> tuple[Any, Any]:
    subject: Any = io.load(args.model)
    if not isinstance(subject, (Layer, Model)):
        raise ValueError(
            f"explain: {args.model} holds a {type(subject).__name__}, expected a layer or a model; "
            "of a stack, save one block or stack.unroll()"
        )
    if args.data is None:
        if not isinstance(subject, (Autoencoder, VariationalAutoencoder)) or hasattr(
            subject, "classes"
        ):
            raise ValueError(f"explain: {args.model} needs samples to be given; pass --data NAME")
        shape = _shape(subject)
        x = np.random.default_rng(args.seed).uniform(size=(args.rows, *shape))
        return subject, x.astype(np.float32)
    dataset = data.load(args.data)
    x, labels = np.asarray(dataset.x_test[: args.rows]), dataset.y_test
    if hasattr(subject, "classes") or type(subject).__name__ == "Classifier":
        if labels is None:
            raise ValueError(
                f"explain: {args.model} learns from labels and {args.data} has none; "
                "pass data with labels"
            )
        return subject, (x, np.asarray(labels[: args.rows]).astype(int))
    return subject, x


def _shape(subject: Any) -> tuple[int, ...]:
    """A sample's shape: what the decoder makes of a code.

    Raises
        ValueError  that cannot be told from the model
    """
    first: Any = subject.decoder
    while getattr(first, "layers", None) or isinstance(first, Skip):
        first = first.layer if isinstance(first, Skip) else first.layers[0]
    width = getattr(first, "in_features", None) or getattr(
        getattr(first, "dense", None), "out_features", None
    )
    if width is None:
        raise ValueError("explain: the decoder does not say how wide a code is; pass --data NAME")
    return subject.decode(np.zeros((1, width), np.float32)).shape[1:]
