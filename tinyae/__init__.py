"""tinyae: autoencoders in pure NumPy, with Numba kernels and every gradient derived by hand.

The source is meant to be read, in this order:

 1. ``layers/base.py``         the contract: ``y, cache = forward(x)``, ``dx = backward(dy, cache)``
 2. ``layers/dense.py``        an affine map and its gradient; the same matrix used twice (tied)
 3. ``layers/activation.py``   f, f′ and f″ side by side
 4. ``losses.py``              what is to be made small: a number and its gradient
 5. ``models/autoencoder.py``  encoder, decoder, loss: forward, then its mirror image
 6. ``param.py``               a value and its gradient; how weights begin
 7. ``optim.py``               from plain descent to AdamW, in growing complexity
 8. ``train.py``               the loop: batches, validation, early stopping, what can go wrong
 9. ``gradcheck/numeric.py``   how to know that a gradient is right
10. ``models/denoising.py``, ``sparse.py``, ``contractive.py``, ``stacked.py``: one idea more each
11. ``likelihoods.py``, ``models/variational.py``: the code as a distribution, the ELBO in nats
12. ``models/gan.py``          two players, each with a loss of its own
13. ``layers/conv.py``         convolution and its transpose, each the other's adjoint
14. ``layers/norm.py``, ``pool.py``, ``shape.py``, ``noise.py``, ``topk.py``, ``compose.py``
15. ``kernels/reference.py``   the hot loops in plain NumPy; ``jitted/``: the same, compiled,
                               down to ``simd_tile.py``, a tile of sums in vector registers
16. ``program/``               a trained model as plain data, and as one compiled function
17. ``gradcheck/doctor.py``, ``hypotheses/``   what is wrong with a gradient, and where
    ``explanation/``           one pass forward and backward, told; ``training_doctor/``: one training
18. ``learn/``                 exercises: write a backward pass, and be told what is wrong with it
19. ``data/``, ``metrics.py``, ``plot.py``, ``io.py``, ``cli.py``   the world outside
"""

__version__ = "0.1.0"

from typing import TYPE_CHECKING

from tinyae import data, io, kernels, lazy
from tinyae.data.augmentation import RandomAffine
from tinyae.data.binarize import Binarize
from tinyae.data.corruption import GaussianNoise, MaskingNoise, SaltAndPepper
from tinyae.io import load, save
from tinyae.layers import (
    ELU,
    GELU,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
    Module,
    Parallel,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    Skip,
    Softmax,
    Softplus,
    Tanh,
    TiedDense,
    TopK,
    Upsample2d,
)
from tinyae.likelihoods import (
    Bernoulli,
    Gaussian,
    HeteroscedasticGaussian,
    Laplace,
    LearntGaussian,
)
from tinyae.losses import BCE, L1, MSE, BCEWithLogits
from tinyae.models import (
    GAN,
    Autoencoder,
    Classifier,
    ConditionalVariationalAutoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KLSparsity,
    L1Sparsity,
    Model,
    NonSaturating,
    Saturating,
    SparseAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
    conv_pair,
    dcgan,
    dense_gan,
    dense_pair,
    dense_variational,
    linear,
    spherical,
    stack_of,
)
from tinyae.optim import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Exponential,
    Momentum,
    Nesterov,
    RMSProp,
    StepDecay,
    WarmUp,
    clip_by_global_norm,
)
from tinyae.param import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LeCunNormal,
    LeCunUniform,
    Normal,
    Orthogonal,
    Param,
    Zeros,
)
from tinyae.train import EarlyStopping, History, TrainingDiverged, fit


def _compile(model, part="autoencoder", input_shape=None):  # type: ignore[no-untyped-def]
    """A part of the model as one compiled function: :func:`tinyae.program.compile_model`."""
    from tinyae.program import compile_model  # when it is wanted: `import tinyae` need not wait

    return compile_model(model, part, input_shape)


Model.compile = _compile

if TYPE_CHECKING:
    from tinyae import export, gradcheck, metrics, plot, program
    from tinyae.explanation import explain
    from tinyae.training_doctor import diagnose_training

__getattr__ = lazy.attach(
    __name__,
    {
        **{
            name: f"tinyae.{name}" for name in ("export", "gradcheck", "metrics", "plot", "program")
        },
        "explain": "tinyae.explanation:explain",
        "diagnose_training": "tinyae.training_doctor:diagnose_training",
    },
)

__all__ = [
    # parameters and how they begin
    "Param",
    "GlorotUniform",
    "GlorotNormal",
    "HeUniform",
    "HeNormal",
    "LeCunUniform",
    "LeCunNormal",
    "Normal",
    "Orthogonal",
    "Zeros",
    # layers
    "Module",
    "Layer",
    "Dense",
    "TiedDense",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "GELU",
    "Softmax",
    "TopK",
    "Conv2d",
    "ConvTranspose2d",
    "MaxPool2d",
    "AvgPool2d",
    "Upsample2d",
    "Flatten",
    "Reshape",
    "BatchNorm",
    "LayerNorm",
    "Dropout",
    "Sequential",
    "Residual",
    "Skip",
    "Parallel",
    # losses, models, optimizers, the loop
    "MSE",
    "L1",
    "BCE",
    "BCEWithLogits",
    "Model",
    "Autoencoder",
    "DenoisingAutoencoder",
    "GaussianNoise",
    "MaskingNoise",
    "SaltAndPepper",
    "RandomAffine",
    "SparseAutoencoder",
    "L1Sparsity",
    "KLSparsity",
    "ContractiveAutoencoder",
    "VariationalAutoencoder",
    "ConditionalVariationalAutoencoder",
    "Bernoulli",
    "Gaussian",
    "LearntGaussian",
    "HeteroscedasticGaussian",
    "Laplace",
    "Binarize",
    "linear",
    "spherical",
    "StackedAutoencoder",
    "Classifier",
    "GAN",
    "NonSaturating",
    "Saturating",
    # hourglasses, built at once
    "dense_pair",
    "conv_pair",
    "dense_variational",
    "stack_of",
    "dense_gan",
    "dcgan",
    "SGD",
    "Momentum",
    "Nesterov",
    "RMSProp",
    "Adam",
    "AdamW",
    "Constant",
    "StepDecay",
    "Exponential",
    "Cosine",
    "WarmUp",
    "clip_by_global_norm",
    "fit",
    "EarlyStopping",
    "History",
    "TrainingDiverged",
    "diagnose_training",
    "explain",
    # files and the rest
    "save",
    "load",
    "data",
    "export",
    "gradcheck",
    "io",
    "kernels",
    "metrics",
    "plot",
    "program",
]
