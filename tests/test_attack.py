"""The attacks of benchmarks/attack.py, each a few times, with hypothesis as the source of chance."""

import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import attack
from benchmarks.attacks import (
    Outcome,
    checkpoints,
    environments,
    kills,
    model_files,
    repeat,
    survival,
)

CASES = {
    "cuts": (model_files.cut, 100),
    "flips": (model_files.flip, 100),
    "headers": (model_files.header, 150),
    "bombs": (model_files.bomb, 10),
    "members": (model_files.member, 80),
    "swaps": (model_files.swap, 40),
    "checkpoint-cuts": (checkpoints.cut, 40),
    "checkpoint-flips": (checkpoints.flip, 60),
    "checkpoints": (checkpoints.crafted, 150),
    "cached-code": (environments.cached_code, 6),
    "tables": (environments.table, 150),
    "pictures": (environments.picture, 150),
    "kills": (kills.kill, 2),
    "survival": (survival.survive, 4),
}
# Tried in test_edges.py, and forks in test_fork_safe.py.
ELSEWHERE = {"misuse", "twins", "torch", "guards", "threads", "forks", "long-runs"}

NEEDS = {"cached-code": "numba", "pictures": "PIL", "survival": "sklearn"}


@pytest.mark.parametrize("name", CASES)
def test_an_attack_breaks_nothing(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    case, examples = CASES[name]
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{name} need {NEEDS[name]}")
    folder = tmp_path_factory.mktemp("attack")

    @settings(max_examples=examples)
    @given(rng=st.randoms(use_true_random=True))
    def law(rng: random.Random) -> None:
        assert case(rng, folder) is None

    law()


@pytest.mark.slow
@pytest.mark.parametrize("kernel_set", survival.KERNELS)
@pytest.mark.parametrize("name", [*survival.MODELS, *survival.ESTIMATORS])
def test_every_kind_of_training_survives_kills(name: str, kernel_set: str, tmp_path: Path) -> None:
    if name in survival.ESTIMATORS:
        pytest.importorskip("sklearn", reason="estimators need scikit-learn")
    rng = random.Random(time.time_ns())
    for _ in range(3):
        assert survival.survive_as(name, kernel_set, rng, tmp_path) is None


def test_every_attack_is_tried() -> None:
    assert attack.ATTACKS.keys() == CASES.keys() | ELSEWHERE


def test_an_attack_without_what_it_needs_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(attack.ATTACKS, "cuts", (repeat(model_files.cut, "no_such_package"), "…"))
    assert attack.main(["--cuts", "3"]) == 0
    assert "skipped: it needs no_such_package; run pip install" in capsys.readouterr().out


def test_the_attack_counts_its_failures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def case(rng: random.Random, folder: Path) -> str | None:
        drawn.append(rng.random())
        if len(drawn) % 5 == 0:
            raise ZeroDivisionError("five")
        return "three" if len(drawn) % 3 == 0 else None

    drawn: list[float] = []
    outcome = repeat(case)(10, 7)
    assert outcome.tries == 10
    assert [text.partition(":")[0] for text in outcome.failures] == [
        f"try {i}" for i in (2, 4, 5, 8, 9)
    ]
    assert "ZeroDivisionError at test_attack.py" in outcome.failures[1]
    first, drawn[:] = list(drawn), []
    repeat(case)(10, 7)
    assert drawn == first

    def fails(budget: int, seed: int) -> Outcome:
        return Outcome(budget, [f"seed {seed}"])

    monkeypatch.setitem(attack.ATTACKS, "cuts", (fails, "…"))
    assert attack.main(["--cuts", "3", "--seed", "9"]) == 1
    assert "3 tries      1 failures" in capsys.readouterr().out
    assert attack.main(["--swaps", "3"]) == 0
    assert attack.main([]) == 2
    assert attack.main(["--list"]) == 0
    listed: Any = capsys.readouterr().out
    assert all(name in listed for name in attack.ATTACKS)
    assert all(set(group) <= set(attack.ATTACKS) for group in attack.GROUPS.values())
