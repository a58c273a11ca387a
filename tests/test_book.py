"""The book: all links resolve, what it shows is the source, and what it says was computed."""

import ast
import html
import html.parser
import posixpath
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest

import tinyae as ta
from tinyae import catalog
from tinyae.book import chapters as book_chapters
from tinyae.book import write_book
from tinyae.book.chapters import ROOT, chapters, package_files
from tinyae.book.example import of_layer, of_loss
from tinyae.book.highlight import highlighted
from tinyae.book.mistakes import planted, with_edit
from tinyae.book.prose import prose
from tinyae.book.quality import MODELS, figures, figures_of
from tinyae.book.relations import drawn, exercises, users
from tinyae.book.shelf import Shelf
from tinyae.book.spread import equations, lines, methods
from tinyae.cli import main
from tinyae.explanation.docstring_sections import sections
from tinyae.explanation.mathml import mathml
from tinyae.gradcheck import diagnose

SMALL = ("layers/dense.py", "losses.py", "models/autoencoder.py", "learn/exercises/dense_dw.py")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    write_book(folder, only=SMALL)
    return folder


@pytest.fixture(scope="module")
def dense():
    with ta.kernels.use("numpy"):
        row = catalog.LAYERS[0]
        yield (*drawn(row), methods(Shelf(), ta.Dense, ("backward",)))


class Anchors(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.addresses = Counter(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids[value] += 1
            elif name in ("href", "src"):
                self.addresses.append(value)


def broken_links(folder):
    """Addresses that lead nowhere, and anchors that a page has twice."""
    read = {p: Anchors(p.read_text(encoding="utf-8")) for p in sorted(folder.rglob("*.html"))}
    pages = {p.relative_to(folder).as_posix(): page for p, page in read.items()}
    found = []
    for name, page in pages.items():
        found += [f"{name}: two of #{anchor}" for anchor, n in page.ids.items() if n > 1]
        for address in page.addresses:
            path, _, anchor = address.partition("#")
            inside = posixpath.join(posixpath.dirname(name), path) if path else name
            target = posixpath.normpath(inside)
            if not address or "://" in address or not (folder / target).exists():
                found.append(f"{name}: {address!r}")
            elif anchor and anchor not in pages[target].ids:
                found.append(f"{name}: {address} has no such anchor")
    script = (folder / "index.js").read_text(encoding="utf-8")
    for line in script.splitlines()[1:-1]:
        address = ast.literal_eval(line.rstrip(","))[2]
        path, _, anchor = address.partition("#")
        if path not in pages or (anchor and anchor not in pages[path].ids):
            found.append(f"index.js: {address}")
    return found


def ill_formed(folder):
    """Equations that are no XML, and where they stand."""
    found = []
    for path in folder.rglob("*.html"):
        for math in re.findall(r"<math.*?</math>", path.read_text(encoding="utf-8"), re.DOTALL):
            try:
                ET.fromstring(math.replace("&#xA0;", " "))
            except ET.ParseError as error:
                found.append(f"{path.name}: {error}: {math}")
    return found


def test_links_and_equations_of_a_small_book(book):
    assert not broken_links(book)
    assert not ill_formed(book)
    assert (book / "layer/TiedDense.html").exists()
    assert not (book / "layer/ReLU.html").exists()


def test_a_broken_link_is_seen(book, tmp_path):
    copy = shutil.copytree(book, tmp_path / "copy")
    page = copy / "layer/Dense.html"
    text = page.read_text(encoding="utf-8")
    assert "#Dense" in text
    page.write_text(text.replace("#Dense", "#Dence") + '<a href="gone.html">', encoding="utf-8")
    assert len(broken_links(copy)) > 1


@pytest.mark.slow
def test_links_and_equations_of_the_whole_book(tmp_path):
    pages = write_book(tmp_path, progress=True)
    assert not broken_links(tmp_path)
    assert not ill_formed(tmp_path)
    names = {p.relative_to(tmp_path).as_posix() for p in pages}
    for row in catalog.LAYERS:
        assert f"layer/{type(drawn(row)[0]).__name__}.html" in names
    for row in catalog.MODELS:
        assert f"model/{type(drawn(row)[0]).__name__}.html" in names


# --- the order of the chapters ------------------------------------------------------------------


def test_every_file_is_in_one_chapter():
    order = chapters()
    placed = [path for chapter in order for path in chapter.files]
    assert sorted(placed) == package_files()
    assert [c.number for c in order] == list(range(1, len(order) + 1))
    assert [c.named[0] for c in order] == list(book_chapters.TITLES)
    assert order[1].files == ["layers/dense.py"]
    assert "layers/softmax.py" in order[14].files
    assert "kernels/jitted/simd_tile.py" in order[17].files


# --- the code -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["layers/dense.py", "losses.py", "explanation/symbols.py", "book/write.py", "plot.py"]
)
def test_highlighting_changes_no_character(path):
    source = (ROOT / path).read_text(encoding="utf-8")
    shown = [html.unescape(re.sub(r"<[^>]*>", "", line)) for line in highlighted(source)]
    assert shown == source.splitlines()


def test_a_line_stands_beside_its_equation(book):
    page = (book / "layer/Dense.html").read_text(encoding="utf-8")
    line = r'<code>((?:(?!</code>).)*)</code><span class="beside">(.*?)</div>'
    found = re.findall(line, page)
    beside = {html.unescape(re.sub("<[^>]*>", "", c)).strip(): math for c, math in found}
    assert mathml("dW = dyᵀ x") in beside["self.W.grad += kernels.matmul_tn(dy, x)"]
    assert mathml("dx = dy W") in beside["return kernels.matmul(dy, self.W.value)"]
    assert mathml("y = x Wᵀ + b") in beside["y = kernels.affine(x, self.W.value, self.b.value)"]


def test_a_backward_line_quotes_the_forward_line_that_it_differentiates():
    shelf = Shelf()
    (backward, *_) = methods(shelf, ta.MultiHeadAttention, ("backward",))
    shown = lines(backward, equations(sections(ta.MultiHeadAttention)["Backward"]))
    (line,) = (line for line in shown if "dP, dv" in line)
    assert f'<span class="own">{mathml("dP = do vᵀ")}</span>' in line
    assert f'<span class="own">{mathml("dv = Pᵀ do")}</span>' in line
    assert f'<span class="of">{mathml("o = P v")}</span>' in line


def test_helpers_of_a_method_are_shown_after_it():
    names = [m.name for m in methods(Shelf(), ta.Conv2d, ("backward",))]
    assert names[0] == "backward"
    assert {"adjoint", "weight_grad"} < set(names)
    assert [m.of for m in methods(Shelf(), ta.Tanh, ("backward",))] == ["Activation", "Tanh"]


def test_a_mistake_in_a_base_that_super_calls():
    row = next(row for row in catalog.LAYERS if row.name == "GroupNorm")
    backward = methods(Shelf(), ta.GroupNorm, ("backward",))
    assert [(m.of, m.name) for m in backward[:2]] == [
        ("GroupNorm", "backward"),
        ("_Norm", "backward"),
    ]
    layer, x = drawn(row)
    with ta.kernels.use("numpy"):
        first = planted(layer, x, backward[:2], wanted=1)[0]
    assert first.edit.method.of == "_Norm"
    assert first.diagnosis.wrong == ["dgamma"]


def test_equations_by_their_left_side():
    found = equations(sections(ta.Dense)["Backward"])
    assert found == {"dx": "dx = dy W", "dW": "dW = dyᵀ x", "db": "db = Σₙ dyₙ"}


# --- what is computed ---------------------------------------------------------------------------


def test_the_example_is_what_its_program_computes():
    example = of_layer("BatchNorm")
    names = {}
    exec(example.program, names)
    np.testing.assert_array_equal(example.values["y"], names["y"])
    dx, *others = example.gradients
    np.testing.assert_allclose(dx.analytic, names["dx"], rtol=1e-12)
    assert [c.name for c in others] == ["dgamma", "dbeta"]
    assert max(c.error for c in example.gradients) < 1e-8


@pytest.mark.parametrize("row", catalog.LOSSES, ids=lambda row: row.name)
def test_a_loss_has_values_and_both_gradients(row):
    example = of_loss(row.name)
    names = {}
    exec(example.program, names)
    assert example.values["L"] == names["L"]
    (dy,) = example.gradients
    np.testing.assert_array_equal(dy.analytic, names["dy"])
    assert dy.error < 1e-7


def test_the_page_of_a_loss(book):
    page = (book / "loss/MSE.html").read_text(encoding="utf-8")
    assert "numeric" in page
    assert mathml("dy = 2 (y − t) / n") in page
    code = [html.unescape(re.sub("<[^>]*>", "", c)) for c in re.findall("<code>(.*?)</code>", page)]
    for line in ("return kernels.mse(y, target)", "d = y - target"):
        assert any(line in c for c in code)  # its own, and the kernel's
    assert (book / "loss/BCEWithLogits.html").exists()
    assert "loss/Huber.html" in (book / "index.html").read_text(encoding="utf-8")


def test_figures_on_real_data_are_those_of_the_benchmarks():
    every, measured = figures()
    page = (ROOT.parent / "benchmarks/README.md").read_text(encoding="utf-8")
    assert measured.startswith("Measured on ")
    assert len(every) > 10
    for figure in every:
        assert figure.ours in page
        assert figure.reference in page
        assert all(name in MODELS for name in figure.names)
    for models in MODELS.values():
        for model in models:
            assert hasattr(ta, model)
            assert "quality.py" in figures_of(model)
    assert figures_of("MaskedAutoencoder") == ""


def test_a_models_page_shows_its_figures(book):
    page = (book / "model/Autoencoder.html").read_text(encoding="utf-8")
    assert "<code>python benchmarks/quality.py deep</code>" in page
    assert "<b>2.89</b>" in page
    assert "On real data" in page


def test_noise_is_replayed_in_the_numeric_gradient():
    (dx,) = of_layer("Dropout").gradients
    assert dx.error < 1e-8


def test_a_mistake_is_planted_and_what_the_doctor_says_is_shown(book, dense):
    layer, x, backward = dense
    mistakes = planted(layer, x, backward)
    assert [m.edit.kind for m in mistakes] == [
        "a transpose is forgotten",
        "= stands for +=",
        "a mean stands for a sum, or a sum for a mean",
    ]
    assert [m.diagnosis.kind for m in mistakes] == ["operands", "not_added", "factor"]
    page = (book / "layer/Dense.html").read_text(encoding="utf-8")
    for m in mistakes:
        said = str(diagnose(with_edit(layer, m.edit), x, rng=0))
        assert m.edit.after.strip() in said  # the line is found
        assert html.escape(said) in page
    assert diagnose(layer, x, rng=0).ok  # the layer itself is as it was


def test_relations():
    assert [e.id for e in exercises("Dense")] == ["06_dense_dw", "07_dense_dx_db"]
    assert [e.id for e in exercises("TiedDense")] == ["11_tied_weights"]
    assert [e.id for e in exercises("ConvTranspose2d")] == ["19_conv_transpose"]
    assert [e.id for e in exercises("ContractiveAutoencoder")] == ["15_contractive"]
    assert exercises("LSTM") == []
    expected = ["CodePrior", "MaskedAutoencoder", "PixelAttention", "ConditionedUNet"]
    assert users()[ta.MultiHeadAttention] == [*expected, "TransformerBlock"]


# --- prose and equations ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("f = 1 / (1 + e⁻ˣ)", ["<mfrac><mrow><mn>1</mn></mrow><mrow><mn>1</mn><mo>+</mo>"]),
        ("∂L/∂x", ["<mfrac>"]),
        ("y = x Wᵀ", ["<msup><mi>W</mi><mrow><mi>⊤</mi></mrow></msup>"]),
        ("db = Σₙ dyₙ", ["<munder><mo>∑</mo><mrow><mi>n</mi></mrow></munder>"]),
        ("x̂ = c", ['<mover accent="true"><mi>x</mi>']),
        ("√(v + ε)", ["<msqrt><mrow><mi>v</mi>"]),
        ("dx = dy, reshaped to x's shape", ["&#xA0;reshaped&#xA0;to&#xA0;x&#x27;s"]),
        ("W += 1", ["<mo>+=</mo>"]),
        ("a < b & c", ["&lt;", "&amp;"]),
    ],
)
def test_mathml(line, parts):
    found = mathml(line)
    ET.fromstring(found)
    for part in parts:
        assert part in found


def test_what_is_no_fraction_stays_on_its_line():
    assert "<mfrac>" not in mathml("x (N, C/g)", fractions=False)
    assert "<mfrac>" not in mathml("ln x / y")
    assert mathml("S = q kᵀ / √d").count("<mfrac>") == 1
    assert "<mi>q</mi>" in mathml("S = q kᵀ / √d").split("<mfrac>")[1]  # all of the product
    assert "<mi>a</mi>" not in mathml("a b/c").split("<mfrac>")[1]
    assert "<mfrac>" not in mathml("(y − t) / y / n")  # not (y − t) / (y / n)
    assert "<mfrac>" not in mathml("a and/or b")


@pytest.mark.parametrize("name", ["layers/norm.py", "likelihoods.py", "gradcheck/numeric.py"])
def test_prose_keeps_every_word(name):
    doc = ast.get_docstring(ast.parse((ROOT / name).read_text(encoding="utf-8")))
    shown = html.unescape(re.sub(r"<[^>]*>", " ", prose(doc, Shelf().addresses.links(""))))
    words = set(re.findall(r"[A-Za-z]{4,}", doc)) - {"math", "func", "class"}
    assert words <= set(re.findall(r"[A-Za-z]{4,}", shown))


# --- the command --------------------------------------------------------------------------------


def test_the_verb(tmp_path, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "compression_curve.png").write_bytes(b"\x89PNG")
    out = tmp_path / "book"
    only = ["--only", "models/autoencoder.py", "--pictures", str(pictures)]
    assert main(["book", "-o", str(out), *only]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("book: 4 pages, ")
    assert "index.html" in captured.out
    assert captured.err == ""  # no bar where stderr is no terminal
    page = (out / "model/Autoencoder.html").read_text(encoding="utf-8")
    assert "../pictures/compression_curve.png" in page
    assert not broken_links(out)


def test_pictures_of_the_demos_are_taken_where_they_are(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    only = ["book", "-o", "book", "--only", "models/autoencoder.py"]
    assert main(only) == 0
    page = tmp_path / "book/model/Autoencoder.html"
    assert "<img" not in page.read_text(encoding="utf-8")
    (tmp_path / "demo-out").mkdir()
    (tmp_path / "demo-out/compression.png").write_bytes(b"\x89PNG")
    assert main(only) == 0
    assert "../pictures/compression.png" in page.read_text(encoding="utf-8")


def test_mistakes_in_the_call(tmp_path, capsys):
    assert main(["book", "-o", str(tmp_path / "b"), "--only", "layers/dence.py"]) == 2
    assert "there is no file layers/dence.py in tinyae" in capsys.readouterr().err
    assert main(["book", "-o", str(tmp_path / "b"), "--pictures", str(tmp_path / "none")]) == 2
    assert "no folder" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
    (tmp_path / "file").touch()
    assert main(["book", "-o", str(tmp_path / "file")]) == 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_the_search_box_in_a_browser(book, tmp_path):
    copy = shutil.copytree(book, tmp_path / "copy")
    page = copy / "layer/Dense.html"
    script = """<script>addEventListener("load", () => {
      const box = document.querySelector(".search input");
      box.value = "tied dense";
      box.dispatchEvent(new Event("input"));
    });</script>"""
    page.write_text(page.read_text(encoding="utf-8") + script, encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<div class="search".*?</ol>', done.stdout, re.DOTALL)[0]
    first = re.search(r'<a href="(.*?)" class="chosen"><b>(.*?)</b><i>(.*?)</i>', found)
    assert first.groups() == ("../layer/TiedDense.html", "TiedDense", "layer")
