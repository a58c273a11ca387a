"""A learner's progress: one JSON file, which is replaced as a whole."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinyae import files

FILE = "state.json"


@dataclass
class Record:
    """The progress in one exercise: passed, number of checks and hints, solution shown."""

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
        """Write the file; an interruption leaves the old state."""
        self.folder.mkdir(exist_ok=True)
        records = {id: asdict(record) for id, record in sorted(self.records.items())}
        text = json.dumps({"current": self.current, "exercises": records}, indent=1)
        files.write_text("learn", self.folder / FILE, text + "\n")


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
    backup = free_name(path, ".broken")
    os.replace(path, backup)
    warning = (
        f"{path} could not be read ({why}). It is kept as {backup.name}, and a new one begun; "
        "your exercises are untouched: `tinyae learn check NN` marks each as done again."
    )
    return State(path.parent, warning=warning)


def free_name(path: Path, suffix: str) -> Path:
    """path.bak, path.bak2, path.bak3, …: the first name that does not exist yet."""
    candidate = path.with_name(path.name + suffix)
    number = 2
    while candidate.exists():
        candidate = path.with_name(f"{path.name}{suffix}{number}")
        number += 1
    return candidate
