"""argparse's messages in the grammar of all others: what, got, expected, do."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that says in one line what is wrong with a call, and what to do.

    A verb's parser is of this class too: argparse makes it of its parent's. ``hint`` follows where a
    word is no verb of this parser's.
    """

    hint = ""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.set_defaults(parser=self)  # of the verb, which knows its options

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but a word too many is told by the parser of its verb."""
        found: Any
        found, rest = self.parse_known_args(args, namespace)
        verb: Parser = found.parser
        del found.parser
        if rest:
            verb.error(f"unrecognized arguments: {' '.join(rest)}")
        return found

    def error(self, message: str) -> NoReturn:
        """Print the message, and exit with 2."""
        words = self.prog.split()[1:]
        who = "".join(f"{word} " for word in words).rstrip()
        text = reworded(message, who, self._names(), self._example(), self.hint)
        print(f"tinyae: {who + ': ' if who else ''}{text}", file=sys.stderr)
        raise SystemExit(2)

    def _example(self) -> str:
        """A call that works, if the parser has an example."""
        example = (self.epilog or "").partition("example:\n")[2].strip().split("\n")[0]
        return example

    def _names(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings]


def reworded(message: str, who: str, options: list[str], example: str, hint: str = "") -> str:
    """An argparse message as a sentence that says what to do."""
    help_text = f"`{' '.join(filter(None, ['tinyae', who, '--help']))}`"
    found: Any = re.fullmatch(r"the following arguments are required: (.*)", message)
    if found and found[1] == "VERB":
        return f"a verb is missing; {_such(example)}{help_text} lists them"
    if found:
        verb = "are" if ", " in found[1] else "is"
        return f"{found[1]} {verb} missing; {_such(example)}{help_text} says what it is"
    found = re.fullmatch(r"unrecognized arguments: (.*)", message)
    if found:
        word = found[1].split()[0]
        if word.startswith("-"):
            return f"there is no option {word}; {_nearest(word, options)}{help_text} lists them"
        return f"{word!r} is one word too many; {help_text} says what there may be"
    found = re.fullmatch(r"argument (\S+): invalid choice: '?(.*?)'? \(choose from (.*)\)", message)
    if found:
        known = [name.strip("'") for name in found[3].split(", ")]
        got, names = found[2], ", ".join(known)
        if found[1] == "VERB":
            tail = f"; {hint}" if hint else ""
            return f"there is no verb {got!r}; {_nearest(got, known)}the verbs are {names}{tail}"
        return f"{found[1]} is {got!r}, expected one of {names}"
    found = re.fullmatch(r"argument (\S+): invalid (.*) value: '?(.*?)'?", message)
    if found:
        kind = {"int": "a whole number", "float": "a number"}.get(
            found[2].removeprefix("positive "), f"a {found[2]}"
        )
        return f"{found[1]} is {found[3]!r}, expected {kind}"
    found = re.fullmatch(r"argument (\S+): expected (one|at least one) argument", message)
    if found:
        return f"{found[1]} has no value; pass one after it, as {help_text} says"
    found = re.fullmatch(r"argument (\S+): (.*) is (?:not )?(.*)", message)
    if found and "not" in message:
        return f"{found[1]} is {found[2]}, expected {found[3]}"
    return f"{re.sub(r'^argument (?=-)', '', message)}; {help_text} says what there is"


def _such(example: str) -> str:
    return f"pass e.g. `{example}`; " if example else ""


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word.split("=")[0], known, 1)
    return f"did you mean {near[0]}? " if near else ""
