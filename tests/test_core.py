"""tinyae-core is tinyae without Numba and matplotlib: the two files that describe them agree.

``benchmarks/numpy_only.py`` installs and uses it; ``.ci/run`` runs that.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    tomllib = pytest.importorskip("tomli")

FULL, CORE = (
    tomllib.loads((ROOT / path).read_text(encoding="utf-8"))
    for path in ("pyproject.toml", ".ci/core/pyproject.toml")
)


def test_the_core_needs_numpy_alone_and_of_the_same_version():
    (numpy,) = CORE["project"]["dependencies"]
    assert numpy in FULL["project"]["dependencies"]
    assert re.match("numpy>=", numpy)


@pytest.mark.parametrize("key", ["requires-python", "license", "scripts", "authors"])
def test_both_say_the_same(key):
    assert CORE["project"][key] == FULL["project"][key]


def test_both_are_built_from_the_same_files():
    sources = CORE["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    resolved = {
        target: (ROOT / ".ci" / "core" / source).resolve() for source, target in sources.items()
    }
    assert resolved == {
        "tinyae": ROOT / "tinyae",
        "tinyae/LICENSE": ROOT / "LICENSE",
    }
    version = ROOT / ".ci" / "core" / CORE["tool"]["hatch"]["version"]["path"]
    assert version.resolve() == ROOT / FULL["tool"]["hatch"]["version"]["path"]
