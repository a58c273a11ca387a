"""The numbers in the demos' page and their docstrings are those that the demos print.

``demos/record.py`` keeps what each prints in demos/output/. A number of the page must be there,
rounded as the page rounds it; a whole number may also be one that the demo is given.
"""

from __future__ import annotations

import importlib.util
import re
from decimal import Decimal
from pathlib import Path

import pytest

DEMOS = Path(__file__).parent.parent / "demos"
NAMES = sorted(path.stem for path in DEMOS.glob("[0-9]*.py"))
NEEDED = {"11_custom_function": "torch"}
NUMBER = re.compile(r"(?<![\w.])[−+-]?\d[\d,]*(?:\.\d+)?(?:e[−-]?\d+)?")


def numbers(text: str) -> list[Decimal]:
    """Every number in a text, with as many digits as it shows."""
    found = (m.replace(",", "").replace("−", "-").lstrip("+") for m in NUMBER.findall(text))
    return [Decimal(number) for number in found]


def row_of(name: str) -> str:
    """The last cell of a demo's row in the page."""
    page = (DEMOS / "README.md").read_text(encoding="utf-8")
    (line,) = (line for line in page.splitlines() if f"({name}.py)" in line)
    return line.rstrip(" |").rpartition("|")[2]


def is_printed(number: Decimal, among: list[Decimal]) -> bool:
    """Whether some number, rounded to the digits of this one, is this one; signs may differ."""
    unit = Decimal(1).scaleb(int(number.as_tuple().exponent))
    near = (abs(abs(n) - abs(number)) <= unit / 2 for n in among if n.is_finite())
    return any(near)


def missing(text: str, printed: str, source: str) -> list[str]:
    """The numbers of a text that were not printed; whole ones may also stand in the source."""
    among, given = numbers(printed), {n for n in numbers(source) if n == n.to_integral_value()}
    return [str(n) for n in numbers(text) if not is_printed(n, among) and n not in given]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_what_the_demo_prints(name: str) -> None:
    output = DEMOS / "output" / f"{name}.txt"
    assert output.exists(), f"run python demos/record.py {name[:2]}"
    source = (DEMOS / f"{name}.py").read_text(encoding="utf-8")
    row = re.sub(r"σ = 0\.4", "", row_of(name))  # an option
    assert numbers(row)
    assert not missing(row, output.read_text(encoding="utf-8"), source)


@pytest.mark.parametrize(
    ("text", "printed", "source", "wanted"),
    [
        ("error 0.017, PCA 0.034", "pca 0.03449 deep 0.01723", "", []),
        ("error 0.018", "pca 0.03449 deep 0.01723", "", ["0.018"]),
        ("12 of 100", "12.4 sure", "x = 100", []),
        ("2.5 dB", "2 dB", "gain = 2.5", ["2.5"]),
        ("1.9e-6", "1.93e-06", "", []),
        ("1,024 beats, 97 %", "1024 beats, 96.6 %", "", []),
        ("−ELBO 140.7", "-ELBO 140.71", "", []),
    ],
)
def test_what_was_not_printed_is_found(
    text: str, printed: str, source: str, wanted: list[str]
) -> None:
    assert missing(text, printed, source) == wanted


def recorder():  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location("record", DEMOS / "record.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_new_run_prints_what_was_kept(name: str) -> None:
    """The same words, and numbers that differ by no more than another processor's rounding leads to."""
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    kept, new = (
        (DEMOS / "output" / f"{name}.txt").read_text(encoding="utf-8"),
        recorder().printed(name),
    )
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (kept, new)]
    assert words[0] == words[1]
    for a, b in zip(map(float, numbers(kept)), map(float, numbers(new))):
        assert abs(a - b) <= 0.15 * max(abs(a), abs(b)) + 0.02, (a, b)
