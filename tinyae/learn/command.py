"""The verbs of ``tinyae learn``: list, start, check, hint, solution, watch, reset."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tinyae import files
from tinyae.learn import child
from tinyae.learn.outcome import Outcome
from tinyae.learn.state import FILE, State, free_name, load
from tinyae.learn.track import TRACK, Entry, find

FOLDER = "tinyae_learn"
HINTS = 3
MARKS = {"ok": "  ok   ", "no": "WRONG  ", "todo": "to do  "}
WIDTH = 96


class Misuse(Exception):
    """The command was called wrongly: print the message, and exit with code 2."""


def run(args: argparse.Namespace) -> int:
    """Run one verb. Return 0 for success, 1 for a failed check, 2 for a mistake in the call."""
    folder = _folder()
    try:
        state = load(folder)
        if state.warning:
            say(f"Note: {state.warning}\n")
            state.save()
        return VERBS[args.learn_verb or "list"](args, state)
    except BrokenPipeError:
        raise
    except (Misuse, OSError) as error:
        print(f"tinyae learn: {error}", file=sys.stderr)
        return 2


def _folder() -> Path:
    """./tinyae_learn, or the current folder if it is that one."""
    here = Path.cwd()
    return here if here.name == FOLDER and (here / FILE).exists() else Path(FOLDER)


# --- the verbs ----------------------------------------------------------------------------------


def list_(args: argparse.Namespace, state: State) -> int:
    done = 0
    for entry in TRACK:
        record = state.records.get(entry.id)
        passed = record is not None and record.passed
        done += passed
        begun = path_of(entry, state).exists()
        mark = "done" if passed else "open" if begun else ""
        notes = []
        if record and record.hints:
            notes.append(f"{record.hints} hint{'s' if record.hints > 1 else ''} used")
        if record and record.solution_shown:
            notes.append("solution read")
        if entry.id == state.current:
            notes.append("current")
        end = f"  ({', '.join(notes)})" if notes else ""
        if entry.part:
            say(f"{entry.part}" if entry is TRACK[0] else f"\n{entry.part}")
        say(f"  {mark:<5} {entry.id:<25} {entry.exercise.title}{end}")
    say(f"\n{done} of {len(TRACK)} done. " + _next_step(state))
    return 0


def start(args: argparse.Namespace, state: State) -> int:
    entry = _find(args.exercise) if args.exercise else _first_open(state)
    path = path_of(entry, state)
    state.folder.mkdir(exist_ok=True)
    written = False
    if not path.exists():
        files.write_text("learn", path, entry.start())
        written = True
    state.current = entry.id
    state.of(entry.id)
    state.save()
    exercise, number = entry.exercise, f"{entry.number:02d}"
    if written:
        say(f"Wrote {path}: {exercise.title}.")
        task = exercise.task or f"Read it and write {' and '.join(exercise.fill)}"
        text = f"{task}; save it; then `tinyae learn check`. If you are stuck: `tinyae learn hint`."
        say(_wrapped(text, ""))
    else:
        say(f"{path} exists and is left as it is; it is the current exercise now.")
        say(f"To begin it anew: `tinyae learn reset {number}`.")
    return 0


def check(args: argparse.Namespace, state: State) -> int:
    entry = _chosen(args, state)
    seconds = child.SECONDS if args.seconds is None else args.seconds
    return _check(entry, state, args.more, seconds)


def _check(entry: Entry, state: State, more: bool, seconds: float) -> int:
    path = _existing(entry, state)
    outcome = child.examine(entry, path, seconds, full=more)
    state = load(state.folder)  # another verb may have changed it during the check
    record = state.of(entry.id)
    record.checks += 1
    record.passed = record.passed or outcome.ok
    state.current = entry.id
    state.save()
    say(f"{entry.id} · {entry.exercise.title}")
    show(outcome, entry, more)
    if outcome.ok:
        say("")
        say(_wrapped(f"All right. {_after(entry, state)}", ""))
        say(f"The library's own: {_place(entry)}")
    return 0 if outcome.ok else 1


def hint(args: argparse.Namespace, state: State) -> int:
    entry = _chosen(args, state)
    record = state.of(entry.id)
    level = min(record.hints + 1, HINTS)
    say(f"{entry.id}, hint {level} of {HINTS}:")
    say(_wrapped(entry.exercise.hints[level - 1], "  "))
    if level == HINTS:
        say(f"That is the last. A solution: `tinyae learn solution {entry.number:02d} --show`.")
    record.hints = level
    state.current = entry.id
    state.save()
    return 0


def solution(args: argparse.Namespace, state: State) -> int:
    entry = _chosen(args, state)
    record = state.of(entry.id)
    if not (record.passed or args.show):
        say(
            f"{entry.id} is not passed yet. `tinyae learn hint {entry.number:02d}` helps; "
            f"`tinyae learn solution {entry.number:02d} --show` shows the solution all the same."
        )
        return 1
    if not record.passed:
        record.solution_shown = True
        state.save()
    say(entry.solution().rstrip("\n"))
    return 0


def watch(args: argparse.Namespace, state: State) -> int:
    only = _find(args.exercise) if args.exercise else None
    if only is not None:
        _existing(only, state)
    elif not state.folder.is_dir():
        raise Misuse("there is no exercise to watch: `tinyae learn start 01` writes the first")
    where = state.folder if only is None else path_of(only, state)
    file = "an exercise's file" if only is None else "it"
    say(f"Watching {where}. Save {file} to have it checked; Ctrl-C ends.")
    sys.stdout.flush()
    for entry in changes(state):
        if only not in (None, entry):
            continue
        say("")
        with contextlib.suppress(Misuse):  # the file was deleted
            _check(entry, load(state.folder), more=False, seconds=child.SECONDS)
        sys.stdout.flush()
    return 0


def changes(state: State, pause: float = 0.3) -> Iterator[Entry]:
    """Yield each exercise whose file has changed, once per change, when writing is complete."""
    seen = _stamps(state)
    while True:
        time.sleep(pause)
        now = _stamps(state)
        changed = [e for e in TRACK if e.id in now and now[e.id] != seen.get(e.id)]
        if not changed:
            seen = now
            continue
        time.sleep(pause / 3)
        settled = _stamps(state)
        for entry in changed:
            if settled.get(entry.id) == now[entry.id]:
                seen[entry.id] = now[entry.id]
                yield entry


def _stamps(state: State) -> dict[str, tuple[int, int]]:
    stamps = {}
    for entry in TRACK:
        try:
            stat = path_of(entry, state).stat()
        except OSError:  # not started, or an editor is just replacing it
            continue
        stamps[entry.id] = (stat.st_mtime_ns, stat.st_size)
    return stamps


def reset(args: argparse.Namespace, state: State) -> int:
    entry = _chosen(args, state)
    path = _existing(entry, state)
    fresh = entry.start()
    if path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n") == fresh:
        say(f"{path} is as `start` wrote it: nothing to do.")
    else:
        backup = free_name(path, ".bak")
        path.rename(backup)
        files.write_text("learn", path, fresh)
        say(f"{path} is new again; your version is kept as {backup.name}.")
    state.of(entry.id).passed = False
    state.current = entry.id
    state.save()
    return 0


VERBS: dict[str, Callable[[argparse.Namespace, State], int]] = {
    "list": list_,
    "start": start,
    "check": check,
    "hint": hint,
    "solution": solution,
    "watch": watch,
    "reset": reset,
}


# --- which exercise -----------------------------------------------------------------------------


def path_of(entry: Entry, state: State) -> Path:
    return state.folder / f"{entry.id}.py"


def _find(text: str) -> Entry:
    try:
        return find(text)
    except ValueError as error:
        raise Misuse(str(error)) from None


def _chosen(args: argparse.Namespace, state: State) -> Entry:
    if args.exercise:
        return _find(args.exercise)
    if not state.current:
        raise Misuse("no exercise has been started: `tinyae learn start 01` writes the first")
    return _find(state.current)


def _existing(entry: Entry, state: State) -> Path:
    path = path_of(entry, state)
    if not path.is_file():
        raise Misuse(f"there is no {path}: `tinyae learn start {entry.number:02d}` writes it")
    return path


def _first_open(state: State) -> Entry:
    for entry in TRACK:
        if not (entry.id in state.records and state.records[entry.id].passed):
            return entry
    raise Misuse("every exercise is done; name one to begin it: `tinyae learn start 06`")


def _after(entry: Entry, state: State) -> str:
    number = f"{entry.number:02d}"
    return f"Compare with `tinyae learn solution {number}`. " + _next_step(state)


def _place(entry: Entry) -> str:
    """Where the library does what the exercise asks for: path:line, and the name."""
    path, name = entry.library
    lines = path.read_text(encoding="utf-8").splitlines()
    number = next(i for i, s in enumerate(lines, 1) if re.match(rf"(class|def) {name}\b", s))
    return f"{path}:{number}, {name}"


def _next_step(state: State) -> str:
    """What comes next: the first open exercise after the current one, or else before it."""
    current = _find(state.current).number if state.current else 0
    ahead = TRACK[current:] + TRACK[:current]
    for entry in ahead:
        if not (entry.id in state.records and state.records[entry.id].passed):
            return f"Next: `tinyae learn start {entry.number:02d}`, {entry.exercise.title}."
    return "That is the whole track: you can derive a backward pass, and find a wrong one."


# --- output -------------------------------------------------------------------------------------


def show(outcome: Outcome, entry: Entry, more: bool) -> None:
    """Print the rows, what the file printed, NumPy's warnings, and the doctor's answer."""
    for row in outcome.rows:
        say(_wrapped(row.text, f"{MARKS[row.mark]}{row.what:<10} ", " " * 18))
    for text in outcome.warnings:
        say(_wrapped(f"NumPy warned: {text}", "note   ", " " * 7))
    if outcome.printed.strip():
        say("\nYour file printed:")
        cut = outcome.printed[: child.PRINTED]
        say(textwrap.indent(cut.rstrip(), "  | ", lambda line: True))
        if len(outcome.printed) > child.PRINTED:
            say("  | … and more, which is left out")
    if outcome.doctor:
        say("\nThe doctor:" if more else "\nThe doctor (the class of the mistake):")
        if more and outcome.more:
            for line in outcome.more:
                say("  " + line)
        else:
            for line in outcome.doctor:
                say(_wrapped(line, "  ", "  "))
            what = "Where it is, and what to write" if entry.exercise.names_lines else "The line"
            say(f"  {what}: `tinyae learn check {entry.number:02d} --more`.")


def _wrapped(text: str, first: str, rest: str | None = None) -> str:
    rest = first if rest is None else rest
    lines: list[str] = []
    for i, line in enumerate(text.split("\n")):
        wrapped = textwrap.wrap(
            line,
            WIDTH,
            initial_indent=rest if i else first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += wrapped or [""]
    return "\n".join(lines)


def say(text: str) -> None:
    """Print a text; :mod:`tinyae.terminal` spells what the terminal cannot show."""
    print(text)
