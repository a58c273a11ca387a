"""``explain``: what it says happened did happen, its origins are true, its LaTeX is well formed."""

import argparse
import re
import shutil
import subprocess
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import catalog
from tinyae.cli import explain as verb
from tinyae.explanation import explain
from tinyae.explanation.docstring_sections import parse, sections, summary
from tinyae.explanation.mathematics import mathematics, names_in, prose
from tinyae.explanation.record import Recorder
from tinyae.explanation.symbols import COMMANDS, GREEK
from tinyae.explanation.tex import matrix, number
from tinyae.gradcheck.replay import as_double
from tinyae.models.gan import Player
from tinyae.param import unique


@pytest.fixture(scope="module", autouse=True)
def plain_kernels():
    with ta.kernels.use("numpy"):
        yield


def drawn(row, seed):
    rng = np.random.default_rng(seed)
    return row.draw(catalog.integers_from(rng), rng)


ROWS = {row.name: row for row in (*catalog.LAYERS, *catalog.MODELS)}
each_row = pytest.mark.parametrize("name", ROWS)
each_layer = pytest.mark.parametrize("row", catalog.LAYERS, ids=lambda row: row.name)
each_model = pytest.mark.parametrize("row", catalog.MODELS, ids=lambda row: row.name)


# --- what it says is so -------------------------------------------------------------------------


@each_layer
@settings(max_examples=5)
@given(seed=st.integers(0, 10_000))
def test_a_layers_gradients_are_those_of_its_backward(row, seed):
    layer, x = drawn(row, seed)
    e = explain(layer, x, rng=3)
    twin = as_double(layer)
    y, cache = twin.forward(x)
    dy = np.random.default_rng(3).standard_normal(y.shape)
    dx = twin.backward(dy, cache)
    for g in e.gradients:
        assert g.norm == pytest.approx(np.linalg.norm(twin.params[g.name].grad), abs=1e-12)
    last = e.steps[-1]
    assert last["y"].norm == pytest.approx(np.linalg.norm(y))
    assert last["dy"].norm == pytest.approx(np.linalg.norm(dy))
    if len(e.steps) == 1:
        assert last["dx"].norm == pytest.approx(np.linalg.norm(dx), abs=1e-12)
        assert last["dx"].shape == x.shape


@each_model
@settings(max_examples=5)
@given(seed=st.integers(0, 10_000))
def test_a_models_terms_and_gradients_are_those_of_backprop(row, seed):
    model, x = drawn(row, seed)
    e = explain(model, x, rng=3)
    twin = as_double(model)
    terms = twin.backprop(x, np.random.default_rng(3))
    assert e.terms == pytest.approx(terms)
    assert {g.name for g in e.gradients} == set(unique(twin.params))
    for g in e.gradients:
        assert g.norm == pytest.approx(np.linalg.norm(twin.params[g.name].grad), abs=1e-12)


@each_model
@settings(max_examples=5)
@given(seed=st.integers(0, 10_000))
def test_the_paths_of_a_gradient_are_all_its_paths(row, seed):
    """One path is the gradient; of several, triangle inequalities hold both ways."""
    model, x = drawn(row, seed)
    for g in explain(model, x).gradients:
        norms = [norm for _, norm in g.paths]
        if not norms:
            assert g.norm == 0
        elif len(norms) == 1:
            assert norms[0] == pytest.approx(g.norm, abs=1e-12)
        else:
            assert g.norm <= sum(norms) + 1e-12
            assert g.norm >= 2 * max(norms) - sum(norms) - 1e-12


@each_model
def test_steps_are_named_as_trace_names_them(row):
    model, x = drawn(row, 4)
    if isinstance(model, Player):
        return
    e = explain(model, x, rng=3)
    told = {s.name: s["y"].norm for s in e.steps if any(q.symbol == "y" for q in s.quantities)}
    twin = as_double(model)
    traced = dict(twin.trace(x, np.random.default_rng(3)))
    assert set(traced) <= set(told)
    for name, y in traced.items():
        assert told[name] == pytest.approx(np.linalg.norm(y), abs=1e-12)


def test_numbers_of_a_dense_layer():
    layer = ta.Dense(3, 2, rng=np.random.default_rng(0), dtype=np.float64)
    x = np.array([[1.0, 2, 3], [4, 5, 6]])
    e = explain(layer, x)
    step = e.steps[0]
    np.testing.assert_allclose(step["x"].corner, x)
    np.testing.assert_allclose(step["y"].corner, x @ layer.W.value.T)
    dy = step["dy"].corner
    np.testing.assert_allclose(step["dW"].corner, dy.T @ x)
    np.testing.assert_allclose(step["db"].corner, dy.sum(axis=0)[None])
    np.testing.assert_allclose(step["dx"].corner, dy @ layer.W.value)
    assert step["dW"].source == "dyᵀ x"
    assert e.forward == ["y = x Wᵀ + b"]
    assert step["x"].norm == pytest.approx(np.sqrt(91))


def test_equations_with_indices_are_found():
    model, x = drawn(ROWS["Conv2d"], 0)
    step = explain(model, x).steps[0]
    assert step["y"].source.startswith("b[o] + Σ_{c,u,v}")
    assert step["dW"].source.startswith("Σ_{n,i,j} dy[n,o,i,j]")
    assert step["db"].source == "Σ_{n,i,j} dy[n,o,i,j]"


# --- where it came from -------------------------------------------------------------------------


def test_origins_in_a_chain():
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(*ta.dense_pair([5], [4, 2], rng=rng), ta.MSE())
    e = explain(model, rng.uniform(size=(3, 5)).astype(np.float32))
    assert e["encoder.0"]["x"].source == "the batch"
    assert e["encoder.1"]["x"].source == "y of encoder.0"
    assert e["encoder.0"]["dy"].source == "dx of encoder.1"
    assert e["loss"]["t"].source == "the batch"
    last = [s for s in e.steps if s.name.startswith("decoder")][-1]
    assert last["dy"].source == "dy of loss"
    assert e["encoder.2"]["dy"].source == "dx of decoder.0"


def test_two_paths_meet_in_a_sum():
    row = ROWS["SparseAutoencoder"]
    model, x = drawn(row, 1)
    e = explain(model, x)
    code = [s for s in e.steps if s.name.startswith("encoder")][-1]
    assert "dz of penalty" in code["dy"].source
    assert "dx of decoder" in code["dy"].source


def test_the_variational_parts_are_all_there():
    rng = np.random.default_rng(0)
    model = ta.VariationalAutoencoder(*ta.dense_variational([6], [5, 2], rng=rng), beta=2.0)
    x = rng.uniform(size=(4, 6)).astype(np.float32)
    e = explain(model, x, rng=1)
    names = [s.name for s in e.steps]
    assert names.index("logvar") < names.index("reparameterisation") < names.index("decoder.0")
    assert {"likelihood", "kl"} <= set(names)
    assert e["mean"]["dy"].source == "dx of decoder.0 + β ∂kl/∂μ of kl"
    assert "½ dz ε exp(s/2)" in e["logvar"]["dy"].source
    assert e["decoder.0"]["x"].source == "z of reparameterisation"
    noise = np.random.default_rng(1).standard_normal((4, 2))
    np.testing.assert_allclose(e["reparameterisation"]["ε"].corner, noise[:3], rtol=1e-6)
    assert e["kl"]["KLⱼ"].corner.sum() == pytest.approx(e.terms["kl"])
    assert e["kl"].value["kl"] == pytest.approx(e.terms["kl"])
    assert "z = μ + exp(s/2) ε" in " ".join(e["reparameterisation"].forward)


def test_a_tied_matrix_has_two_paths():
    model, x = drawn(ROWS["Autoencoder tied"], 2)
    (g,) = [g for g in explain(model, x).gradients if g.name == "encoder.0.W"]
    assert [name for name, _ in g.paths] == ["decoder.0", "encoder.0"]


def test_the_two_paths_of_a_tied_matrix_by_hand():
    rng = np.random.default_rng(0)
    dense = ta.Dense(4, 2, rng=rng, dtype=np.float64)
    layer = ta.Sequential(dense, ta.Tanh(), ta.TiedDense(dense))
    x, dy = rng.normal(size=(3, 4)), np.random.default_rng(7).standard_normal((3, 4))
    e = explain(layer, x, rng=7)
    W = dense.W.value
    h = np.tanh(x @ W.T)
    da = (dy @ W.T) * (1 - h**2)
    paths = dict(e.gradients[0].paths)
    assert paths["2"] == pytest.approx(np.linalg.norm(h.T @ dy))
    assert paths["0"] == pytest.approx(np.linalg.norm(da.T @ x))
    np.testing.assert_allclose(e["2"]["dV"].corner, h.T @ dy)
    assert e.gradients[0].norm == pytest.approx(np.linalg.norm(h.T @ dy + da.T @ x))


def test_a_layer_that_runs_twice_is_told_apart_by_its_caches():
    layer = ta.Dense(3, 2, rng=np.random.default_rng(0), dtype=np.float64)
    recorder = Recorder(layer)
    caches = [layer.forward(np.full((2, 3), v))[1] for v in (1.0, 2.0)]
    upstream = np.ones((2, 2)), np.full((2, 2), 5.0)
    for dy, cache in zip(upstream, caches):
        layer.backward(dy, cache)
    first, second = recorder.calls
    assert first.upstream is upstream[0]
    assert second.upstream is upstream[1]
    np.testing.assert_allclose(first.grads["W"], np.full((2, 3), 2.0))
    np.testing.assert_allclose(second.grads["W"], np.full((2, 3), 20.0))
    assert (first.which, second.which) == (1, 2)


def test_the_contraction_reaches_the_weights_by_its_own_path():
    model, x = drawn(ROWS["ContractiveAutoencoder conv"], 2)
    e = explain(model, x)
    W = next(g for g in e.gradients if g.name.startswith("encoder") and g.name.endswith("W"))
    assert "contraction" in dict(W.paths)
    assert "Second order" in e["contraction"].note
    assert e["contraction"].value["contraction"] == pytest.approx(e.terms["contraction"])
    passes = [s.name for s in e.steps]
    assert len(passes) == len(set(passes))  # the penalty's own passes are not shown as steps


def test_a_gan_has_two_turns_and_the_other_player_does_not_learn():
    rng = np.random.default_rng(0)
    gan = ta.GAN(*ta.dense_gan([5], [6], latent_dim=3, rng=rng))
    e = explain(gan, rng.uniform(size=(4, 5)).astype(np.float32))
    assert list(dict.fromkeys(s.turn for s in e.steps)) == ["discriminator", "generator"]
    passing = [s for s in e.steps if s.turn == "generator" and s.name.startswith("discriminator")]
    assert any("passes through" in s.note for s in passing)
    assert not any(q.symbol == "dW" for s in passing for q in s.quantities)
    assert "▌▌▌ the generator's turn" in str(e)


# --- laws ---------------------------------------------------------------------------------------


@each_row
def test_the_subject_is_left_as_it_is(name):
    subject, x = drawn(ROWS[name], 5)
    params = {k: (p.value.copy(), p.grad.copy()) for k, p in subject.params.items()}
    state = {k: a.copy() for k, a in subject.state.items()}
    given_x = tuple(a.copy() for a in (x if isinstance(x, tuple) else (x,)))
    first, again = str(explain(subject, x)), str(explain(subject, x))
    assert first == again
    for k, p in subject.params.items():
        np.testing.assert_array_equal(p.value, params[k][0])
        np.testing.assert_array_equal(p.grad, params[k][1])
    for k, a in subject.state.items():
        np.testing.assert_array_equal(a, state[k])
    for a, b in zip(x if isinstance(x, tuple) else (x,), given_x):
        np.testing.assert_array_equal(a, b)
    assert "forward" not in vars(subject)


@each_row
def test_every_part_has_its_equations(name):
    e = explain(*drawn(ROWS[name], 6))
    assert e.forward
    assert e.backward
    for step in e.steps:
        assert step.forward or step.name.endswith("corruption"), step.name
        assert step.quantities, step.name
    page = str(e)
    assert "forward" in page
    for g in e.gradients:
        assert f"∂L/∂{g.name}" in page


def test_only_a_few_samples_are_walked_through():
    e = explain(ta.ReLU(), np.ones((1000, 2)))
    assert e.steps[0]["x"].shape == (16, 2)


def test_wrong_calls_are_told():
    with pytest.raises(TypeError, match="the class ReLU"):
        explain(ta.ReLU, np.ones((2, 2)))
    with pytest.raises(TypeError, match="a layer or a model"):
        explain(np.tanh, np.ones((2, 2)))
    with pytest.raises(TypeError, match="expected an array"):
        explain(ta.ReLU(), [[1.0, 2.0]])
    with pytest.raises(TypeError, match="shape"):
        explain(ta.ReLU(), np.ones((0, 2)))
    with pytest.raises(ValueError, match="expected"):
        explain(ta.Dense(4, 2, rng=np.random.default_rng(0)), np.ones((2, 3)))
    with pytest.raises(KeyError, match="no step"):
        explain(ta.ReLU(), np.ones((2, 2)))["encoder"]


# --- sections --------------------------------------------------------------------------------------


def test_sections_are_read_with_their_further_lines():
    doc = """A layer.

    Forward   y = x
              and z = y
    Backward  dx = dy

    Source    somebody
    Text that is not indented so far.
    """
    assert parse(doc) == {
        "Forward": ["y = x", "and z = y"],
        "Backward": ["dx = dy"],
        "Source": ["somebody"],
    }


def test_an_activation_gives_its_slope():
    found = sections(ta.Sigmoid)
    assert found["Forward"] == ["y = f(x)   f = 1 / (1 + e⁻ˣ)"]
    assert found["Backward"] == ["dx = f′ · dy   f′ = y (1 − y)"]
    assert summary(ta.Sigmoid) == ""


def test_a_layer_of_ones_own_is_explained():
    class Twice(ta.Layer):
        """Doubles.

        Forward   y = 2 x
        Backward  dx = 2 dy
        """

        def forward(self, x):
            return 2 * x, None

        def backward(self, dy, cache):
            return 2 * dy

    e = explain(Twice(), np.ones((3, 2)))
    assert e.steps[0]["y"].norm == pytest.approx(np.sqrt(24))
    assert e.steps[0]["dx"].source == "2 dy"

    class Bare(Twice):
        __doc__ = None

    assert explain(Bare(), np.ones((3, 2))).forward == ["y = 2 x"]


# --- LaTeX --------------------------------------------------------------------------------------

ENVIRONMENTS = re.compile(r"\\(begin|end)\{(\w+\*?)\}")
MATH = re.compile(r"(?<!\\)\$((?:[^$\\]|\\.)*)\$", re.S)
# Commands of LaTeX itself and of amsmath: no other package is loaded.
COMMAND_NAMES = """
alpha beta gamma delta varepsilon epsilon zeta eta theta iota kappa lambda mu nu xi pi rho
sigma tau upsilon varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Phi Psi Omega Upsilon phi
vartheta varpi varrho varsigma
sum prod coprod int iint iiint iiiint oint bigwedge bigvee bigcap bigcup bigodot bigoplus bigotimes
biguplus bigsqcup
partial nabla infty emptyset ell hbar Im Re wp aleph forall exists neg top bot angle surd triangle
flat natural sharp backslash
cdot circ times div pm mp ast star bullet diamond setminus wedge vee cap cup sqcap sqcup uplus oplus
ominus otimes oslash odot wr amalg dagger ddagger
leq geq ne approx simeq cong equiv asymp doteq sim propto ll gg prec succ preceq succeq in ni notin
subset supset subseteq supseteq sqsubseteq sqsupseteq mid parallel perp vdash dashv models bowtie
smile frown not
to leftarrow leftrightarrow uparrow downarrow updownarrow Rightarrow Leftarrow Leftrightarrow
Uparrow Downarrow Updownarrow mapsto hookleftarrow hookrightarrow nwarrow nearrow searrow swarrow
leftharpoonup leftharpoondown rightharpoonup rightharpoondown rightleftharpoons longleftarrow
longrightarrow longleftrightarrow Longleftarrow Longrightarrow Longleftrightarrow longmapsto
langle rangle lfloor rfloor lceil rceil ldots cdots vdots ddots Bigl Bigr
hat tilde dot ddot dddot bar breve check acute grave mathring vec overleftarrow underline overset
tfrac dfrac sqrt ln log exp max min sin cos tanh lim operatorname mathrel
text mathit mathrm mathbf mathcal mathsf mathtt boldsymbol texttt qquad quad begin end
"""
KNOWN = set(COMMAND_NAMES.split())


def balanced(text):
    """Braces that are no characters close in order."""
    depth = 0
    for token in re.findall(r"\\.|[{}]", text):
        depth += (token == "{") - (token == "}")
        if depth < 0:
            return False
    return depth == 0


TEXT = ("text", "texttt", "mathrm", "mathit", "operatorname")


def group(tex, start):
    """The end of the group that opens at ``start``; of what is no group, the next place."""
    if tex[start : start + 1] != "{":
        return start + 1
    depth = 0
    for m in re.compile(r"\\.|[{}]").finditer(tex, start):
        depth += (m[0] == "{") - (m[0] == "}")
        if depth == 0:
            return m.end()
    raise AssertionError(f"{tex} is not balanced")


def single_scripts(tex):
    """Whether no symbol has two powers or two indices: TeX stops at "double superscript"."""
    taken, i = set(), 0
    while i < len(tex):
        c, end = tex[i], i + 1
        if c in "^_'":
            place = "_" if c == "_" else "^"
            merges = place == "^" and tex[i - 1 : i] == "'"  # x'' and x'^{2} are one power
            if place in taken and not merges:
                return False
            taken.add(place)
            if c != "'":
                end = group(tex, i + 1)
                if not single_scripts(tex[i + 1 : end].removeprefix("{").removesuffix("}")):
                    return False
        elif c == "\\":
            end = i + len(re.match(r"\\([A-Za-z]+|.)", tex[i:])[0])
            if tex[i + 1 : end] in TEXT:
                end = group(tex, end)
            taken = set()
        elif c == "{":
            end = group(tex, i)
            if not single_scripts(tex[i + 1 : end - 1]):
                return False
            taken = set()
        elif c != " ":
            taken = set()
        i = end
    return True


def test_double_scripts_are_seen():
    assert all(
        map(single_scripts, ["x^2_3", "x''", "x'^{2}", "x^{a^b}", "x^{2}{}^{2}", r"\text{''}^2"])
    )
    assert not any(
        map(single_scripts, ["x^2^3", "x_{1}^2_2", "x^{2}'", "x' ^{2}", "{x^2^2}", "x' '"])
    )


def check_document(text, complete=True):
    """``complete``: no sign is spelled out by its name."""
    assert text.startswith(r"\documentclass")
    assert text.rstrip().endswith(r"\end{document}")
    stack = []
    for which, name in ENVIRONMENTS.findall(text):
        if which == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    assert balanced(text)
    packages = set(re.findall(r"\\usepackage(?:\[[^]]*\])?\{(\w+)\}", text))
    assert packages == {"inputenc", "fontenc", "amsmath", "geometry"}
    body = text.partition(r"\begin{document}")[2]
    assert all(c.isascii() or (c.isalpha() and ord(c) < 0x250) for c in body)
    assert not complete or r"\text{[" not in body  # a sign that the table lacks
    assert not re.search(r"(?<!\\)[%#~]", body)
    outside = MATH.sub("", body)
    assert "$" not in outside.replace(r"\$", "")
    assert not re.search(r"(?<!\\)[_^&]", outside)
    for formula in MATH.findall(body):
        assert balanced(formula), formula
        names = set(re.findall(r"\\([A-Za-z]+)", formula))
        assert names <= KNOWN, names - KNOWN
        assert single_scripts(formula), formula
    return body


@each_row
def test_latex_is_well_formed(name):
    e = explain(*drawn(ROWS[name], 7))
    body = check_document(e.latex())
    assert r"\textbf{Forward}" in body
    assert (r"\begin{bmatrix}" in body) == bool(e.steps)  # a dictionary's maps are in no layer


@pytest.fixture(scope="module")
def parse_tex():
    """matplotlib's parser of TeX, which knows the same commands but for matrices and four more."""
    parser = pytest.importorskip("matplotlib.mathtext").MathTextParser("path")

    def parse(tex):
        others = {r"\tfrac": r"\frac", r"\qquad": r"\quad", r"\surd": r"\ast", r"\mathrel{+}": "+"}
        for name, like in others.items():
            tex = tex.replace(name, like)
        parser.parse(f"${tex}$")

    return parse


def test_every_formula_is_parsed_by_another_program(parse_tex):
    lines = {}
    for row in ROWS.values():
        e = explain(*drawn(row, 7))
        for part in (e, *e.steps):
            lines |= dict.fromkeys([*part.forward, *part.backward])
        for step in e.steps:
            lines |= dict.fromkeys([*step.shapes, *(q.symbol for q in step.quantities)])
    assert len(lines) > 150
    for line in lines:
        parse_tex(mathematics(line))


@pytest.mark.parametrize(
    ("line", "tex"),
    [
        ("y = x Wᵀ + b", r"y = x\,W^{\top} + b"),
        ("dx = dy W", r"\mathit{d}x = \mathit{d}y\,W"),
        ("x̂ = (x − μ) / √(v + ε)", r"\hat{x} = (x - \mu ) / \sqrt{v + \varepsilon }"),
        ("½ (μⱼ² + eˢʲ)", r"\tfrac{1}{2}\,(\mu _{j}^{2} + e^{s_{j}})"),
        ("J_gᵀ dz", r"J_{g}^{\top}\,\mathit{d}z"),
        ("e^−|y|", r"e^{-|y|}"),
        ("y, seen as (N, D)", r"y,\text{ seen as }(N, D)"),
        ("Σ_{c,u} W[o,c]", r"\sum _{c,u} W[o,c]"),
        ("the plain one's", r"\text{the plain one's}"),
        ("ẏ = ẋ", r"\dot{y} = \dot{x}"),
        ("{1, 2} & 50 %", r"\{1, 2\} \& 50 \%"),
        ("running_mean", r"\text{running\_mean}"),
        ("0 ≤ x < ½, A ⊆ ℝⁿ", r"0 \leq  x < \tfrac{1}{2}, A \subseteq  \mathbf{R}^{n}"),
        ("z ∼ 𝒩(0, 1) ⇔ x ⊄ y", r"z \sim  \mathcal{N}(0, 1) \Leftrightarrow  x \not\subset  y"),
        ("f′² + x²′ + aᵢⱼ ₖ", r"f'^{2} + x^{2}{}' + a_{ij} {}_{k}"),
        ("x⃗ = ά + ᾱ", r"\vec{x} = \acute{\alpha}  + \bar{\alpha} "),
        ("dξο = dξℎ", r"\mathit{d}\xi o = \mathit{d}\xi h"),
        ("a ⊞ b", r"a \text{[squared plus]} b"),
        ("pₖ = e^yₖ / Σⱼ e^yₙⱼ", r"p_{k} = e^{y_{k}} / \sum _{j} e^{y_{nj}}"),
        ("e⁻ᶻᵏ + eᵃˣ + eˢⁿᵏ", r"e^{-z_{k}} + e^{ax} + e^{s_{nk}}"),
        ("e^−zₖ, xⁿᵏ", r"e^{-z_{k}}, x^{nk}"),
        ("10,000^(−2i/D)", "10{,}000^{-2i/D}"),
        ("e^logθ = 2^16", r"e^{\log \theta} = 2^{16}"),
        ("‖Jₙ‖²_F", r"\| J_{n}\| ^{2}_{F}"),
        ("J_N₂ᵀ dy", r"J_{N_{2}}^{\top}\,\mathit{d}y"),
        ("Pₜ,₂ᵢ = xₙ,T", r"P_{t,2i} = x_{n,T}"),
        ("dγ_c, dy_K, dlogθ", r"\mathit{d}\gamma_{c}, \mathit{d}y_{K}, \mathit{d}\log \theta "),
        ("qᵀ / √d", r"q^{\top} / \sqrt{d}"),
        ("log p(x | y) = −|x − y|", r"\log  p(x \mid  y) = -|x - y|"),
        ("W.grad += dW", r"W.\text{grad }\mathrel{+}= \mathit{d}W"),
        ("c one-hot of a code", r"c\text{ one-hot of a code}"),
        ('"same": the entries of a unit', r"\text{``same''}:\text{ the entries of a unit}"),
        ("interpolation for a and b", r"\text{interpolation for }a\text{ and }b"),
        ("sin(t ωᵢ) x (N, D)", r"\sin (t\,\omega _{i})\,x\,(N, D)"),
    ],
)
def test_mathematics(line, tex):
    assert mathematics(line) == tex


def test_short_names_are_symbols_where_an_equation_defines_them():
    lines = ["[ar, an] = Wx x + bx", "dan = dh ∘ r", "dbe = Σ da", "p = h + be"]
    names = names_in(lines)
    assert {"ar", "an", "be", "Wx"} <= names
    assert mathematics("[ar, an] = Wx x", names) == (r"[\mathit{ar}, \mathit{an}] = \mathit{Wx}\,x")
    assert mathematics("dan = dbe", names) == (r"\mathit{d}\mathit{an} = \mathit{d}\mathit{be}")
    assert mathematics("p = h + be", names) == r"p = h + \mathit{be}"
    assert mathematics("x must be an index", names) == r"x\text{ must be an index}"


def test_prose():
    assert prose("a_b & 50 % of μ…") == r"a\_b \& 50 \% of $\mu$\dots{}"
    assert prose('of "a title", 1998') == r"of ``a title'', 1998"
    assert prose("x̃ as x; Hyvärinen §3") == r"$\tilde{x}$ as x; Hyvärinen \S{}3"


@given(st.text(max_size=40))
def test_any_text_becomes_balanced_tex(text):
    assert balanced(mathematics(text))
    assert balanced(prose(text))
    assert single_scripts(mathematics(text))


def subjects():
    """Every layer and model of the catalog, and a model with each of its losses."""
    for row in ROWS.values():
        yield drawn(row, 7)
    rng = np.random.default_rng(0)
    for row in catalog.LOSSES:
        coders = ta.dense_pair([1, 2, 2], [3, 2], rng=rng)
        yield ta.Autoencoder(*coders, row.loss()), rng.uniform(size=(3, 1, 2, 2))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_pdflatex_makes_a_page_of_each(tmp_path):
    documents = [explain(*subject).latex() for subject in subjects()]
    head, begin = documents[0].partition(r"\begin{document}")[:2]
    bodies = [d.partition(begin)[2].partition(r"\end{document}")[0] for d in documents]
    text = head + begin + "\n\\newpage\n".join(bodies) + r"\end{document}"
    (tmp_path / "all.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-draftmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    log = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, log[-2000:]
    for complaint in ("Missing character", "undefined", "Overfull"):
        assert complaint not in log


BLOCKS = (  # of Unicode, where mathematics has its signs
    (0x02B0, 0x03FF), (0x1D2C, 0x1DBF), (0x1F00, 0x1FFF), (0x2070, 0x209F), (0x20D0, 0x20FF),
    (0x2100, 0x23FF), (0x25A0, 0x25FF), (0x27C0, 0x27FF), (0x2900, 0x2BFF), (0x1D400, 0x1D7FF),
)  # fmt: skip
EVERY_SIGN = [
    chr(code)
    for first, last in BLOCKS
    for code in range(first, last + 1)
    if unicodedata.category(chr(code)) != "Cn"
]


def explained(signs):
    """A layer whose docstring holds these signs wherever there may be some."""
    doc = f"""Takes {signs} into account.

    Forward   y = {signs} x   z = x{signs}
    Shapes    x (N, {signs})
    Backward  dx = {signs}
    Source    {signs} (2020)
    """
    methods = {"forward": lambda self, x: (x, x), "backward": lambda self, dy, x: dy}
    layer = type("Own", (ta.Layer,), {"__doc__": doc, **methods})()
    return explain(layer, np.ones((2, 2)))


@given(st.text(st.sampled_from(EVERY_SIGN) | st.characters(max_codepoint=0x17F), max_size=12))
def test_any_sign_may_stand_in_a_docstring(signs):
    signs = re.sub(r"\s", " ", signs.replace("`", "'"))  # a docstring's own marks
    check_document(explained(signs).latex(), complete=False)


def test_every_sign_of_mathematics_is_parsed_by_another_program(parse_tex):
    for i in range(0, len(EVERY_SIGN), 40):
        signs = EVERY_SIGN[i : i + 40]
        check_document(explained("".join(signs)).latex(), complete=False)
        parse_tex(" + ".join(f"x{mathematics(c)}" for c in signs))


def test_usual_signs_are_not_spelled_out():
    usual = "".join(COMMANDS) + "".join(GREEK) + "⁰¹²³ⁿᵀ₀₁₂ᵢⱼₙ½⅓ℝℕℂℤ𝔼𝒩≔≝≮≯≰≱⊄∄∤″‴"
    check_document(explained(usual).latex())


def test_commands_are_those_of_their_signs():
    """By matplotlib's table of TeX, which was made by others."""
    table = pytest.importorskip("matplotlib._mathtext_data").tex2uni | {"surd": ord("√")}
    alike = {"⩽": "≤", "⩾": "≥", "≦": "≤", "≧": "≥", "⪯": "≼", "⪰": "≽", "∆": "Δ", "ϴ": "Θ"}
    alike |= {"Σ": "∑", "·": "⋅", "•": "∙", "~": "∼", "〈": "⟨", "〉": "⟩", "⊨": "⊧", "ℏ": "ħ"}
    alike |= {"ϵ": "ε"}  # \varepsilon and \epsilon are one to matplotlib
    for sign, name in {**GREEK, **COMMANDS}.items():
        assert chr(table[name]) == alike.get(sign, sign), name


def test_numbers_and_matrices():
    assert number(1.2e-5) == r"1.2 \cdot 10^{-5}"
    assert number(-0.0) == "0"
    assert number(np.inf) == r"\infty"
    assert number(np.nan) == r"\text{NaN}"
    x = np.arange(12.0).reshape(2, 6)
    tex = matrix(explain(ta.ReLU(), x).steps[0]["x"])
    assert (
        tex
        == r"\begin{bmatrix}0 & 1 & 2 & 3 & 4 & \cdots \\ 6 & 7 & 8 & 9 & 10 & \cdots\end{bmatrix}"
    )


# --- the verb -----------------------------------------------------------------------------------


def run(*argv):
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers())
    args = parser.parse_args(["explain", *map(str, argv)])
    return args.run(args)


def test_the_verb_explains_an_example(capsys):
    assert run("--layer", "dense") == 0
    assert "y = x Wᵀ + b" in capsys.readouterr().out
    assert run("--layer", "VariationalAutoencoder") == 0
    assert "reparameterisation" in capsys.readouterr().out
    assert run("--layer", "list") == 0
    assert capsys.readouterr().out.split("\n")[:-2] == list(ROWS)


def test_the_verb_explains_a_file_and_writes_latex(tmp_path, capsys):
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(*ta.dense_pair([1, 4, 4], [6, 2], rng=rng), ta.MSE())
    model.save(tmp_path / "model.npz")
    assert run(tmp_path / "model.npz", "--latex", tmp_path / "model.tex") == 0
    check_document((tmp_path / "model.tex").read_text(encoding="utf-8"))
    np.save(tmp_path / "x.npy", rng.uniform(size=(60, 1, 4, 4)).astype(np.float32))
    capsys.readouterr()
    assert run(tmp_path / "model.npz", "--data", tmp_path / "x.npy", "--rows", 3) == 0
    assert "a batch of shape (3, 1, 4, 4)" in capsys.readouterr().out


def test_the_verb_tells_wrong_calls(tmp_path):
    with pytest.raises(ValueError, match="one of them"):
        run()
    with pytest.raises(ValueError, match="one of: Dense"):
        run("--layer", "Dance")
    with pytest.raises(ValueError, match="draws its own x"):
        run("--layer", "Dense", "--data", "strokes")
    with pytest.raises(ValueError, match="rows"):
        run("--layer", "Dense", "--rows", 0)
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    ("line", "latex"),
    [
        ("e^−softplus(x)", r"e^{-\operatorname{softplus}(x)}"),
        ("10,000^(−2i/D)", "10{,}000^{-2i/D}"),
        ("e^xₖ / Σⱼ e^xⱼ", r"e^{x_{k}} / \sum _{j} e^{x_{j}}"),
    ],
)
def test_a_whole_exponent_is_raised(line, latex):
    assert mathematics(line) == latex


def test_an_activation_of_several_lines_shows_its_slope():
    found = sections(ta.Mish)
    assert found["Forward"] == [
        "y = f(x)   f = x t,   t = tanh(softplus(x)),   softplus(x) = ln(1 + eˣ)"
    ]
    assert found["Backward"] == ["dx = f′ · dy   f′ = t + x t′"]
    assert sections(ta.Sigmoid)["Backward"] == ["dx = f′ · dy   f′ = y (1 − y)"]
