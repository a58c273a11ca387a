"""What a training was begun with, in words that a checkpoint keeps: a resumed one must be the same.

Sections, each a table of texts by name:

    model        every part by its place, with its class and settings; which Params are frozen
    data         shape, dtype and digest of each array; of a stream of batches its class
    validation   the same
    optimizer    kind and settings of each player's
    schedule     the learning rate of each, and its values at steps 0, 1, 2, 4, 8, …
    settings     batch size, clipping, early stopping, augmentation

The digest is BLAKE2 of the bytes, at about 1 GB a second. Of an array beyond 256 MB it takes 256
blocks of rows, evenly spaced, so that a file of any size costs a quarter of a second. Other data are
noticed; a few changed rows in a large file may not be.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from tinyae.archive import FileError
from tinyae.data.batches import is_rows
from tinyae.data.streams import Stream
from tinyae.layers import Module
from tinyae.models.base import Model
from tinyae.optim import Optimizer
from tinyae.param import Array, Param
from tinyae.training.state import TrainingState

SECTIONS = ("model", "data", "validation", "optimizer", "schedule", "settings")
DIGESTED = 1 << 28  # bytes of an array that its digest reads at most
_BLOCKS = 256  # of rows, evenly spaced in a larger array

Section = dict[str, str]
Description = dict[str, Section]


def describe_training(
    model: Model,
    x: Any,
    validation: Any,
    optimizers: list[Optimizer],
    steps: int,
    settings: dict[str, Any],
) -> Description:
    """All sections; ``steps`` is how many are planned."""
    schedules = {str(i): _schedule(o, steps) for i, o in enumerate(optimizers)}
    return {
        "model": dict(_parts(model, "", set())) | _scaler(model),
        "data": _data(x),
        "validation": {} if validation is None else _data(validation),
        "optimizer": {str(i): _optimizer(o) for i, o in enumerate(optimizers)},
        "schedule": schedules,
        "settings": {name: _text(value) for name, value in settings.items()},
    }


class OtherTraining(FileError):
    """The file is of a training that was begun with something else: ``what``."""

    def __init__(self, what: str, sections: Collection[str]) -> None:
        super().__init__(
            f"it was begun with something else. {what}. Pass what it was begun with, or "
            f"accept_changes={sorted(sections)} (--accept-changes {' '.join(sorted(sections))}) to go "
            "on with what is new"
        )
        self.what = what


def check_description(
    header: dict[str, Any], now: Description, state: TrainingState, accepted: Collection[str]
) -> None:
    """Raise unless the training was begun with what this one has, but for the accepted sections."""
    saved = header["training"]
    if saved.keys() != set(SECTIONS) or not all(
        isinstance(section, dict) and all(isinstance(text, str) for text in section.values())
        for section in saved.values()
    ):
        raise FileError("it does not say what it was begun with; it was altered")
    found = {k: v for k, v in differences(saved, now).items() if k not in accepted}
    if not found:
        return
    lines = [f"{section}: {'; '.join(_shortened(texts))}" for section, texts in found.items()]
    if "schedule" in found:
        steps = [(o, entry[1]) for o, entry in zip(state.optimizers, header["optimizers"])]
        rates = [o.learning_rate(t) if callable(o.learning_rate) else o.learning_rate
                 for o, t in steps]  # fmt: skip
        was = ", ".join(f"{r:.3g}" for r in header.get("rates", []) if isinstance(r, float))
        lines.append(f"the next step's rate would be {_listed(rates)}, and was {was}")
    raise OtherTraining(". ".join(lines), found)


def _listed(rates: list[Any]) -> str:
    return ", ".join(f"{float(rate):.3g}" for rate in rates)


def _shortened(texts: list[str]) -> list[str]:
    """The first three of many differences, each on one line at most."""
    more = [f"and {len(texts) - 3} more"] if len(texts) > 3 else []
    return [text if len(text) <= 240 else f"{text[:237]}…" for text in texts[:3]] + more


def differences(saved: Description, now: Description) -> dict[str, list[str]]:
    """For each section that differs, what does. Validation may begin with a resumed training."""
    found: dict[str, list[str]] = {}
    for section in SECTIONS:
        was, is_ = saved[section], now[section]
        if section == "validation" and not was:
            continue
        for name in [*was, *(is_.keys() - was.keys())]:
            before, after = was.get(name, "nothing"), is_.get(name, "nothing")
            if section == "schedule" and _same_schedule(before, after):
                continue
            if before != after:
                found.setdefault(section, []).append(f"{name} was {before}, is {after}")
    return found


# ---- the model -----------------------------------------------------------------------------------


def _parts(part: Any, place: str, seen: set[int]) -> Iterator[tuple[str, str]]:
    """Each object of a model by its place, with its class and its own settings."""
    own = [type(part).__name__]
    seen.add(id(part))
    inner: list[tuple[str, Any]] = []
    for name, value in vars(part).items():
        if name.startswith("_"):
            continue
        if isinstance(value, Param):
            own += [] if value.trainable else [f"{name} is frozen"]
        elif isinstance(value, (list, tuple)) and any(hasattr(v, "__dict__") for v in value):
            inner += [(f"{name}.{i}", v) for i, v in enumerate(value)]
        elif isinstance(value, np.random.Generator) or (
            isinstance(value, np.ndarray) and isinstance(part, Module)
        ):
            continue  # a state, which the checkpoint has itself
        elif hasattr(value, "__dict__") and not hasattr(value, "__qualname__"):
            inner.append((name, value))  # an object, neither a class nor a function
        else:
            own.append(f"{name}={_text(value)}")
    yield place or "all", " ".join(own)
    for name, value in inner:
        if hasattr(value, "__dict__") and id(value) not in seen:
            yield from _parts(value, f"{place}.{name}" if place else name, seen)


def _scaler(model: Model) -> Section:
    return {} if model.scaler is None else dict(_parts(model.scaler, "scaler", set()))


def _text(value: Any) -> str:
    """A setting in words that are the same in every process."""
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {_digest(value)}"
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):  # a function or a class
        return f"{value.__module__}.{name}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


# ---- the optimizer -------------------------------------------------------------------------------


def _optimizer(optimizer: Optimizer) -> str:
    own = {
        name: _optimizer(value) if isinstance(value, Optimizer) else _text(value)
        for name, value in vars(optimizer).items()
        if name not in ("t", "rate_factor", "learning_rate") and name[0] != "_"
    }
    return f"{type(optimizer).__name__}({', '.join(f'{k}={v}' for k, v in own.items())})"


def _schedule(optimizer: Optimizer, steps: int) -> str:
    rate = optimizer.learning_rate
    if not callable(rate):
        return f"{rate:g} at every step"
    at = [0, *(2**i for i in range(steps.bit_length()) if 2**i < steps)]
    return f"{_text(rate)}: {', '.join(f'{float(rate(t)):g}' for t in at)}"


def _same_schedule(a: str, b: str) -> bool:
    """Whether two schedules are called the same and agree at the steps that both tell."""
    (name, _, rates), (other, _, others) = a.rpartition(": "), b.rpartition(": ")
    return name == other and all(x == y for x, y in zip(rates.split(", "), others.split(", ")))


# ---- data ----------------------------------------------------------------------------------------


def _data(x: Any) -> Section:
    if is_rows(x):
        if isinstance(x, tuple):
            return {f"x[{k}]": _array(a) for k, a in enumerate(x)}
        return {"x": _array(x)}
    if isinstance(x, list):
        return {f"batch {i}": ", ".join(_data(batch).values()) for i, batch in enumerate(x)}
    if isinstance(x, Stream):
        return {"x": x.describe()}
    return {"x": f"batches from a {type(x).__name__}"}


def _array(a: Array) -> str:
    return f"{a.dtype} of shape {a.shape}, digest {_digest(a)}"


def _digest(a: Array) -> str:
    import hashlib  # imported here: `import tinyae` need not wait for it

    state = hashlib.blake2b(digest_size=8)
    for block in _blocks(a):
        state.update(np.asarray(block).tobytes())
    return state.hexdigest()


def _blocks(a: Array) -> Iterator[Array]:
    """The rows, or evenly spaced blocks of them if they are many."""
    if a.ndim == 0 or a.size == 0:
        yield np.asarray(a)
        return
    row = max(a.nbytes // len(a), 1)
    height = max(DIGESTED // _BLOCKS // row, 1)
    starts = range(0, len(a), height)
    if a.nbytes > DIGESTED and len(starts) > _BLOCKS:
        starts = np.linspace(0, len(a) - height, _BLOCKS).astype(int).tolist()
    for start in starts:
        yield np.asarray(a[start : start + height])
