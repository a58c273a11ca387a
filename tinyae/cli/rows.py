"""The rows that a verb reads, and the file of results that it writes beside their names."""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import tinyae as ta
from tinyae import archive, files
from tinyae.cli.arguments import positive
from tinyae.cli.files import check_outputs
from tinyae.cli.wording import count, say
from tinyae.data import rows as own
from tinyae.data import sound
from tinyae.data.columns import MISSING, Rows, TableOptions
from tinyae.data.rows import PARTS, Source
from tinyae.param import Array

FORMATS = (".csv", ".npy", ".npz", ".parquet")


def add_rows(parser: argparse.ArgumentParser, part: bool = True) -> None:
    """``--data``, and the options that say how it is read."""
    add = parser.add_argument
    add(
        "--data",
        required=True,
        help="a name from `tinyae data list`; a table (.csv, .tsv, .parquet, or - for the standard "
        "input), .npy, .npz, .wav, a picture or a folder of pictures",
    )
    if part:
        add("--part", choices=PARTS, help="only these rows (default: all of one's own file)")
    table = parser.add_argument_group("of a table")
    add = table.add_argument
    add("--columns", nargs="+", metavar="NAME", help="the columns that are data, by name or number")
    add("--label", metavar="NAME", help="the column of classes, kept out of the data")
    add("--index", metavar="NAME", help="the column that names the rows, kept out of the data")
    add("--one-hot", nargs="+", metavar="NAME", help="columns of text to turn into 0 and 1")
    add("--delimiter", help="between cells (default: found in the first lines)")
    add("--missing", choices=MISSING, help="rows with gaps (default error)")
    other = parser.add_argument_group("of pictures and sound")
    add = other.add_argument
    add(
        "--image-size",
        type=positive(int),
        nargs="+",
        metavar="N",
        help="height and width in pixels",
    )
    add("--window", type=positive(int), help="samples of sound in a row (default 1024)")
    add("--hop", type=positive(int), help="from one window to the next (default window / 4)")


def read_source(args: argparse.Namespace, model: Any = None) -> Source:
    """The source that the options name, of the columns that the model was trained on.

    ``--missing mean`` fills gaps with the means of the data that the model has learnt from; without
    a model, which is to be trained, with those of the rows read.

    Raises
        ValueError  the model carries no means, such as one saved before models had them
    """
    columns = getattr(model, "columns", None)
    table = (args.columns, args.label, args.index, args.one_hot, args.delimiter, args.missing)
    options = None
    if any(option is not None for option in table) or columns:
        options = TableOptions(
            args.columns,
            args.label,
            args.index,
            tuple(args.one_hot or ()),
            {"tab": "\t", "\\t": "\t", "space": " "}.get(args.delimiter, args.delimiter),
            args.missing or "error",
            _means_of(model, args) if args.missing == "mean" and model is not None else None,
        )
    if columns and own.kind_of(args.data) == "table":
        assert options is not None
        if args.columns is None and args.one_hot is None:
            asked_by = "the model, which learnt from it"
            options = replace(options, columns=columns, one_hot=(), asked_by=asked_by)
    elif not any(option is not None for option in table):
        options = None
    size = args.image_size
    if size is not None and len(size) > 2:
        raise ValueError(f"--image-size has {len(size)} numbers, expected height and width, or one")
    size = tuple(size) if size is not None and len(size) == 2 else size and size[0]
    source = own.read(args.data, table=options, image_size=size, window=args.window, hop=args.hop)
    for rows in source.rows.values():
        for note in rows.notes:
            say(f"note: {note}")
    return source


def _means_of(model: Any, args: argparse.Namespace) -> Array:
    fill: Array | None = getattr(model, "fill", None)
    if fill is None:
        raise ValueError(
            f"load: {args.model} carries no means of the data that it learnt from, to fill gaps with; "
            "pass --missing drop, or train the model again from a table"
        )
    return fill


def read_plain(verb: str, option: str, path: str, table: TableOptions | None = None) -> Source:
    """A source for an option of a verb that has none of the options of a table.

    Raises
        ValueError  as ``data.rows.read``, without advice that the verb cannot take
    """
    try:
        return own.read(path, table=table)
    except ValueError as error:
        text, found, _ = str(error).partition("; pass --")
        if not found:
            raise
        raise ValueError(f"{verb}: {option}: {text}; correct the file") from error


def read_rows(args: argparse.Namespace, model: Any = None) -> tuple[Rows, Source]:
    """The rows of ``--data`` that ``--part`` asks for."""
    source = read_source(args, model)
    return source.part(args.part), source


# ---- results ---------------------------------------------------------------------------------------


def check_result(verb: str, args: argparse.Namespace, **more: str | None) -> None:
    """Raise unless the results can be written: before any work is done."""
    outputs = {f"--{name.replace('_', '-')}": path for name, path in more.items()}
    if args.out != "-":
        suffix = os.path.splitext(args.out)[1].lower()
        known = (*FORMATS, *getattr(args, "more_formats", ()))
        if suffix not in known:
            raise ValueError(
                f"{verb}: --out {args.out} ends in {suffix or 'no suffix'}, which decides the format; "
                f"expected {', '.join(s or 'a folder' for s in known)}, or - for the standard output"
            )
        if suffix:
            outputs["--out"] = args.out
        else:
            _check_folder(verb, args.out, args.force)
    source = None if args.data == "-" else args.data
    inputs = {"model": getattr(args, "model", None), "--data": source}
    check_outputs(verb, outputs, inputs, force=args.force)


def _check_folder(verb: str, folder: str, force: bool) -> None:
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ValueError(
            f"{verb}: --out {folder} is a file; pass the name of a folder, or a suffix"
        )
    if os.path.isdir(folder) and os.listdir(folder) and not force:
        raise ValueError(f"{verb}: --out {folder} is not empty; pass another folder, or --force")


def write_result(verb: str, path: str, rows: Rows, columns: dict[str, Any]) -> None:
    """Write columns beside the names of the rows, in the format that the suffix says.

    A column is an array (N,) or an array (N, …), whose columns are then numbered or, if the name is
    a tuple, named.
    """
    suffix = "" if path == "-" else os.path.splitext(path)[1].lower()
    arrays = [np.asarray(a) for a in columns.values()]
    if suffix == ".npy":
        array = (
            arrays[0] if len(arrays) == 1 else np.stack([a.astype(np.float64) for a in arrays], 1)
        )
        files.write(verb, path, lambda file: archive.to_npy(file, array))
        say(f"{path}: {array.shape} {array.dtype}", out=True)
        return
    n = len(arrays[0])
    if suffix == ".npz":
        named = {(k if isinstance(k, str) else "x"): np.asarray(a) for k, a in columns.items()}
        if rows.index is not None or rows.places is not None:
            named[rows.index_name] = np.asarray(_names_of_rows(rows, n))
        files.write(verb, path, lambda file: np.savez(file, **named))  # type: ignore[arg-type]
        say(f"{path}: {', '.join(f'{k} {a.shape}' for k, a in named.items())}", out=True)
        return
    flat = _flat(rows, columns, n)
    if suffix == ".parquet":
        _write_parquet(verb, path, flat)
    else:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(flat)
        writer.writerows(zip(*(map(_cell, column) for column in flat.values())))
        if path == "-":
            sys.stdout.write(text.getvalue())
            return
        files.write_text(verb, path, text.getvalue())
    say(
        f"{path}: {count(n, 'row')} of {', '.join(list(flat)[:6])}{', …' if len(flat) > 6 else ''}",
        out=True,
    )


def _flat(rows: Rows, columns: dict[Any, Any], n: int) -> dict[str, Any]:
    """One list for each column of a table, the names of the rows first."""
    flat: dict[str, Any] = {rows.index_name: _names_of_rows(rows, n)}
    for name, a in columns.items():
        a = np.asarray(a)
        if a.ndim == 1:
            flat[name] = a
            continue
        a = a.reshape(n, -1)
        names = name if isinstance(name, tuple) else [f"{name}{k}" for k in range(a.shape[1])]
        flat.update(zip(names, a.T))
    return flat


def _names_of_rows(rows: Rows, n: int) -> Any:
    """What stands beside each row: its name, or its place in its file."""
    if rows.index is not None:
        return rows.index
    return range(n) if rows.places is None else rows.places.tolist()


def _cell(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.9g}"
    return int(value) if isinstance(value, (bool, np.bool_)) else value


def _write_parquet(verb: str, path: str, flat: dict[str, Any]) -> None:
    try:
        import pyarrow  # type: ignore[import-not-found,unused-ignore]
        from pyarrow import parquet  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{verb}: a .parquet file needs pyarrow; run: pip install pyarrow"
        ) from error
    table = pyarrow.table({name: list(column) for name, column in flat.items()})
    files.write(verb, path, lambda file: parquet.write_table(table, file))


def names_of(rows: Rows, model: Any, prefix: str) -> Any:
    """What the columns of a result like x are called."""
    columns = rows.columns or getattr(model, "columns", None)
    return tuple(columns) if columns and rows.x.ndim == 2 else prefix


def names_of_table(y: Array, model: Any) -> list[str] | None:
    """The columns' names of rows that are like those of the model's table; None for others."""
    columns = getattr(model, "columns", None)
    if not columns or y.ndim != 2 or y.shape[1] != len(columns):
        return None
    return list(columns)


def write_samples(verb: str, path: str, rows: Rows, y: Array, model: Any, source: Source) -> None:
    """Samples like the rows: as a table or arrays, as a sound, or in a folder as pictures."""
    suffix = os.path.splitext(path)[1].lower()
    if path != "-" and suffix == ".wav":
        if not source.rate:
            raise ValueError(f"{verb}: --out {path} is a sound, but the data are none; pass .npy")
        signal = sound.joined(np.asarray(y, np.float64), source.hop)
        files.write(verb, path, lambda file: sound.to_wav(file, signal, source.rate))
        say(f"{path}: {len(signal) / source.rate:.2f} s of sound", out=True)
    elif path != "-" and not suffix:
        _write_pictures(verb, path, rows, y)
    else:
        write_result(verb, path, rows, {names_of(rows, model, "x"): y})


def _write_pictures(verb: str, folder: str, rows: Rows, y: Array) -> None:
    if y.ndim != 4 or y.shape[1] not in (1, 3):
        raise ValueError(
            f"{verb}: a folder is for pictures, but a sample has shape {y.shape[1:]}; pass a file, "
            "e.g. --out out.npy"
        )
    try:
        from PIL import Image
    except ImportError as error:
        raise ModuleNotFoundError(
            f'{verb}: pictures need Pillow; run: pip install "tinyae[images]"'
        ) from error
    names = rows.index if rows.index_name == "file" and rows.index else None
    for k, picture in enumerate(y):
        name = Path(names[k]).with_suffix(".png") if names else Path(f"{k:05}.png")
        target = Path(folder) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
        image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
        files.write(verb, target, lambda file, image=image: image.save(file, "PNG"))  # type: ignore[misc]
    say(f"{folder.rstrip('/')}/: {count(len(y), 'picture')}", out=True)


def labelled(model: Any, rows: Rows) -> Any:
    """What a model takes: x, or x and labels.

    Raises
        ValueError  a conditional model, and the rows have no labels
    """
    if not isinstance(model, ta.ConditionalVariationalAutoencoder):
        return rows.x
    if rows.y is None:
        raise ValueError(
            "a conditional model needs the class of each row; pass --label with the column that has it"
        )
    return rows.x, rows.y
