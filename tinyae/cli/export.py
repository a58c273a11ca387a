"""``tinyae export``: a saved model as C, ONNX or JavaScript."""

from __future__ import annotations

import argparse
import os
from typing import Any

import tinyae as ta
from tinyae.cli.arguments import add_model, add_verb
from tinyae.cli.files import add_force, check_outputs
from tinyae.cli.rows import read_plain
from tinyae.cli.wording import an, done
from tinyae.data.columns import TableOptions
from tinyae.data.rows import kind_of
from tinyae.program.compile import PARTS
from tinyae.program.to_c.training_header import TrainingHeader
from tinyae.program.training import OPTIMIZERS

SUFFIXES = (".h", ".hh", ".hpp", ".c", ".onnx", ".js")


def add_parser(verbs: Any) -> None:
    example = "tinyae export model.npz -o model.h --quantize int8 --calibration data.npy"
    parser = add_verb(verbs, "export", run, example)
    add_model(parser)
    parser.add_argument(
        "-o",
        "--out",
        default="model.h",
        help="default model.h; an ONNX file if it ends in .onnx, JavaScript if in .js",
    )
    parser.add_argument("--part", choices=PARTS, default=PARTS[0], help=f"default {PARTS[0]}")
    parser.add_argument("--name", help="what the names in C begin with (default: that of the file)")
    parser.add_argument("--threshold", type=float, help="NAME_THRESHOLD (default: the model's own)")
    add_force(parser)
    parser.add_argument("--selftest", action="store_true", help="add a function that tests itself")
    parser.add_argument("--quantize", choices=["int8"], help="8-bit weights and results")
    parser.add_argument(
        "--calibration",
        metavar="DATA",
        help="with --quantize: samples like those to come; a file or a data set's name",
    )
    parser.add_argument(
        "--train",
        choices=OPTIMIZERS,
        help="add a step of learning, with the weights in RAM",
    )
    parser.add_argument(
        "--frozen",
        nargs="+",
        default=[],
        metavar="LAYER",
        help="with --train: what does not learn and stays in flash, e.g. encoder or decoder.0",
    )
    parser.add_argument(
        "--shape",
        type=int,
        nargs="+",
        metavar="N",
        help="of one sample, e.g. 1 28 28, for a model of convolutions alone",
    )


def run(args: argparse.Namespace) -> int:
    """Write a saved model as a C99 header without heap or runtime, or as ONNX or JavaScript."""
    data = None if args.calibration in ta.data.DATASETS else args.calibration
    check_outputs(
        "export", {"--out": args.out}, {"model": args.model, "--calibration": data}, args.force
    )
    suffix = os.path.splitext(args.out)[1].lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"export: --out {args.out} ends in {suffix or 'no suffix'}, which decides the format; "
            f"expected {', '.join(SUFFIXES)}"
        )
    model = ta.load(args.model)
    if not isinstance(model, ta.Model):
        raise ValueError(f"{args.model} holds {an(type(model).__name__)}, expected a model")
    if args.out.lower().endswith((".onnx", ".js")):
        return _export_program(model, args)
    _check_pairs(args)
    calibration = None
    if args.calibration is not None:
        columns = model.columns if kind_of(args.calibration) == "table" else None
        table = None if columns is None else TableOptions(columns=columns)
        calibration = read_plain("export", "--calibration", args.calibration, table).part("train").x
    header = model.export_c(
        args.out,
        args.name,
        part=args.part,
        input_shape=args.shape,
        threshold=args.threshold,
        selftest=args.selftest,
        quantize=args.quantize,
        calibration=calibration,
        train=args.train,
        frozen=args.frozen,
    )
    print(
        f"{args.out}: {', '.join(header.prototypes)}\n"
        f"{header.flash_bytes:,} bytes of constants, {header.arena_bytes:,} bytes of scratch memory, "
        f"{header.macs:,} multiply-accumulates"
    )
    if isinstance(header, TrainingHeader):
        print(f"{header.weights_bytes:,} bytes of RAM for the weights, {header.ram_bytes:,} in all")
    done("export", f"{args.out}, {os.path.getsize(args.out):,} bytes of C")
    return 0


def _check_pairs(args: argparse.Namespace) -> None:
    """Raise for an option that needs another.

    Raises
        ValueError  --frozen without --train; --calibration without --quantize, or the reverse
    """
    for option, other in (
        ("frozen", "train"),
        ("calibration", "quantize"),
        ("quantize", "calibration"),
    ):
        if getattr(args, option) not in (None, []) and getattr(args, other) is None:
            raise ValueError(
                f"export: --{option} does nothing without --{other}; pass both, or leave it out"
            )


def _export_program(model: ta.Model, args: argparse.Namespace) -> int:
    """An ONNX file or JavaScript, which hold what one call computes."""
    onnx = args.out.lower().endswith(".onnx")
    kind = "an ONNX file" if onnx else "JavaScript"
    c_only = ("threshold", "selftest", "quantize", "calibration", "train", "frozen")
    for option in ("name",) * onnx + c_only:
        if getattr(args, option) not in (None, False, []):
            raise ValueError(
                f"export: --{option} is for C headers, {args.out} is {kind}; leave it out, or "
                "pass an --out that ends in .h"
            )
    batch: tuple[Any, ...] = ()
    if onnx:
        batch = ("N",)
        program = model.export_onnx(args.out, part=args.part, input_shape=args.shape)
    else:
        program = ta.program.export_javascript(
            model, args.out, args.name, part=args.part, input_shape=args.shape
        )
    shapes = program.input_shape, program.output_shape
    x, y = (" × ".join(map(str, (*batch, *shape))) or "1" for shape in shapes)
    print(
        f"{args.out}: {x} → {y}, {program.weights.size * 4:,} bytes of weights, "
        f"{program.macs:,} multiply-accumulates"
    )
    what = "ONNX" if onnx else "JavaScript"
    done("export", f"{args.out}, {os.path.getsize(args.out):,} bytes of {what}")
    return 0
