"""The mutation bank: broken backward passes, each a small edit of the library's own source.

A mutation is data: the function to change, the old and the new text, a subject that shows the
fault, and what a correct diagnosis may say. The bank has two uses:

``python -m tests.mutations``           how often the gradient doctor is right, and how fast
``python -m tests.mutations --suite``   whether the tests of the changed file fail

``mutation``    Mutation
``library``     the library with a mutation applied in memory
``subjects``    small layers, losses and models, with pairwise different sizes where they matter
``layers`` · ``activations`` · ``convolutions`` · ``norms`` · ``compose`` · ``losses`` · ``models``
· ``codes`` · ``kernel_set``
                the bank itself
``fused``       broken twins, for the tests only
``verdict``     what counts as right, unknown or misleading
``suite``       a mutated copy of the tree, and its tests

The doctor is tuned on one half of the bank and judged on the other. The half depends only on the
mutation's name: the doctor may be tuned on it if crc32(name) is even (``Mutation.tuned``).
"""

from .activations import ACTIVATIONS
from .codes import CODES
from .compose import COMPOSE
from .convolutions import CONVOLUTIONS
from .fused import FUSED
from .kernel_set import KERNELS
from .layers import LAYERS
from .library import library
from .losses import LOSSES
from .models import MODELS
from .mutation import Mutation
from .norms import NORMS

BANK: tuple[Mutation, ...] = (
    *LAYERS,
    *ACTIVATIONS,
    *CONVOLUTIONS,
    *NORMS,
    *COMPOSE,
    *LOSSES,
    *MODELS,
    *CODES,
    *KERNELS,
)

__all__ = ["BANK", "FUSED", "Mutation", "library"]
