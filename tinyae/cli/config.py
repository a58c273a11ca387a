"""Options from a TOML file: ``tinyae train --config pumps.toml --epochs 50``.

    data = "pumps.csv"
    label = "fault"
    units = [16, 4]
    quiet = true

The keys are the names of the options. What is given on the command line counts more than the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def expanded(argv: Sequence[str]) -> list[str]:
    """The arguments, with those of a file that ``--config`` names put before the others.

    Raises
        ValueError           no TOML, or a value that no option takes
        FileNotFoundError    no such file
        ModuleNotFoundError  Python 3.10 without tomli
    """
    argv = list(argv)
    for k, word in enumerate(argv):
        if word == "--config" and k + 1 < len(argv):
            return [*argv[:1], *_words(argv[k + 1]), *argv[1:k], *argv[k + 2 :]]
        if word.startswith("--config="):
            return [*argv[:1], *_words(word[len("--config=") :]), *argv[1:k], *argv[k + 1 :]]
    return argv


def _words(path: str) -> list[str]:
    words = []
    for name, value in _table(path).items():
        option = f"--{str(name).replace('_', '-')}"
        if value is False:
            continue
        if value is True:
            words.append(option)
            continue
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(v, (str, int, float)) for v in values):
            raise ValueError(
                f"--config {path}: {name} is {value!r:.60}, expected text, a number, true, or a list of "
                "these"
            )
        words += [option, *map(str, values)]
    return words


def _table(path: str) -> dict[str, Any]:
    try:
        import tomllib  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:  # Python 3.10
        try:
            import tomli as tomllib  # type: ignore[import-not-found,no-redef,unused-ignore]
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "--config needs Python 3.11, or tomli; run: pip install tomli"
            ) from error
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"--config {path} is no TOML ({error}); correct it") from error
