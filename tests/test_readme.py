"""The README: its programs run, its links resolve, and NumPy alone is enough."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_demo_numbers import is_printed, numbers

import tinyae as ta

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "tinyae/README.md", "demos/README.md", "benchmarks/README.md"]


def test_the_ten_lines_run_as_they_stand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[:2]
    names: dict = {}
    exec(compile(program, "README.md", "exec"), names)
    model, digits = names["model"], names["digits"]
    assert names["history"]["validation.total"][-1] < 0.03
    assert ta.gradcheck.check_model(model, digits.x_test[:4], rng=names["rng"]).ok
    x = digits.x_test[:5]
    assert (ta.load("ae.npz").reconstruct(x) == model.reconstruct(x)).all()


def test_the_doctor_says_what_stands_there(tmp_path):
    _, program = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[:2]
    (said,) = re.findall(r"```\n(diagnosis .*?)```", README, re.DOTALL)
    file = tmp_path / "mine.py"
    file.write_text(program, encoding="utf-8")
    environment = {"PYTHONPATH": str(Path(ta.__file__).parent.parent), "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(
        [sys.executable, file],
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    exactness = re.compile(r"exact to \S+,")  # the last digits depend on the processor
    assert exactness.sub("", run.stdout) == exactness.sub("", said)


def test_every_figure_of_the_table_stands_in_the_benchmarks_page():
    """There it stands with the command that prints it, perhaps with more digits."""
    page = numbers((ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8"))
    page += [n / 1_000_000 for n in page]  # 0.70 M
    _, _, rest = README.partition("## How good, how fast")
    table = [line for line in rest.splitlines() if line.startswith("| ")][1:]
    assert len(table) >= 6
    for line in table:
        for figure in numbers(re.sub(r"\(http\S*\)", "", line)):
            assert is_printed(figure, page), (figure, line)


def test_the_front_door_is_short():
    assert len(README.splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    file = ROOT / page
    text = file.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text)
    assert targets
    for target, section in targets:
        led = file.parent / target if target else file
        assert led.exists(), target
        if section:
            heads = re.findall(r"(?m)^#+ (.*)$", led.read_text(encoding="utf-8"))
            assert section in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in heads}


def test_reading_order_is_the_packages_own():
    pages = (ROOT / "tinyae" / "README.md").read_text(encoding="utf-8")
    section = pages.partition("## Reading order")[2].partition("\n## ")[0]
    in_readme = re.findall(r"\(([\w/]+\.py)\)", section)
    in_package = re.findall(r"``([\w/]+\.py)``", ta.__doc__)
    assert {Path(p).name for p in in_package} == {Path(p).name for p in in_readme}


NUMPY_ALONE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np, tinyae as ta
rng = np.random.default_rng(0)
x = rng.random((64, 1, 6, 6), dtype=np.float32)
model = ta.Autoencoder(
    ta.Sequential(ta.Conv2d(1, 2, 3, stride=2, padding="same", rng=rng), ta.GELU(), ta.Flatten(),
                  ta.Dense(18, 4, rng=rng)),
    ta.Sequential(ta.Dense(4, 36, rng=rng), ta.Sigmoid(), ta.Reshape(1, 6, 6)), ta.MSE())
history = ta.fit(model, x, epochs=3, progress=True)
model.save("m.npz")
assert np.array_equal(ta.load("m.npz").reconstruct(x), model.reconstruct(x))
assert ta.kernels.active() == "numpy"
for call, command in (
    (lambda: ta.plot.reconstructions(x, x), "pip install"),
    (lambda: model.save("m.safetensors"), "pip install"),
    (lambda: ta.kernels.use("numba").__enter__(), "pip install numba"),
):
    try:
        call()
    except ModuleNotFoundError as error:
        assert command in str(error), error
    else:
        raise AssertionError("a missing package was not noticed")
from tinyae.cli import main
assert main(["data", "list"]) == 0
print("fine")
"""


def test_numpy_alone_is_enough(tmp_path):
    absent = {"numba", "llvmlite", "matplotlib", "tqdm", "PIL", "safetensors", "sklearn", "scipy"}
    environment = {k: v for k, v in os.environ.items() if k != "TINYAE_KERNELS"}
    run = subprocess.run(
        [sys.executable, "-c", NUMPY_ALONE.format(absent=absent)],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(Path(ta.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip().endswith("fine"), run.stderr


def test_version_stands_in_one_place():
    metadata = pytest.importorskip("importlib.metadata")
    try:
        installed = metadata.version("tinyae")
    except metadata.PackageNotFoundError:
        pytest.skip("tinyae is not installed, only on the path")
    assert installed == ta.__version__
