"""``export_c``: a part of a trained model as a C99 header.

export_c(model, "ae.h")                                    # ae_run(in, out, arena)
export_c(model, "ae.h", part="score", threshold=0.02)      # ae_score(in, arena) > AE_THRESHOLD
export_c(model, "ae.h", quantize="int8", calibration=x)    # ae_run, with weights of 8 bits
export_c(model, "ae.h", train="sgd", frozen="encoder")     # ae_train(in, arena, weights, rate), too
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyae import files
from tinyae.arrays import check_real
from tinyae.losses import BCE, BCEWithLogits
from tinyae.models import Model
from tinyae.param import Array, Param
from tinyae.program.compile import check_part, in_float32, per_channel, program_of
from tinyae.program.int8 import QuantizedProgram, Units, quantize_program
from tinyae.program.program import Program, Shape
from tinyae.program.run_numpy import NumpyRuntime
from tinyae.program.shapes import checked_sample_shape
from tinyae.program.to_c.header import Header, Sample
from tinyae.program.to_c.int8_header import Int8Header, arena_bytes
from tinyae.program.to_c.score import ends_in_pieces
from tinyae.program.to_c.training_header import TrainingHeader
from tinyae.program.to_c.training_sample import step_sample
from tinyae.program.training import (
    check_learnt,
    checked_optimizer,
    learnt_params,
    training_program,
)

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
    quantize: str | None = None,
    calibration: Array | None = None,
    train: str | None = None,
    frozen: str | Sequence[str] = (),
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
        a score above which a sample is an anomaly, as the macro NAME_THRESHOLD; by default the
        model's own, if it has one. A model that carries ``fill`` has it as the macro NAME_FILL
    selftest
        whether to add a sample, what tinyae makes of it, and a function that compares; with
        ``train``, also what a step makes of some weights
    quantize
        "int8" for weights and intermediate results of 8 bits, see :mod:`tinyae.program.int8`. ``in``
        and ``out`` stay float; NAME_run_int8(in, out, arena) takes and gives int8_t. The header's
        ``simulate_int8(x)`` is what NAME_run computes of x, to the bit
    calibration
        with ``quantize``: samples (N, …) like those that the device will see, a hundred or more. The
        ranges of results on them are those that 8 bits represent; numbers outside are clipped

    train
        "sgd" or "adam" for a device that goes on learning: see :mod:`tinyae.program.training`. The
        weights are in RAM then, and all functions take them as one more argument,

            NAME_init_weights(weights)            copies those of the model
            NAME_train(in, arena, weights, rate)  one step on one sample, rate the learning rate
            NAME_run(in, out, arena, weights), NAME_score(in, arena, weights)
            NAME_WEIGHTS_BYTES, NAME_RAM_BYTES    what they take, and that with the arena

        It is the step of the plain autoencoder: no noise, no dropout, and BatchNorm stays the map
        that it is after training, for one sample has no statistics
    frozen
        with ``train``: layers that do not learn and stay in flash, by the beginning of their
        Params' names, e.g. "encoder" or ["encoder.0", "decoder.4"]; beside what ``layer.freeze()`` froze

    Errors    float32 arithmetic: results differ from tinyae's by its rounding, about 1e-6 of the
              largest number. In int8, by about 1 % of the range of the results

    Raises
        TypeError          the model has no such part, or has a layer without an operation
        ValueError         an argument is wrong, or a weight is not finite
        FileNotFoundError  the folder does not exist
    """
    check_part("export_c", model, part)
    target = files.check_target("export_c", path)
    file = Path(os.fsdecode(path))
    name = _checked_name(name, file.stem)
    if threshold is None and part in ("score", "autoencoder"):
        threshold = _own_threshold(model)
    threshold = _checked_threshold(threshold, part)
    if quantize is not None or calibration is not None:
        calibration = _checked_calibration(quantize, calibration)
        input_shape = calibration.shape[1:] if input_shape is None else input_shape
    optimizer = checked_optimizer(train, frozen, part, quantize)
    shape = checked_sample_shape("export_c", model, part, input_shape)
    owner = f"{'an' if type(model).__name__[0] in 'AEIOU' else 'a'} {type(model).__name__}"
    what = owner if part == "autoencoder" else f"the {part} of {owner}"
    header: Header
    if calibration is not None:
        x = _of_shape(calibration, shape)
        header = _int8_header((name, file.name, what), model, part, x, threshold, selftest)
    elif optimizer is not None:
        learnt = learnt_params(model, frozen)
        programs = _in_float32_all(_programs(model, part, shape, threshold, learnt))
        sample = _sample(programs, model, part) if selftest else None
        programs["train"] = in_float32("export_c", training_program(model, shape, learnt))
        check_learnt(model, programs["train"], learnt)
        names = name, file.name, what
        header = TrainingHeader(*names, programs, optimizer, threshold, sample)
        if sample is not None:
            header.step = step_sample(header, sample.x)
    else:
        programs = _in_float32_all(_programs(model, part, shape, threshold))
        sample = _sample(programs, model, part) if selftest else None
        header = Header(name, file.name, what, programs, threshold, sample)
    if model.fill is not None and model.fill.size == header.input_length:
        header.fill = model.fill.astype(np.float32)
    content = header.text().encode("ascii", "replace")
    files.write("export_c", target, lambda out: out.write(content))
    return header


def _programs(
    model: Model,
    part: str,
    shape: Shape,
    threshold: float | None,
    learnt: Mapping[str, Param] | None = None,
) -> dict[str, Program]:
    """The programs of ``run`` and ``score``."""
    if part == "score":
        return {"score": _score_program(model, shape, learnt)}
    run = program_of(model, part, shape, learnt)
    if part == "autoencoder" and (threshold is not None or run.input_shape == run.output_shape):
        score = _score_program(model, shape, learnt)
        if threshold is not None or score.arena <= run.arena:
            return {"run": run, "score": score}
    return {"run": run}


def _score_program(
    model: Model, shape: Shape, learnt: Mapping[str, Param] | None = None
) -> Program:
    """The program of the score, or, where that is enough, of the reconstruction."""
    score, reconstruction = (
        program_of(model, part, shape, learnt) for part in ("score", "autoencoder")
    )
    if model.scaler is not None:  # the score is that of scaled numbers
        return score
    return reconstruction if ends_in_pieces(reconstruction) else score


def _int8_header(
    names: tuple[str, str, str],
    model: Model,
    part: str,
    x: Array,
    threshold: float | None,
    selftest: bool,
) -> Int8Header:
    shape = x.shape[1:]
    scored = part == "score" or threshold is not None
    if scored:
        program_of(model, "score", shape)  # raises if the reconstruction has another shape
    layers, scaler = model.in_scaled_units(), model.scaler
    program = program_of(layers, "autoencoder" if part == "score" else part, shape)
    x_units = y_units = None
    seen = x
    if scaler is not None and part != "decoder":
        x_units = Units(*per_channel(scaler, shape))
        seen = scaler.apply(x)
    if scaler is not None and part != "encoder":
        scaler.check_shape("export_c", program.output_shape)
        y_units = Units(*per_channel(scaler, program.output_shape))
    quantized = quantize_program(in_float32("export_c", program), seen, x_units, y_units)
    functions: tuple[str, ...] = ("score",) if part == "score" else ("run",)
    if part == "autoencoder" and (
        scored
        or (
            program.input_shape == program.output_shape
            and arena_bytes(quantized, "score") <= arena_bytes(quantized, "run")
        )
    ):
        functions = ("run", "score")
    sample = _int8_sample(quantized, x[0], functions) if selftest else None
    return Int8Header(*names, quantized, functions, threshold, sample)


def _int8_sample(quantized: QuantizedProgram, x: Array, functions: tuple[str, ...]) -> Sample:
    """A sample of the calibration, and what the header's functions make of it."""
    y = quantized.run(x[None])[0]
    results = {"run": y}
    if "score" in functions:
        results["score"] = quantized.scores(x[None])[0]
    return Sample(x, {key: results[key] for key in functions})


def _own_threshold(model: Any) -> float | None:
    """The threshold that the model carries, if a float can hold it."""
    threshold = model._carried.get("threshold")
    return None if threshold is None or abs(threshold) >= FLOAT_MAX else threshold


def _checked_calibration(quantize: str | None, calibration: Array | None) -> Array:
    if quantize is None:
        raise ValueError(
            "export_c: calibration is given without quantize, and would not be used; pass "
            'quantize="int8" with it'
        )
    if quantize != "int8":
        raise ValueError(f"export_c: quantize is {quantize!r}, expected None or 'int8'")
    if calibration is None:
        raise ValueError(
            'export_c: quantize="int8" needs samples, from which it finds the ranges of numbers; '
            "pass e.g. calibration=x_train[:500]"
        )
    check_real("export_c: calibration", calibration)
    if calibration.ndim < 2 or not calibration.size:
        raise ValueError(
            f"export_c: calibration has shape {calibration.shape}, expected at least one sample on "
            "axis 0; pass e.g. calibration=x_train[:500]"
        )
    return calibration


def _of_shape(calibration: Array, shape: Shape) -> Array:
    if calibration.shape[1:] != shape:
        raise ValueError(
            f"export_c: calibration has samples of shape {calibration.shape[1:]}, the model takes "
            f"{shape}; pass calibration=x.reshape({', '.join(map(str, (-1, *shape)))})"
        )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(calibration, np.float32)


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


def _in_float32_all(programs: dict[str, Program]) -> dict[str, Program]:
    return {key: in_float32("export_c", program) for key, program in programs.items()}


def _sample(programs: dict[str, Program], model: Model, part: str) -> Sample:
    """A random sample, and what each program makes of it, computed in float64."""
    shape = next(iter(programs.values())).input_shape
    rng = np.random.default_rng(0)
    probability = isinstance(
        getattr(getattr(model, "loss", None), "unweighted", None), BCE | BCEWithLogits
    )
    x = rng.random((1, *shape)) if probability else rng.normal(size=(1, *shape))
    if model.scaler is not None and part != "decoder":
        x = model.scaler.undo(x)
    x = x.astype(np.float32)
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
