"""The learner's file runs in a child process, where it cannot harm the command.

``examine`` (parent) starts the child, waits for at most ``seconds`` and returns the outcome.
``main`` (child) loads the file, lets the examiner check it, and writes the outcome to a file, so
that it cannot be mixed up with what the learner's code prints.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import types
import warnings
from pathlib import Path
from typing import IO, Any

from tinyae.learn.examiner import Examiner
from tinyae.learn.outcome import Outcome, Row
from tinyae.learn.track import Entry, find
from tinyae.learn.wording import place

SECONDS = 10.0
PRINTED = 2_000  # characters of the learner's own output that are shown
MEMORY = 3 << 30  # bytes, if the system can limit a process (not on Windows)

# The child imports tinyae from where the parent did, and runs in an empty folder. So no file next
# to the learner's, such as a numpy.py, is imported by mistake.
_START = """
import sys
root = {root!r}
if root not in sys.path:
    sys.path.insert(0, root)
from tinyae.learn.child import main
main({id!r}, {path!r}, {outcome!r}, {full!r})
"""


# --- the parent's side --------------------------------------------------------------------------


def examine(entry: Entry, path: Path, seconds: float = SECONDS, full: bool = False) -> Outcome:
    """The outcome of the check of a learner's file; ``full`` includes all that the doctor says."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        outcome = Path(folder) / "outcome.json"
        root = str(Path(__file__).resolve().parents[2])
        code = _START.format(
            root=root, id=entry.id, path=str(path.resolve()), outcome=str(outcome), full=full
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        )
        assert process.stdout is not None
        printed: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(process.stdout, printed), daemon=True)
        reader.start()
        stopped = False
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            stopped = True
        finally:
            process.kill()
            process.wait()
            reader.join(1.0)
        text = b"".join(printed).decode("utf-8", "replace")
        result = _read(outcome)
    if stopped:
        result = Outcome([Row("no", "stopped", _timeout_text(seconds))])
    elif result is None:
        result = Outcome([Row("no", "ended", _exit_text(process.returncode, text))])
    result.printed = text
    return result


def _drain(pipe: IO[bytes], chunks: list[bytes]) -> None:
    """Read the pipe to its end, so that the child never blocks, and keep the beginning."""
    remaining = 4 * PRINTED
    with pipe, contextlib.suppress(OSError, ValueError):
        while chunk := pipe.read1(65536):  # type: ignore[attr-defined]
            chunks.append(chunk[:remaining])
            remaining -= len(chunks[-1])


def _read(path: Path) -> Outcome | None:
    try:
        return Outcome.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _timeout_text(seconds: float) -> str:
    return (
        f"your file had not finished after {seconds:g} s and was stopped. A check takes less than a "
        "second: look for a loop that never ends, or one that runs over far too much."
    )


def _exit_text(code: int, printed: str) -> str:
    if "MemoryError" in printed or "Unable to allocate" in printed:
        return "Python ran out of memory: look for an array, or a list, that is far too large."
    return (
        f"Python ended (exit code {code}) before the check was through. Does the file call "
        "os._exit, or use up all memory?"
    )


# --- the child's side ---------------------------------------------------------------------------


def main(id: str, path: str, outcome: str, full: bool) -> None:
    """Check the file at ``path``; write the outcome as JSON."""
    _limit_memory()
    text = json.dumps(check(find(id), Path(path), full).to_json())
    Path(outcome).write_text(text, encoding="utf-8")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(0)  # the outcome is written: do not wait for threads or exit handlers


def check(entry: Entry, path: Path, full: bool = False) -> Outcome:
    """The examiner's outcome, with NumPy's warnings from the learner's lines."""
    path = path.resolve()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = _examine(entry, path, full)
    for w in caught:
        if issubclass(w.category, RuntimeWarning) and Path(w.filename) == path:
            outcome.warn(f"{w.message} (line {w.lineno})")
    return outcome


def _examine(entry: Entry, path: Path, full: bool) -> Outcome:
    exercise = entry.exercise
    solution = load(entry.solution_path, "solution")
    try:
        mine = load(path, "exercise")
    except BaseException as error:  # the file may raise anything, even SystemExit
        return Outcome([Row("no", "import", _not_imported(error, path))])
    examiner = Examiner(mine, solution, path, full, exercise.names_lines)
    try:
        exercise.check(examiner)
        return examiner.outcome()
    except BaseException as error:
        text = f"the check itself stopped: {type(error).__name__}: {error}{place(error, path)}"
        return Outcome([*examiner.rows, Row("no", "stopped", text)])


def load(path: Path, name: str) -> types.ModuleType:
    """The file as a module, under a name that nothing else has."""
    spec = importlib.util.spec_from_file_location(f"tinyae_learn_{name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(module)
    return module


def _not_imported(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        line = f", line {error.lineno}" if error.lineno else ""
        shown = f": {error.text.strip()}" if error.text else ""
        return f"the file cannot be read as Python{line}: {error.msg}{shown}"
    if isinstance(error, SystemExit):
        return f"the file ends Python while it is imported (sys.exit or quit){place(error, path)}"
    if isinstance(error, EOFError):
        return f"the file asks for input while it is imported{place(error, path)}"
    if isinstance(error, UnicodeDecodeError):
        return "the file is no UTF-8 text: save it as UTF-8"
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"the file cannot be imported: {what}{place(error, path)}"


def _limit_memory() -> None:
    """Limit this process to MEMORY bytes, if the system can: then Python raises MemoryError."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows, where only the time limit applies
        return
    for what in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        with contextlib.suppress(ValueError, OSError):
            _, hard = resource.getrlimit(what)
            limit: Any = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
            resource.setrlimit(what, (limit, hard))
