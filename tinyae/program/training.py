"""A step of learning on a device: what learns, and what cannot.

    learnt = learnt_params(model, frozen="encoder")
    program = training_program(model, (140,), learnt)

A step is that of a plain autoencoder on one sample x: forward, ∂L/∂y of the loss of y against x, and
back (:mod:`tinyae.program.backward`); a model with a scaler takes x in the data's units, and its loss
is in scaled ones. The step equals ``model.backprop(x[None])`` and one of SGD or Adam but for what a
single sample has no use for:

    BatchNorm     needs statistics of a batch. It stays the map x ↦ scale · x + shift that it is after
                  training, with its running statistics, γ and β; gradients go through it
    noise         Dropout and the corruption of a denoising autoencoder are left out

Penalties and likelihoods have no operations: sparse, contractive and variational models are refused.
A weight that two layers share would have to wait for both gradients, so one that learns is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tinyae.layers import BatchNorm
from tinyae.layers.base import Module
from tinyae.losses import BCE, L1, MSE, BCEWithLogits, Huber
from tinyae.models import Autoencoder, DenoisingAutoencoder, Model
from tinyae.param import Param
from tinyae.program import gradients
from tinyae.program.backward import TrainingLowering
from tinyae.program.compile import scaled
from tinyae.program.program import Program, Shape

OPTIMIZERS = ("sgd", "adam")
LOSSES = (MSE, L1, Huber, BCE, BCEWithLogits)


def training_program(model: Any, shape: Shape, learnt: Mapping[str, Param]) -> Program:
    """One step on a sample of that shape, which is its own target.

    Raises
        TypeError   there is no operation for a layer, or none for its gradient
        ValueError  the model does not accept the shape, or its reconstruction has another
    """
    lowering = TrainingLowering(shape, model.dtype, learnt)
    x = scaled(lowering, model, lowering.x)
    y = lowering.add(model.decoder, lowering.add(model.encoder, x))
    if y.shape != shape:
        raise ValueError(
            f"export_c: a sample has shape {shape}, its reconstruction {y.shape}, so there is no "
            f"loss to learn from; end the decoder with Reshape{shape}"
        )
    return lowering.training_program(y, model.loss, x)


def checked_optimizer(
    train: str | None, frozen: str | Sequence[str], part: str, quantize: str | None
) -> str | None:
    """The optimizer, if the arguments of ``export_c`` go together."""
    if train is None:
        if frozen:
            raise ValueError(
                f"export_c: frozen is {frozen!r} without train, where all weights are constants; "
                'pass train="sgd" with it'
            )
        return None
    if train not in OPTIMIZERS:
        raise ValueError(f"export_c: train is {train!r}, expected None, 'sgd' or 'adam'")
    if part not in ("autoencoder", "score"):
        raise ValueError(
            f"export_c: train={train!r} with part={part!r}, which has no loss; pass "
            'part="autoencoder" or part="score"'
        )
    if quantize is not None:
        raise ValueError(
            f"export_c: train={train!r} with quantize={quantize!r}, but a weight of 8 bits cannot "
            "take small steps; pass one of them"
        )
    return train


def learnt_params(model: Model, frozen: str | Sequence[str]) -> dict[str, Param]:
    """The Params that are neither frozen here nor by ``layer.freeze()``, by name.

    Raises
        TypeError   the model has more to its objective than a loss, or another loss
        ValueError  a name in ``frozen`` fits no Param, or all Params are frozen
    """
    if type(model) not in (Autoencoder, DenoisingAutoencoder):
        raise TypeError(
            f"export_c: train= has no operations for the objective of a {type(model).__name__}; copy "
            "its layers into an Autoencoder(encoder, decoder, loss)"
        )
    assert isinstance(model, Autoencoder)
    if type(model.loss) not in LOSSES:
        raise TypeError(
            f"export_c: train= has no gradient of {model.loss} in C, expected one of "
            f"{', '.join(kind.__name__ for kind in LOSSES)}; build the model with one of them"
        )
    names = [frozen] if isinstance(frozen, str) else list(frozen)
    params = model.params
    for name in names:
        if not isinstance(name, str) or not any(_is_part(key, name) for key in params):
            raise ValueError(
                f"export_c: frozen has {name!r}, which is the beginning of no Param's name; "
                f"expected some of {', '.join(dict.fromkeys(_layer(key) for key in params))}"
            )
    still = {id(p) for key, p in params.items() if any(_is_part(key, name) for name in names)}
    learnt = {key: p for key, p in params.items() if p.trainable and id(p) not in still}
    if not learnt:
        raise ValueError(
            f"export_c: frozen is {frozen!r}, and with what layer.freeze() froze, that is all of the "
            "model; leave out the layers that shall learn, or pass train=None"
        )
    return learnt


def check_learnt(model: Model, program: Program, learnt: Mapping[str, Param]) -> None:
    """Raise where a Param should learn and cannot, with its layer's name."""
    counts: Counter[str] = Counter()
    for op in program.ops:
        if type(op).__module__ != gradients.__name__:
            slots = [s for s in op.slots.values() if s.space == "weights"]
            names = [program.learnt.get(slot.offset) for slot in slots]
            counts.update(name for name in names if name is not None)
            if hasattr(op, "W") and len({name is None for name in names}) > 1:
                name = next(name for name in names if name is not None)
                raise ValueError(
                    f"export_c: a part of {_title(model, name)} is frozen and a part not; "
                    f"freeze the whole layer: frozen={_layer(name)!r}"
                )
    for name, count in counts.items():
        if count > 1:
            raise TypeError(
                f"export_c: {_title(model, name)} shares {name} with another layer, so it "
                f"cannot learn on a device; freeze it with frozen={_layer(name)!r}, or use layers "
                "with weights of their own"
            )
    for name in learnt:
        if name not in counts and not isinstance(_owner(model, name), BatchNorm):
            raise TypeError(
                f"export_c: {_title(model, name)} has no gradient in C; freeze it with "
                f"frozen={_layer(name)!r}"
            )
    if not counts:
        raise ValueError(
            "export_c: nothing would learn, for BatchNorm does not with one sample at a time; "
            "leave other layers out of frozen, or pass train=None"
        )


def _is_part(key: str, name: str) -> bool:
    """Whether the Param belongs to what has that name, e.g. encoder.1.W to encoder.1 or encoder."""
    return key == name or key.startswith(name + ".")


def _layer(key: str) -> str:
    """encoder.0.W → encoder.0"""
    return key.rpartition(".")[0]


def _owner(model: Model, key: str) -> Module:
    """The layer that a Param belongs to."""
    module: Module = model
    for name in _layer(key).split("."):
        module = module.children[name]
    return module


def _title(model: Model, key: str) -> str:
    """encoder.0.W → "encoder.0, Dense(4, 3)\""""
    return f"{_layer(key)}, {_owner(model, key)!r},"
