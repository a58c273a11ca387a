"""A function resumed at a changed statement returns what the whole of it returns."""

import ast

import numpy as np
import pytest

from tinyae.gradcheck.doctor.hypotheses.edits import changes, locate, mistakes
from tinyae.gradcheck.doctor.hypotheses.evaluation import Opaque
from tinyae.gradcheck.doctor.hypotheses.resumed import NOTHING, Resumed
from tinyae.gradcheck.doctor.hypotheses.scope import Scopes
from tinyae.gradcheck.doctor.hypotheses.source import Program


def two_layers(dy, x, W):
    h = np.tanh(x @ W)
    d = dy * (1 - h**2)
    dx = d @ W.T
    dW = x.T @ d / len(x)
    return dx, dW


def changed_in_place(dy, x, W):
    h = x @ W
    d = dy * h
    d *= 2 * h
    d[0] = 0
    np.add.at(d, [0, 0], dy[1] - 1)
    return d @ W.T


def same_array_twice(dy, x, W):
    h = x @ W
    d = h
    d += dy * 2
    return h - d * 3


def view_written_to(dy, x, W):
    d = dy * (x @ W)
    t = d.T
    t[0] = 1 - 2 * t[1]
    return d - dy


def gradients_in_a_dict(dy, x, W):
    found = {}
    d = dy * 2 - 1
    found["x"] = d @ W.T
    found["W"] = x.T @ d
    return found


def doubled(a):
    a *= 2
    return a


def helper_that_writes(dy, x, W):
    d = dy * (x @ W)
    e = doubled(d) - 1
    return d * e


def loop_at_the_end(dy, x, W):
    d = dy * 2
    for k in range(3):
        d = d - k * dy
    return d @ W.T


FUNCTIONS = (
    two_layers,
    changed_in_place,
    same_array_twice,
    view_written_to,
    gradients_in_a_dict,
    helper_that_writes,
    loop_at_the_end,
)


def inputs():
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 3)), rng.normal(size=(5, 4)), rng.normal(size=(4, 3))


def equal(a, b):
    if a is NOTHING or b is NOTHING:
        return a is b
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(equal, a, b))
    return np.shape(a) == np.shape(b) and np.array_equal(a, b, equal_nan=True)


def compared(f):
    """How many changes of a function were resumed, and how many had to run as a whole."""
    program = Program(f, ())
    piece = program.pieces[0]
    variant, changed = program.variant(piece, piece.code)
    history = Scopes(lambda: variant(*inputs()), program.pieces, set()).history
    try:
        resumed = Resumed(history, changed.__globals__)
    except Opaque:
        return 0, 1
    done, whole = 0, 0
    with np.errstate(all="ignore"):
        for change in changes(piece.tree, mistakes):
            try:
                found = resumed.returned(resumed.key(change))
            except Opaque:
                whole += 1
                continue
            locate(change)
            changed.__code__ = piece.compiled()
            try:
                wanted = variant(*inputs())
            except Exception:
                wanted = NOTHING
            assert equal(found, wanted), f"{f.__name__}: {change}"
            done += 1
    return done, whole


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_it_returns_what_the_whole_function_returns(f):
    done, whole = compared(f)
    assert done + whole > 0


def test_what_has_no_loop_and_writes_nowhere_is_resumed_throughout():
    assert compared(two_layers)[1] == 0
    assert compared(gradients_in_a_dict)[0] > 4


def test_a_view_that_is_written_to_is_left_to_the_whole_function():
    assert compared(view_written_to)[0] == 0


def test_equal_changes_have_one_key_and_others_have_another():
    program = Program(two_layers, ())
    piece = program.pieces[0]
    variant, changed = program.variant(piece, piece.code)
    history = Scopes(lambda: variant(*inputs()), program.pieces, set()).history
    resumed = Resumed(history, changed.__globals__)
    texts = {}
    for _ in range(2):
        for change in changes(piece.tree, mistakes):
            text = ast.unparse(ast.fix_missing_locations(piece.tree))
            texts.setdefault(resumed.key(change), set()).add(text)
    assert len(texts) > 20
    assert all(len(same) == 1 for same in texts.values())
