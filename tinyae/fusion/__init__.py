"""Faster twins of what ``layers/`` and ``models/`` define: the same numbers, by less work.

Nothing in ``layers/`` or ``models/`` imports this package. Importing it attaches a twin to each
definition that is marked ``@fused`` (:mod:`tinyae.twin`). A twin declines, and the definition
runs, wherever something is not what it stands for: a derived class, a changed object, a method
replaced on a class. ``tests/test_fusion.py`` compares each twin with its definition.

``plan_cache``     when a part is what the library made it; plans, kept while that is so
``params``         a module's Params, found once
``activation``     an activation's backward in one pass
``dense``          a dense layer's gradients, added where they are computed
``mlp``            dense layers and activations as one kernel
``convolutions``   convolutions and ReLUs as one
``sequential``     which layers of a Sequential run as one
``microbatches``   a batch in pieces that stay in the cache
``steps``          whole steps, from the batch to the gradients
``contraction``    the contractive penalty's closed form
"""

from typing import Any

from tinyae.fusion import activation, contraction, dense, params, sequential, steps
from tinyae.layers import Activation, Dense, Module, Sequential, TiedDense
from tinyae.models import Autoencoder, VariationalAutoencoder
from tinyae.models.contractive import row_sq_norms_with_gradient
from tinyae.twin import attach

TWINS: dict[Any, Any] = {
    Module.params.fget: params.params,  # type: ignore[attr-defined]
    Activation.backward: activation.backward,
    Dense.backward: dense.backward,
    Dense.backward_params: dense.backward_params,
    TiedDense.backward: dense.tied_backward,
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
