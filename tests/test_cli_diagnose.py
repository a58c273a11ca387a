"""``tinyae diagnose``: a file of homework is run, and its backward pass examined."""

import pytest

from tinyae.cli import main

NET = """
import numpy as np

SCALE = 2.0


def affine(x, W):
    return x @ W.T


def affine_backward(dy, x, W):
    return dy @ W, dy.T @ x / len(x)


def affine_right(dy, x, W):
    return dy @ W, dy.T @ x


def loss(z, y):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(z))
    L = -np.log(p[rows, y]).mean()
    p[rows, y] -= 1
    return L, p / len(z)


def scaled(x, how):
    return x * (2.0 if how == "twice" else 1.0)


def scaled_backward(dy, x, how):
    return dy * (2.0 if how == "twice" else 1.0)
"""
SHAPES = ["--input", "x=5,7", "--input", "W=3,7"]


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(NET, encoding="utf-8")
    return path


def test_a_wrong_backward_is_named_with_its_line(net, capsys):
    assert main(["diagnose", f"{net}:affine,affine_backward", *SHAPES]) == 1
    out = capsys.readouterr().out
    assert "dW is 1/N" in out
    assert "write      return (dy @ W, dy.T @ x)" in out


def test_a_right_one_passes(net, capsys):
    assert main(["diagnose", f"{net}:affine,affine_right", *SHAPES]) == 0
    assert "every gradient is right" in capsys.readouterr().out


def test_a_loss_with_labels_and_its_gradient_in_one(net):
    inputs = ["--input", "z=5,4", "--input", "y=int:5,4"]
    assert main(["diagnose", f"{net}:loss", *inputs]) == 0


def test_a_mode_among_the_inputs(net):
    inputs = ["--input", "x=5,4", "--input", "how=value:'twice'"]
    assert main(["diagnose", f"{net}:scaled,scaled_backward", *inputs]) == 0


@pytest.mark.parametrize("kind", ["positive:5,7", "onehot:5,7", "mask:5,7"])
def test_kinds_of_inputs(net, kind):
    inputs = ["--input", f"x={kind}", "--input", "W=3,7", "--wrt", "x,W"]
    assert main(["diagnose", f"{net}:affine,affine_right", *inputs]) == 0


def test_a_reference_in_the_same_file(net, capsys):
    more = ["--reference", "affine_right"]
    assert main(["diagnose", f"{net}:affine,affine_backward", *SHAPES, *more]) == 1
    assert "dW" in capsys.readouterr().out


BROKEN = {
    "def f(x:\n    return x": ("line 1", "is no Python"),
    "import numpy\n\n1 / 0": ("line 3", "ZeroDivisionError"),
    "import no_such_module_here": ("line 1", "ModuleNotFoundError"),
    "import sys\nsys.exit(3)": ("line 2", "SystemExit"),
    "x = 1\0": ("is no Python",),
    "def g(x): return x": ("defines no function f", "it has g"),
    "f = 3": ("defines no function f",),
}


@pytest.mark.parametrize("source", BROKEN)
def test_a_broken_file_is_told_without_a_traceback(tmp_path, capsys, source):
    path = tmp_path / "broken.py"
    path.write_text(source, encoding="utf-8")
    assert main(["diagnose", f"{path}:f,f", "--input", "x=3,2"]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert all(part in said for part in BROKEN[source]), said


CALLS = {
    ("net.py", "x=5,7"): "names no function",
    ("net.py:affine,", "x=5,7"): "names no function",
    ("no.py:f,g", "x=5,7"): "no.py",
    ("NET:affine,affine_right", ""): "no --input",
    ("NET:affine,affine_right", "x"): "no NAME=SHAPE",
    ("NET:affine,affine_right", "x=5,seven"): "no shape",
    ("NET:affine,affine_right", "x=0,7"): "no shape",
    ("NET:affine,affine_right", "x=int:5"): "x=int:5,10",
    ("NET:affine,affine_right", "x=odd:5,7"): "the kind 'odd'",
    ("NET:affine,affine_right", "x=value:same"): "no Python value",
    ("NET:affine", "x=5,7 W=3,7"): "without a backward",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_call_says_what_to_pass(net, capsys, call):
    subject, given = call
    argv = [
        "diagnose",
        subject.replace("NET", str(net)),
        *(part for text in given.split() for part in ("--input", text)),
    ]
    assert main(argv) == 2
    assert CALLS[call] in capsys.readouterr().err


def test_an_input_given_twice(net, capsys):
    argv = ["diagnose", f"{net}:affine,affine_right", "--input", "x=5,7", "--input", "x=5,7"]
    assert main(argv) == 2
    assert "twice" in capsys.readouterr().err


def test_the_help_says_that_the_file_is_run(capsys):
    with pytest.raises(SystemExit):
        main(["diagnose", "--help"])
    assert "only a file that you trust" in " ".join(capsys.readouterr().out.split())
