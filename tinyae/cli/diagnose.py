"""``tinyae diagnose``: what is wrong with a backward pass in somebody's own file."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from tinyae.cli.arguments import add_verb, seed
from tinyae.cli.wording import done

_EXAMPLE = "tinyae diagnose net.py:affine,affine_backward --input x=5,7 --input W=3,7"
_INPUTS = """an input of the function, in its order, once for each:
x=5,7 normal numbers of this shape; y=int:5,10 five whole numbers below 10 (the last number is their
count); p=positive:5,7 numbers above 0; t=onehot:5,10 rows with a single 1; m=mask:5,7 zeros and ones;
n=value:2 a Python value, mode=value:'same' a mode"""


def add_parser(verbs: Any) -> None:
    parser = add_verb(verbs, "diagnose", run, _EXAMPLE)
    parser.add_argument(
        "subject",
        metavar="FILE:NAMES",
        help="net.py:f,f_backward for y = f(x, …) or y, cache = f(x, …) and its backward(dy, …); "
        "net.py:f for a function that returns a number and its gradients, or a custom Function of "
        "PyTorch or JAX",
    )
    parser.add_argument("--input", action="append", default=[], metavar="NAME=SHAPE", help=_INPUTS)
    parser.add_argument(
        "--wrt", metavar="NAMES", help="the inputs whose gradients backward returns, as x,W"
    )
    parser.add_argument(
        "--reference", metavar="NAME", help="a correct backward in the same file, to compare with"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of all randomness (default 0)")


def run(args: argparse.Namespace) -> int:
    """Say what is wrong with a backward pass in a file of one's own. The file is run, with all that
    it does when it is imported: name only a file that you trust.
    """
    from tinyae.gradcheck import diagnose

    file, names = _split(args.subject)
    rng = np.random.default_rng(args.seed)
    inputs = dict(_input(text, rng) for text in args.input)
    if len(inputs) < len(args.input):
        raise ValueError("diagnose: an --input is given twice; give each name once")
    if not inputs:
        raise ValueError("diagnose: no --input is given; add one for each argument, --input x=5,7")
    module = _loaded(file)
    subject, *backward = (_member(module, file, name) for name in names)
    more: dict[str, Any] = {"backward": backward[0]} if backward else {}
    if args.wrt:
        more["wrt"] = tuple(name.strip() for name in args.wrt.split(","))
    if args.reference:
        more["reference"] = _member(module, file, args.reference)
    diagnosis = diagnose(subject, inputs, rng=args.seed, **more)
    print(diagnosis)
    found = "every gradient is right" if diagnosis.ok else f"wrong: {', '.join(diagnosis.wrong)}"
    done("diagnose", found if diagnosis.ok or diagnosis.wrong else "something is wrong")
    return 0 if diagnosis.ok else 1


def _split(text: str) -> tuple[Path, list[str]]:
    """net.py:f,g → the path net.py and the names f and g."""
    file, colon, names = text.rpartition(":")
    found = [name.strip() for name in names.split(",")]
    if not colon or not all(name.isidentifier() for name in found) or len(found) > 2:
        raise ValueError(
            f"diagnose: {text!r} names no function; pass FILE:FUNCTION or FILE:FUNCTION,BACKWARD, "
            "as net.py:affine,affine_backward"
        )
    return Path(file), found


def _loaded(path: Path) -> Any:
    """The module that a file defines.

    Raises
        ValueError  it is no Python, or an error happens while it runs
        OSError     it cannot be read
    """
    source = path.read_bytes()
    try:
        code = compile(source, str(path), "exec")
    except (SyntaxError, ValueError) as error:  # a null byte is a ValueError
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"diagnose: {path}{line} is no Python: {what}; mend it first") from None
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"diagnose: {path} does not end in .py; pass a file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # custom functions of frameworks look their module up
    sys.path.insert(0, str(path.resolve().parent))  # for what lies beside it
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        line = _line_of(error, path)
        what = " ".join(str(error).split())
        raise ValueError(
            f"diagnose: {path}{line} stops with {type(error).__name__}"
            f"{f': {what}' if what else ''}; mend it, or put what it runs under "
            "`if __name__ == '__main__':`"
        ) from None
    finally:
        sys.path.pop(0)
    return module


def _line_of(error: BaseException, path: Path) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f", line {frames[-1].lineno}" if frames else ""


def _member(module: Any, file: Path, name: str) -> Any:
    found = getattr(module, name, None)
    if found is None or not callable(found):
        known = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        raise ValueError(
            f"diagnose: {file} defines no function {name}; it has {', '.join(known[:12]) or 'none'}"
        )
    return found


_KINDS = ("int", "positive", "onehot", "mask", "value")


def _input(text: str, rng: np.random.Generator) -> tuple[str, Any]:
    """The name and the value of one ``--input``."""
    name, equals, what = text.partition("=")
    kind, colon, rest = what.partition(":")
    if not equals or not name.isidentifier() or not what:
        raise ValueError(f"diagnose: --input {text} is no NAME=SHAPE; pass e.g. --input x=5,7")
    if not colon:
        return name, rng.normal(size=_shape(text, what))
    if kind not in _KINDS:
        raise ValueError(
            f"diagnose: --input {text} has the kind {kind!r}, expected one of {', '.join(_KINDS)}"
        )
    if kind == "value":
        try:
            return name, ast.literal_eval(rest)
        except (ValueError, SyntaxError):
            raise ValueError(
                f"diagnose: --input {text}: {rest} is no Python value; pass 2, 0.5, True or, for "
                f"text, {name}=value:\"'same'\""
            ) from None
    shape = _shape(text, rest)
    if kind == "positive":
        return name, rng.uniform(0.1, 2.0, shape)
    if kind == "mask":
        return name, (rng.random(shape) < 0.6).astype(float)
    if kind == "int" and len(shape) < 2:
        raise ValueError(
            f"diagnose: --input {text} says how many there are or below what, not both; pass "
            f"{name}=int:5,10 for five whole numbers below 10"
        )
    labels = rng.integers(0, shape[-1], shape[:-1])
    return name, labels if kind == "int" else np.eye(shape[-1])[labels]


def _shape(text: str, lengths: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(n) for n in lengths.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1 or np.prod(shape, dtype=float) > 1e6:
        raise ValueError(
            f"diagnose: --input {text} has no shape of whole numbers ≥ 1 with at most a million "
            "entries; pass e.g. x=5,7"
        )
    return shape
