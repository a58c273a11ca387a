"""The page about a trained model: what it says is measured, what it shows answers, nothing is loaded."""

from __future__ import annotations

import base64
import inspect
import io
import json
import re

import numpy as np
import pytest
from chromium import CHROMIUM, Page

import tinyae as ta
from tinyae.catalog import MODELS, integers_from
from tinyae.cli import main
from tinyae.report.comparison import compare, truncated
from tinyae.report.drawing import log_ticks, nice_ticks, text_of
from tinyae.report.explorer import _apart, _contour
from tinyae.report.network import steps
from tinyae.report.samples import look_at, png

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: install chromium")


def epochs(*totals):
    made = [
        ta.training.history.Epoch(k, {"total": t}, {"total": t + 0.1}, 0.5, 1e-3)
        for k, t in enumerate(totals, 1)
    ]
    return ta.History(made)


@pytest.fixture(scope="module")
def digits():
    """A small model of handwriting, which has seen a little of it, and its page."""
    rng = np.random.default_rng(0)
    x, y = ta.data.make_strokes(600, rng)
    model = ta.Autoencoder(*ta.dense_encoder_decoder((1, 28, 28), [32, 6], rng=rng), ta.MSE())
    learnt, held_out, x, y = x[:300], x[500:], x[300:500], y[300:500]
    history = ta.fit(model, learnt, epochs=4, validation=x, rng=0, progress=False)
    model.calibrate(held_out)
    return model, x, learnt, ta.report(model, x, history, labels=y, train=learnt)


@pytest.fixture(scope="module")
def table():
    """Columns of very different units, a rarer class, and a page about a model of them."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(200, 2))
    x = np.column_stack([20 + z[:, 0], 1e5 + 1e3 * z[:, 1], 1e-3 * (z[:, 0] - z[:, 1]), z])
    x = x.astype(np.float32)
    labels = np.zeros(200, int)
    labels[:20] = 1
    x[:20, 1] += 2e4
    model = ta.Autoencoder(*ta.dense_encoder_decoder((5,), [8, 2], output=None, rng=rng), ta.MSE())
    model.scaler = ta.Scaler.standard(x[20:])
    model.columns = ["temperature", "pressure", "flow <in>", "a", "b"]
    model.calibrate(x[20:])
    names = [f"pump {k}" for k in range(200)]
    page = ta.report(model, x, labels=labels, classes=["normal", "faulty"], names=names)
    return model, x, page


def data_of(report):
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', report.html)[1]
    return json.loads(text)


# ---- what it says -----------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_metrics(digits):
    model, x, _, page = digits
    error = ta.metrics.mse(model.reconstruct(x), x)
    assert f"<dt>mean squared error</dt><dd>{text_of(error)}</dd>" in page.html
    assert f'<td class="n">{error:.5f}</td>' in page.html
    scores = np.frombuffer(base64.b64decode(data_of(page)["all"]), np.float32)
    np.testing.assert_allclose(scores, np.sort(model.score(x)), rtol=1e-6)
    assert text_of(model.threshold) in page.html
    flagged = int(model.flags(x).sum())
    assert f"<td>{text_of(model.threshold, 4)}</td><td>{flagged}</td>" in page.html


def test_nothing_is_loaded_from_anywhere(digits, table):
    for *_, page in (digits, table):
        assert not re.search(r'(src|href)="(?!data:|#)', page.html)
        assert "default-src 'none'" in page.html
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page.html)


def test_names_of_the_data_are_text_not_markup(table):
    *_, page = table
    assert "flow <in>" not in page.html
    assert "flow &lt;in&gt;" in page.html
    assert data_of(page)["columns"][2] == "flow <in>"


def test_rows_are_called_by_their_names(table):
    *_, page = table
    assert "pump 7" in data_of(page)["names"]
    assert 'aria-label="pump' in page.html


def test_the_comparison_is_the_one_of_the_command(digits):
    model, x, train, _ = digits
    found = compare(model, x, train, components=20)
    assert [q.size for q in found.qualities] == [6, 6, 6]
    assert found.own.mse == ta.metrics.mse(found.y, x)
    own = ta.metrics.PCA(6).fit(train)
    np.testing.assert_allclose(
        truncated(found.pca, 6).reconstruct(x), own.reconstruct(x), atol=1e-6
    )
    assert found.of_pca.mse == pytest.approx(ta.metrics.mse(own.reconstruct(x), x), rel=1e-6)


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.name)
def test_every_model_has_a_page_or_is_refused_by_name(row):
    rng = np.random.default_rng(1)
    model, x = row.draw(integers_from(rng), rng)
    x = tuple(np.tile(a, (6, *[1] * (a.ndim - 1))) for a in (x if isinstance(x, tuple) else (x,)))
    x = x if len(x) > 1 else x[0]
    draws_pictures = hasattr(model, "sample") and not isinstance(model, ta.CodePrior)
    if not hasattr(model, "reconstruct") and not draws_pictures:
        with pytest.raises(TypeError, match=r"neither reconstructs nor samples.*; expected"):
            ta.report(model, x)
        return
    before = {name: p.value.copy() for name, p in model.params.items()}
    page = ta.report(model, x, epochs(0.5, 0.3))
    assert page.html.count("<section") >= 2
    for name, value in before.items():
        np.testing.assert_array_equal(model.params[name].value, value)


def test_a_gan_has_samples_and_a_map():
    rng = np.random.default_rng(0)
    gan = ta.GAN(*ta.dense_gan((1, 8, 8), (12,), 5, rng=rng, output=ta.Sigmoid))
    page = ta.report(gan, rng.random((20, 1, 8, 8), np.float32))
    assert "40 samples" in page.html
    assert "const decode = " in page.html
    assert "reconstructions" not in page.html.split("<script")[0]


def test_the_network_is_told_layer_by_layer(digits):
    model, x, *_ = digits
    found = steps(model, x)
    assert [s.kind for s in found] == ["Dense + ReLU", "Dense", "Dense + ReLU", "Dense + Sigmoid"]
    assert [s.shape for s in found] == [(32,), (6,), (32,), (1, 28, 28)]
    assert [s.is_code for s in found] == [False, True, False, False]
    assert sum(s.parameters for s in found) == sum(p.size for p in model.params.values())


@pytest.mark.parametrize(
    ("shape", "columns", "kind"),
    [
        ((1, 8, 8), None, "image"),
        ((3, 8, 8), None, "image"),
        ((2, 40), None, "signal"),
        ((140,), None, "signal"),
        ((5,), None, "table"),
        ((100,), [f"c{k}" for k in range(100)], "table"),
    ],
)
def test_the_look_follows_the_shape(shape, columns, kind):
    x = np.random.default_rng(0).normal(size=(6, *shape))
    look = look_at(x, columns, None)
    assert look.kind == kind
    assert look.view(x[0]).size == x[0].size


def test_png_is_read_back():
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for shape in ((5, 7), (5, 7, 3), (5, 7, 4)):
        pixels = rng.integers(0, 256, shape, np.uint8)
        content = base64.b64decode(png(pixels).split(",")[1])
        np.testing.assert_array_equal(np.asarray(image.open(io.BytesIO(content))), pixels)


def test_ticks_are_round_and_inside():
    assert nice_ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert nice_ticks(3, 3) == [3]
    assert log_ticks(0.015, 0.3) == pytest.approx([0.02, 0.05, 0.1, 0.2])


def test_a_contour_passes_where_the_density_is():
    j = np.arange(62)
    density = np.broadcast_to(j, (60, 62)).astype(float)  # rises to the right, 10 a column
    places = re.findall(r"[ML]([\d.]+),", _contour(density, 20.25))
    assert {float(p) for p in places} == {10 * (20.25 + 0.5)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.zeros((1, 5))}, "at least 2 rows"),
        ({"x": np.full((4, 5), np.nan)}, "nan"),
        ({"labels": [0, 1]}, "labels have shape"),
        ({"columns": ["a"]}, "columns has 1 names"),
        ({"kind": "film"}, "kind is 'film'"),
        ({"kind": "image"}, "a square number of pixels"),
        ({"classes": ["a"], "labels": np.arange(200) % 2}, "classes has 1 names"),
    ],
)
def test_mistakes_are_named(table, given, message):
    model, x, _ = table
    with pytest.raises(ValueError, match=message):
        ta.report(model, **{"x": x, **given})


def test_a_model_that_diverged_has_a_page_that_says_so():
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(*ta.dense_encoder_decoder((6,), [4, 2], rng=rng), ta.MSE())
    model.decoder.layers[0].W.value[0, 0] = np.nan
    page = ta.report(model, rng.random((20, 6), np.float32), epochs(0.4, 0.5, np.nan))
    assert "weights that are not finite" in page.html
    assert "Diverged" in page.html
    assert "=nan" not in page.html.lower()


def test_a_notebook_shows_it(table):
    *_, page = table
    shown = page._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert shown.count('"') < 10  # the page's own are escaped


def test_progress_is_for_terminals(table, monkeypatch, capsys):
    model, x, _ = table
    ta.report(model, x, progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    ta.report(model, x, progress=True)
    assert "report: reconstructing" in capsys.readouterr().err


def test_words_on_the_map_do_not_cover_each_other():
    places = _apart(np.array([[100.0, 100], [104, 101], [300, 100]]), [6, 6, 6])
    assert abs(places[0, 1] - places[1, 1]) >= 19
    np.testing.assert_array_equal(places[2], [300, 100])


def test_the_package_can_be_called():
    import tinyae.report

    assert ta.report is tinyae.report
    assert callable(ta.report)
    assert inspect.signature(ta.report) == inspect.signature(ta.report.report)


# ---- the commands -----------------------------------------------------------------------------------


def test_the_verb_and_the_option_of_train(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["heat,flow,wear,fault"]
    for k in range(60):
        a, b = rng.normal(size=2)
        lines.append(f"{20 + a:.3f},{1000 + 10 * b:.2f},{a - b:.3f},{int(k % 6 == 0)}")
    (tmp_path / "pumps.csv").write_text("\n".join(lines))
    common = ["--data", "pumps.csv", "--label", "fault"]
    train = ["train", *common, "--units", "4", "2", "--epochs", "3", "--quiet"]
    assert main([*train, "--checkpoint", "run.npz", "--report", "first.html"]) == 0
    assert "report: first.html" in capsys.readouterr().out
    assert "epoch" in (tmp_path / "first.html").read_text(encoding="utf-8")
    assert main(["report", "model.npz", *common, "--history", "run.npz", "-o", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "trained for 3 epochs" in page
    assert "wear" in page
    assert main(["report", "model.npz", *common, "-o", "own.html"]) == 0  # the model keeps them
    assert "trained for 3 epochs" in (tmp_path / "own.html").read_text(encoding="utf-8")
    assert main(["report", "model.npz", *common, "-o", "page.html"]) == 2
    assert "page.html exists" in capsys.readouterr().err
    assert main(["report", "model.npz", *common, "--history", "model.npz", "-o", "b.html"]) == 2
    assert "not a checkpoint" in capsys.readouterr().err


# ---- in a browser -----------------------------------------------------------------------------------

SET = (
    "(e => { e.value = e.%s; e.dispatchEvent(new Event('input')); })(document.querySelector('%s'))"
)
PICTURE = "document.querySelector('#shown canvas').toDataURL()"


def middle(page, selector):
    box = f"document.querySelector('{selector}').getBoundingClientRect()"
    return tuple(page.evaluate(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})"))


@needs_chromium
def test_the_page_answers_in_a_browser(digits, tmp_path):
    model, x, _, report = digits
    path = tmp_path / "report.html"
    report.save(path)
    with Page(path) as page:
        assert not page.complaints
        assert all(url.startswith(("file:", "data:")) for url in page.requests)
        # The decoder in the page is the model's.
        z = model.encode(x[:2])
        for code, want in zip(z, model.decode(z)):
            got = page.evaluate(f"[...decode({code.tolist()})]")
            np.testing.assert_allclose(got, want.ravel(), rtol=0, atol=1e-5)
        # Dragging the ring changes the picture, and so does a key and a slider.
        page.evaluate(
            "document.getElementById('map').scrollIntoView({block: 'center', behavior: 'instant'})"
        )
        pictures = [page.evaluate(PICTURE)]
        start = middle(page, "#handle")
        page.drag(start, (start[0] - 60, start[1] + 45))
        pictures.append(page.evaluate(PICTURE))
        end = middle(page, "#handle")
        assert np.hypot(end[0] - start[0] + 60, end[1] - start[1] - 45) < 3
        page.evaluate("document.getElementById('handle').focus()")
        page.key("ArrowRight")
        pictures.append(page.evaluate(PICTURE))
        page.evaluate(SET % ("max", "[data-axis]"))
        page.frame()
        pictures.append(page.evaluate(PICTURE))
        assert len(set(pictures)) == 4
        # A click on an unusual sample says why.
        page.evaluate("document.querySelectorAll('[data-row]')[1].click()")
        worst = np.argsort(-model.score(x), kind="stable")[1]
        assert f"Sample {worst}" in page.evaluate("document.getElementById('why').innerText")
        # The threshold is the model's, and moves.
        n = int(model.flags(x).sum())
        said = "document.getElementById('cut-said').value"
        assert f": {n} of 200 samples" in page.evaluate(said)
        page.evaluate(SET % ("min", "#cut"))
        assert re.search(r": (199|200) of 200 samples", page.evaluate(said))  # 32 bits in the page
        # There is time for it thirty times a second.
        milliseconds = page.evaluate(
            "(() => { const start = performance.now(), z = new Float32Array(6); "
            "for (let k = 0; k < 60; k++) decode(z.fill(k)); "
            "return (performance.now() - start) / 60; })()"
        )
        assert milliseconds < 1000 / 30
        # Whatever can be reached has a name, and its key.
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        reached = [n for n in nodes if n["role"]["value"] in ("button", "slider", "link", "image")]
        assert len(reached) > 30
        assert all(n["name"]["value"] for n in reached if not n["ignored"])
        assert not page.complaints


@needs_chromium
def test_thirty_pictures_a_second_while_dragging(tmp_path):
    """A decoder 784 wide, as that of the demo."""
    rng = np.random.default_rng(0)
    x, _ = ta.data.make_strokes(200, rng)
    model = ta.Autoencoder(*ta.dense_encoder_decoder((1, 28, 28), [256, 16], rng=rng), ta.MSE())
    path = tmp_path / "report.html"
    ta.report(model, x, path=path)
    with Page(path) as page:
        page.evaluate(
            "document.getElementById('map').scrollIntoView({block: 'center', behavior: 'instant'});"
            "window.drawn = [];"
            "const own = document.querySelector('#shown canvas'), put = "
            "CanvasRenderingContext2D.prototype.putImageData;"
            "CanvasRenderingContext2D.prototype.putImageData = function (...all) {"
            "  if (this.canvas === own) drawn.push(1);"
            "  return put.apply(this, all); }"
        )
        page.call("Performance.enable", timeDomain="threadTicks")  # whatever else the machine does

        def busy() -> float:
            """The seconds that the page's thread has computed: script, layout and painting."""
            metrics = page.call("Performance.getMetrics")["metrics"]
            return next(m["value"] for m in metrics if m["name"] == "TaskDuration")

        x, y = middle(page, "#handle")
        start = busy()
        page.drag((x, y), (x - 80, y + 60), steps=60)
        seconds, pictures = busy() - start, len(page.evaluate("drawn"))
        assert pictures > 30
        assert 0 < seconds / pictures < 1 / 30


@needs_chromium
def test_a_table_answers_too(table, tmp_path):
    model, x, report = table
    path = tmp_path / "report.html"
    report.save(path)
    with Page(path, dark=True) as page:
        why = page.evaluate("document.getElementById('why').innerText")
        errors = model.reconstruction_error(x, per_feature=True)
        worst = int(model.score(x).argmax())
        assert f"Pump {worst}" in why or f"pump {worst}" in why
        assert model.columns[int(errors[worst].argmax())] in why
        shown = "document.getElementById('shown').innerText"
        before = page.evaluate(shown)
        page.evaluate("document.getElementById('centre').click()")
        page.frame()
        assert page.evaluate(shown) != before
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        assert not page.complaints
