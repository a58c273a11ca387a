"""Layers, in reading order: first the contract, then the layers from simple to composite.

A new layer is a class in one of these files, named in that file's ``__all__``.
"""

from tinyae.layers import (
    activation,
    attention,
    base,
    branches,
    compose,
    conditioned,
    conv,
    conv1d,
    dense,
    embedding,
    equalized,
    fade,
    gated,
    global_pool,
    glu,
    group_norm,
    minibatch,
    noise,
    norm,
    pool,
    pool1d,
    prelu,
    recurrent,
    rms_norm,
    shape,
    softmax,
    style,
    tokens,
    topk,
    transformer,
    upsample,
)
from tinyae.layers.activation import *
from tinyae.layers.attention import *
from tinyae.layers.base import *
from tinyae.layers.branches import *
from tinyae.layers.compose import *
from tinyae.layers.conditioned import *
from tinyae.layers.conv import *
from tinyae.layers.conv1d import *
from tinyae.layers.dense import *
from tinyae.layers.embedding import *
from tinyae.layers.equalized import *
from tinyae.layers.fade import *
from tinyae.layers.gated import *
from tinyae.layers.global_pool import *
from tinyae.layers.glu import *
from tinyae.layers.group_norm import *
from tinyae.layers.minibatch import *
from tinyae.layers.noise import *
from tinyae.layers.norm import *
from tinyae.layers.pool import *
from tinyae.layers.pool1d import *
from tinyae.layers.prelu import *
from tinyae.layers.recurrent import *
from tinyae.layers.rms_norm import *
from tinyae.layers.shape import *
from tinyae.layers.softmax import *
from tinyae.layers.style import *
from tinyae.layers.tokens import *
from tinyae.layers.topk import *
from tinyae.layers.transformer import *
from tinyae.layers.upsample import *

__all__: list[str] = []
__all__ += base.__all__
__all__ += dense.__all__
__all__ += activation.__all__
__all__ += gated.__all__
__all__ += glu.__all__
__all__ += prelu.__all__
__all__ += softmax.__all__
__all__ += topk.__all__
__all__ += shape.__all__
__all__ += upsample.__all__
__all__ += conv.__all__
__all__ += conv1d.__all__
__all__ += pool.__all__
__all__ += pool1d.__all__
__all__ += global_pool.__all__
__all__ += norm.__all__
__all__ += group_norm.__all__
__all__ += rms_norm.__all__
__all__ += noise.__all__
__all__ += compose.__all__
__all__ += branches.__all__
__all__ += embedding.__all__
__all__ += tokens.__all__
__all__ += attention.__all__
__all__ += transformer.__all__
__all__ += recurrent.__all__
__all__ += equalized.__all__
__all__ += minibatch.__all__
__all__ += fade.__all__
__all__ += style.__all__
__all__ += conditioned.__all__
