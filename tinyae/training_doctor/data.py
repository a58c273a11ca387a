"""Whether the data can be learnt from: columns of comparable size that are not all constant."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinyae.scaling import units_of
from tinyae.training_doctor.evidence import Evidence
from tinyae.training_doctor.report import Finding

_FAR = 100.0  # a standard deviation of all entries this large or this small is no unit to learn in


def constant_data(e: Evidence) -> Iterator[Finding]:
    """Samples that are all the same, or columns of a table that are."""
    target = e.input_and_target[1] if e.reconstructs else e.sample
    if isinstance(target, tuple) or len(target) < 2:
        return
    if (target == target[:1]).all():
        yield Finding(
            "constant_data",
            "x",
            f"all {len(target)} samples are equal",
            "there is nothing to learn: the mean reconstructs them all, whatever the code",
            "look at what was loaded: the wrong columns, a file that was not filled, one picture "
            "copied",
            {"columns": list(range(target[0].size))},
        )
        return
    units = units_of(target)
    if units is None or not len(units.constant):
        return
    n, first = len(units.constant), int(units.constant[0])
    yield Finding(
        "constant_data",
        f"x[:, {first}]",
        f"{n} of {target.shape[1]} columns {'has' if n == 1 else 'have'} one value in every row: "
        + ", ".join(map(str, units.constant[:12]))
        + (", …" if n > 12 else ""),
        "such a column tells nothing, and lowers the mean error as if something had been learnt",
        "leave it out of the data",
        {"columns": units.constant.tolist()},
    )


def bad_scale(e: Evidence) -> Iterator[Finding]:
    """Columns orders of magnitude apart, or data as a whole far from 1."""
    target = e.input_and_target[1] if e.reconstructs else e.sample
    if isinstance(target, tuple) or len(target) < 2 or target.dtype.kind != "f":
        return
    units = units_of(target)
    if units is not None and units.apart:
        low, high = float(units.std.min()), float(units.std.max())
        yield Finding(
            "bad_scale",
            "x",
            f"the columns' standard deviations range from {low:.3g} to {high:.3g}",
            "the error of the large columns drowns that of the small ones, which are not learnt, and "
            "no one learning rate suits both",
            "set model.scaler = Scaler.standard(x) before the training, or scale the data",
            {"least": low, "most": high},
        )
        return
    std = float(np.sqrt(np.mean(target.std(axis=0, dtype=np.float64) ** 2)))
    if std and not 1 / _FAR <= std <= _FAR:
        yield Finding(
            "bad_scale",
            "x",
            f"the data's standard deviation is {std:.3g}",
            "weights begin near 1 and move by the learning rate: numbers of another size take very "
            "many steps, or diverge",
            "set model.scaler = Scaler.standard(x) before the training, or scale the data",
            {"least": std, "most": std},
        )
