"""``export_c``: a part of a trained model as a C99 header.

export_c(model, "ae.h")                                    # ae_run(in, out, arena)
export_c(model, "ae.h", part="score", threshold=0.02)      # ae_score(in, arena) > AE_THRESHOLD
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import numpy as np

from tinyae import files
from tinyae.models import Model
from tinyae.program.compile import check_part, program_of
from tinyae.program.program import Program, Shape
from tinyae.program.run_numpy import NumpyRuntime
from tinyae.program.shapes import sample_shape
from tinyae.program.to_c.header import Header, Sample
from tinyae.program.to_c.score import ends_in_pieces

FLOAT_MAX = float(np.finfo(np.float32).max)


def export_c(
    model: Model,
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    part: str = "autoencoder",
    input_shape: Shape | None = None,
    threshold: float | None = None,
    selftest: bool = False,
) -> Header:
    """Write a part of a trained model as one C header; returns what was written.

    The header needs nothing but a C compiler. Its first comment shows how it is called. It holds

        NAME_run(in, out, arena)    the part: see :func:`tinyae.program.compile_model`
        NAME_score(in, arena)       the mean squared error of the reconstruction of a sample
        NAME_selftest(…)            0 if the machine computes what tinyae does
        NAME_INPUT_LENGTH, NAME_OUTPUT_LENGTH, NAME_ARENA_BYTES, NAME_FLASH_BYTES, NAME_MACS
        NAME_CONST                  what stands before each table, ``static const`` by default

    name
        what the names in C begin with; by default that of the file
    part
        "autoencoder", "encoder" (of a variational model, the mean), "decoder", or "score".
        The header of an autoencoder has ``score`` too, if that needs no more memory than ``run``
        (and where the last layer is Dense, it does not) or if a threshold is given
    input_shape
        the shape of one sample; needed only where the layers leave it open, as convolutions do
    threshold
        a score above which a sample is an anomaly, as the macro NAME_THRESHOLD
    selftest
        whether to add a sample, what tinyae makes of it, and a function that compares

    Errors    float32 arithmetic: results differ from tinyae's by its rounding, about 1e-6 of the
              largest number

    Raises
        TypeError          the model has no such part, or has a layer without an operation
        ValueError         an argument is wrong, or a weight is not finite
        FileNotFoundError  the folder does not exist
    """
    check_part(model, part)
    target = files.check_target("export_c", path)
    file = Path(os.fsdecode(path))
    name = _checked_name(name, file.stem)
    threshold = _checked_threshold(threshold, part)
    shape = _checked_shape(model, part, input_shape)
    programs = {
        key: _in_float32(program)
        for key, program in _programs(model, part, shape, threshold).items()
    }
    sample = _sample(programs) if selftest else None
    owner = f"{'an' if type(model).__name__[0] in 'AEIOU' else 'a'} {type(model).__name__}"
    what = owner if part == "autoencoder" else f"the {part} of {owner}"
    header = Header(name, file.name, what, programs, threshold, sample)
    content = header.text().encode("ascii", "replace")
    files.write("export_c", target, lambda out: out.write(content))
    return header


def _programs(model: Model, part: str, shape: Shape, threshold: float | None) -> dict[str, Program]:
    """The programs of ``run`` and ``score``."""
    if part == "score":
        return {"score": _score_program(model, shape)}
    run = program_of(model, part, shape)
    if part == "autoencoder" and (threshold is not None or run.input_shape == run.output_shape):
        score = _score_program(model, shape)
        if threshold is not None or score.arena <= run.arena:
            return {"run": run, "score": score}
    return {"run": run}


def _score_program(model: Model, shape: Shape) -> Program:
    """The program of the score, or, where that is enough, of the reconstruction."""
    score, reconstruction = (program_of(model, part, shape) for part in ("score", "autoencoder"))
    return reconstruction if ends_in_pieces(reconstruction) else score


def _checked_name(name: str | None, stem: str) -> str:
    checked = stem if name is None else name
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", checked, re.ASCII):
        where = "the file's name gives the name" if name is None else "name is"
        raise ValueError(
            f"export_c: {where} {checked!r}, expected letters, digits and _, as in a C "
            'name; pass e.g. name="ae"'
        )
    return checked


def _checked_threshold(threshold: float | None, part: str) -> float | None:
    if threshold is None:
        return None
    if part not in ("score", "autoencoder"):
        raise ValueError(
            f"export_c: a threshold is given with part={part!r}, which has no score; pass "
            'part="score" or part="autoencoder"'
        )
    if not isinstance(threshold, float | int | np.floating) or not abs(threshold) < FLOAT_MAX:
        raise ValueError(
            f"export_c: threshold is {threshold!r}, expected a finite number; pass e.g. "
            "threshold=np.quantile(model.reconstruction_error(x), 0.99)"
        )
    return float(threshold)


def _checked_shape(model: Model, part: str, input_shape: Shape | None) -> Shape:
    if input_shape is None:
        shape = sample_shape(model, part)
        if shape is None:
            raise ValueError(
                f"export_c: the layers of {type(model).__name__} take samples of several shapes; "
                "pass that of yours, e.g. input_shape=(1, 28, 28)"
            )
        return shape
    if not isinstance(input_shape, tuple | list) or not all(
        isinstance(n, int | np.integer) and n >= 1 for n in input_shape
    ):
        raise ValueError(
            f"export_c: input_shape is {input_shape!r}, expected integers ≥ 1, the shape of one "
            "sample; pass e.g. input_shape=(1, 28, 28)"
        )
    return tuple(int(n) for n in input_shape)


def _in_float32(program: Program) -> Program:
    with np.errstate(over="ignore"):
        weights = program.weights.astype(np.float32)
    if not np.isfinite(weights).all():
        raise ValueError(
            "export_c: the model has weights that are NaN, infinite or too large for a 32-bit "
            "float; train it again with a smaller learning rate, or load an earlier checkpoint"
        )
    return dataclasses.replace(program, weights=weights)


def _sample(programs: dict[str, Program]) -> Sample:
    """A random sample, and what each program makes of it, computed in float64."""
    shape = next(iter(programs.values())).input_shape
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    results = {}
    for key, program in programs.items():
        exact = dataclasses.replace(program, weights=program.weights.astype(np.float64))
        y = NumpyRuntime(exact).run(x.astype(np.float64))[0]
        if key == "score" and program.output_shape:  # the program of the reconstruction
            y = np.square(y - x[0]).mean()
        if not (abs(y) < FLOAT_MAX).all():
            raise ValueError(
                "export_c: the model makes numbers of the self-test's sample that are too large for "
                "a 32-bit float; pass selftest=False, or train it again"
            )
        results[key] = y.astype(np.float32)
    return Sample(x[0], results)
