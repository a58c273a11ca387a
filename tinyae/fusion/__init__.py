"""Faster twins of the definitions in ``layers/`` and ``models/``: the same numbers with less work.

Nothing in ``layers/`` or ``models/`` imports this package. Importing it attaches a twin to each
definition that is marked ``@fused`` (:mod:`tinyae.twin`). A twin stands only for the library's own
code. It declines, and the definition runs, for a derived class, a changed object or a method
replaced on a class. ``tests/test_fusion.py`` compares each twin with its definition.

``plan_cache``     which objects are unmodified; plans for them, kept until they change
``params``         a module's Params, collected once
``activation``     an activation's backward in one pass
``dense``          a dense layer's gradients, computed and added by one kernel
``group_norm``     a GroupNorm in a few passes
``mlp``            dense layers and activations as one kernel
``batch_norm``     a BatchNorm of images, channel by channel
``convolutions``   convolutions fused with the norms and ReLUs after them
``sequential``     which layers of a Sequential are fused
``microbatches``   a batch cut into pieces that stay in the CPU cache
``steps``          whole steps, from the batch to the gradients
``contraction``    the contractive penalty's closed form
"""

from typing import Any

from tinyae.fusion import (
    activation,
    batch_norm,
    contraction,
    dense,
    group_norm,
    params,
    sequential,
    steps,
)
from tinyae.layers import Activation, BatchNorm, Dense, GroupNorm, Module, Sequential, TiedDense
from tinyae.models import Autoencoder, VariationalAutoencoder
from tinyae.models.contractive import row_sq_norms_with_gradient
from tinyae.twin import attach

TWINS: dict[Any, Any] = {
    Module.params.fget: params.params,  # type: ignore[attr-defined]
    Activation.backward: activation.backward,
    Dense.backward: dense.backward,
    Dense.backward_params: dense.backward_params,
    GroupNorm.forward: group_norm.forward,
    GroupNorm.backward: group_norm.backward,
    TiedDense.backward: dense.tied_backward,
    BatchNorm.forward: batch_norm.forward,
    BatchNorm.backward: batch_norm.backward,  # of every norm that has no own; stands for this one
    Sequential.forward: sequential.forward,
    Sequential.backward: sequential.backward,
    Sequential.backward_params: sequential.backward_params,
    Autoencoder.step: steps.step,
    Autoencoder.decoder_step: steps.decoder_step,
    VariationalAutoencoder.decoder_step: steps.variational_decoder_step,
    row_sq_norms_with_gradient: contraction.row_sq_norms,
}

for definition, twin in TWINS.items():
    attach(definition, twin)
