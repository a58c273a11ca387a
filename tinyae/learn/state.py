"""What a learner has done so far: one JSON file, written whole or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "state.json"


@dataclass
class Record:
    """One exercise: passed, how often checked, how many hints were read, solution looked at."""

    passed: bool = False
    checks: int = 0
    hints: int = 0
    solution_shown: bool = False


@dataclass
class State:
    folder: Path
    current: str = ""
    records: dict[str, Record] = field(default_factory=dict)
    warning: str = ""  # what was wrong with the file, if it could not be read

    def of(self, id: str) -> Record:
        return self.records.setdefault(id, Record())

    def save(self) -> None:
        """Into a file beside it first: an interruption leaves the old state, never half a one."""
        self.folder.mkdir(exist_ok=True)
        records = {id: asdict(record) for id, record in sorted(self.records.items())}
        text = json.dumps({"current": self.current, "exercises": records}, indent=1)
        beside = self.folder / f"{FILE}.{os.getpid()}.tmp"
        try:
            beside.write_text(text + "\n", encoding="utf-8")
            os.replace(beside, self.folder / FILE)
        finally:
            beside.unlink(missing_ok=True)


def load(folder: Path) -> State:
    """The state in ``folder``. A file that cannot be read is set aside, with a warning."""
    path = folder / FILE
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return State(folder)
    except UnicodeDecodeError as error:
        return _set_aside(path, str(error))
    try:
        return _parse(folder, json.loads(text))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return _set_aside(path, str(error))


def _parse(folder: Path, data: Any) -> State:
    state = State(folder, current=data.get("current", ""))
    if not isinstance(state.current, str):
        raise TypeError(f"current is {state.current!r}, expected a string")
    for id, values in data.get("exercises", {}).items():
        record = Record()
        for name, default in asdict(record).items():
            value = values.get(name, default)
            if type(value) is not type(default):
                raise TypeError(f"{id}: {name} is {value!r}, expected {type(default).__name__}")
            setattr(record, name, value)
        state.records[id] = record
    return state


def _set_aside(path: Path, why: str) -> State:
    kept = free_name(path, ".broken")
    os.replace(path, kept)
    warning = (
        f"{path} could not be read ({why}). It is kept as {kept.name}, and a new one begun; "
        "your exercises are untouched: `tinyae learn check NN` marks each as done again."
    )
    return State(path.parent, warning=warning)


def free_name(path: Path, suffix: str) -> Path:
    """path.bak, or path.bak2, path.bak3, …: the first that does not exist yet."""
    kept = path.with_name(path.name + suffix)
    number = 2
    while kept.exists():
        kept = path.with_name(f"{path.name}{suffix}{number}")
        number += 1
    return kept
