"""tinyae: autoencoders in pure NumPy, with Numba kernels and every gradient derived by hand.

The source is meant to be read, in this order:

 1. ``layers/base.py``         the contract: ``y, cache = forward(x)``, ``dx = backward(dy, cache)``
 2. ``layers/dense.py``        an affine map and its gradient; the same matrix used twice (tied)
 3. ``layers/activation.py``   f, f′ and f″ side by side; ``gated.py``, ``prelu.py``
 4. ``layers/compose.py``      one layer after the other: the chain rule
 5. ``models/autoencoder.py``  encoder, decoder, loss: forward, then its mirror image
 6. ``losses.py``              what is to be made small: a number and its gradient
 7. ``param.py``               a value and its gradient; ``initializers.py``: how weights begin
 8. ``optim.py``               to AdamW; ``optimizer.py``, ``schedules.py``, ``clipping.py``,
                               ``averaging.py``
 9. ``training/loop.py``       the loop; beside it checkpoints, early stopping, what can go wrong
10. ``gradcheck/numeric.py``   how to know that a gradient is right
11. ``models/denoising.py``, ``sparse.py``, ``contractive.py``, ``stacked.py``: one idea more each
12. ``likelihoods.py``, ``models/variational.py``: the code as a distribution, the ELBO in nats;
    ``importance_weighted.py``; ``mmd.py``, ``wasserstein.py``: a prior for all codes together
13. ``models/gan.py``, ``gan_players.py``: two players, each with a loss of its own;
    ``adversarial.py``, ``wasserstein_gan.py``, ``gan_r1.py``, ``progan.py``, ``stylegan.py``;
    from image to image ``cyclegan.py``, ``stargan.py``
14. ``layers/convolution.py``, ``conv.py``: convolution and its transpose, each the other's adjoint;
    of sequences in ``conv1d.py``, ``pool1d.py``; ``upsample.py``, ``glu.py``
15. ``layers/norm.py``, ``group_norm.py``, ``rms_norm.py``, ``pool.py``,
    ``global_pool.py``, ``shape.py``, ``noise.py``, ``topk.py``, ``branches.py``; of growing
    GANs ``equalized.py``, ``minibatch.py``, ``fade.py``, ``style.py``; of tokens
    ``embedding.py``, ``tokens.py``, ``attention.py``, ``transformer.py``, ``recurrent.py``; a
    U-Net that is told something: ``conditioned.py``
16. ``models/unet.py``, ``vqvae.py``, ``vqgan.py``, ``code_prior.py``, ``masked.py``,
    ``dictionary.py``: what these layers make;
    ``noising.py``, ``diffusion.py``, ``diffusion_autoencoder.py``
17. ``twin.py``, ``fusion/``   what runs in place of these definitions where speed matters
18. ``kernels/reference.py``   the hot loops in plain NumPy; ``kernels/jitted/``: the same, compiled,
                               down to ``simd_tile.py``, a tile of sums in vector registers
19. ``program/``               a trained model as a flat list of operations, as one function, and as C
20. ``gradcheck/doctor/``      what is wrong with a gradient, and where
    ``explanation/``           one pass forward and backward, in words and numbers
    ``training_doctor/``       what is wrong with a training
21. ``learn/``                 exercises: write a backward pass, and be told what is wrong with it
    ``book/``                  all of this as a book: ``tinyae book``
22. ``data/``, ``metrics.py``, ``plot.py``, ``report/``, ``io/``, ``cli/``, ``sklearn/``   the world
"""

__version__ = "0.1.0"

from typing import TYPE_CHECKING

from tinyae import data, fusion, io, kernels, layers, lazy  # fusion attaches its twins
from tinyae.averaging import MovingAverage
from tinyae.clipping import clip_by_global_norm
from tinyae.data.augmentation import RandomAffine, RandomCrop
from tinyae.data.binarize import Binarize
from tinyae.data.corruption import GaussianNoise, MaskingNoise, SaltAndPepper
from tinyae.initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LeCunNormal,
    LeCunUniform,
    Normal,
    Orthogonal,
    TorchUniform,
    Zeros,
)
from tinyae.io import load, save
from tinyae.layers import *
from tinyae.likelihoods import (
    Bernoulli,
    Gaussian,
    HeteroscedasticGaussian,
    Laplace,
    LearntGaussian,
)
from tinyae.losses import BCE, L1, MSE, BCEWithLogits, Huber, WeightedLoss
from tinyae.models import (
    GAN,
    R1GAN,
    VQGAN,
    VQVAE,
    AdversarialAutoencoder,
    Autoencoder,
    BatchTopKSAE,
    Classifier,
    CodePrior,
    ConditionalVariationalAutoencoder,
    ContractiveAutoencoder,
    CosineSchedule,
    CycleGAN,
    DenoisingAutoencoder,
    Diffusion,
    DiffusionAutoencoder,
    GatedSAE,
    GaussianKernel,
    ImportanceWeightedAutoencoder,
    InverseMultiquadratic,
    JumpReLUSAE,
    KLSparsity,
    L1Sparsity,
    MaskedAutoencoder,
    MatryoshkaSAE,
    Model,
    NonSaturating,
    PredictClean,
    PredictNoise,
    PredictVelocity,
    ProGAN,
    Saturating,
    SparseAutoencoder,
    StackedAutoencoder,
    StarGAN,
    StyleGAN,
    TopKSAE,
    UNet,
    VariationalAutoencoder,
    WassersteinAutoencoder,
    WassersteinGAN,
    conv_denoiser,
    conv_encoder_decoder,
    conv_pair,
    conv_wgan,
    cyclegan,
    dcgan,
    dense_encoder_decoder,
    dense_gan,
    dense_pair,
    dense_variational,
    linear,
    patch_discriminator,
    progan,
    sequence_autoencoder,
    spherical,
    stack_of,
    stargan,
    start_from_linear_filter,
    stylegan,
    unet,
)
from tinyae.optim import (
    SGD,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    RMSProp,
)
from tinyae.param import Param
from tinyae.scaling import Scaler
from tinyae.training import EarlyStopping, History, ReduceLROnPlateau, TrainingDiverged, fit


def _compile(model, part="autoencoder", input_shape=None):  # type: ignore[no-untyped-def]
    """A part of the model as one compiled function: :func:`tinyae.program.compile_model`."""
    from tinyae.program import compile_model  # when it is wanted: `import tinyae` need not wait

    return compile_model(model, part, input_shape)


def _export_c(  # type: ignore[no-untyped-def]
    model,
    path,
    name=None,
    *,
    part="autoencoder",
    input_shape=None,
    threshold=None,
    selftest=False,
    quantize=None,
    calibration=None,
    train=None,
    frozen=(),
):
    """A part of the model as a C99 header: :func:`tinyae.program.export_c`."""
    from tinyae.program import export_c

    return export_c(
        model,
        path,
        name,
        part=part,
        input_shape=input_shape,
        threshold=threshold,
        selftest=selftest,
        quantize=quantize,
        calibration=calibration,
        train=train,
        frozen=frozen,
    )


def _export_onnx(model, path, *, part="autoencoder", input_shape=None):  # type: ignore[no-untyped-def]
    """A part of the model as an ONNX file: :func:`tinyae.program.export_onnx`."""
    from tinyae.program import export_onnx

    return export_onnx(model, path, part=part, input_shape=input_shape)


Model.compile = _compile
Model.export_c = _export_c
Model.export_onnx = _export_onnx

if TYPE_CHECKING:
    from tinyae import export, gradcheck, metrics, plot, program
    from tinyae.explanation import explain
    from tinyae.interchange import from_onnx, from_torch, load_torch_state, to_torch
    from tinyae.program.profile import profile
    from tinyae.report import report
    from tinyae.schedules import Constant, Cosine, Exponential, StepDecay, WarmUp
    from tinyae.training_doctor import diagnose_training

__getattr__ = lazy.attach(
    __name__,
    {
        **{
            name: f"tinyae.{name}" for name in ("export", "gradcheck", "metrics", "plot", "program")
        },
        **{
            name: f"tinyae.schedules:{name}"
            for name in ("Constant", "Cosine", "Exponential", "StepDecay", "WarmUp")
        },
        "train": "tinyae.train",  # the former name of tinyae.training
        "explain": "tinyae.explanation:explain",
        "diagnose_training": "tinyae.training_doctor:diagnose_training",
        "profile": "tinyae.program.profile:profile",
        "report": "tinyae.report",  # a package that can be called
        **{
            name: f"tinyae.interchange:{name}"
            for name in ("from_onnx", "from_torch", "to_torch", "load_torch_state")
        },
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
    "TorchUniform",
    "Zeros",
    # losses, models, optimizers, the loop
    "MSE",
    "L1",
    "Huber",
    "BCE",
    "BCEWithLogits",
    "WeightedLoss",
    "Model",
    "Autoencoder",
    "DenoisingAutoencoder",
    "GaussianNoise",
    "MaskingNoise",
    "SaltAndPepper",
    "RandomAffine",
    "RandomCrop",
    "SparseAutoencoder",
    "L1Sparsity",
    "KLSparsity",
    "ContractiveAutoencoder",
    "VariationalAutoencoder",
    "ConditionalVariationalAutoencoder",
    "ImportanceWeightedAutoencoder",
    "Bernoulli",
    "Gaussian",
    "LearntGaussian",
    "HeteroscedasticGaussian",
    "Laplace",
    "Binarize",
    "WassersteinAutoencoder",
    "InverseMultiquadratic",
    "GaussianKernel",
    "AdversarialAutoencoder",
    "UNet",
    "VQVAE",
    "VQGAN",
    "CodePrior",
    "Diffusion",
    "DiffusionAutoencoder",
    "CosineSchedule",
    "PredictNoise",
    "PredictClean",
    "PredictVelocity",
    "MaskedAutoencoder",
    "TopKSAE",
    "BatchTopKSAE",
    "MatryoshkaSAE",
    "JumpReLUSAE",
    "GatedSAE",
    "linear",
    "spherical",
    "StackedAutoencoder",
    "Classifier",
    "GAN",
    "R1GAN",
    "ProGAN",
    "StyleGAN",
    "CycleGAN",
    "StarGAN",
    "NonSaturating",
    "Saturating",
    "WassersteinGAN",
    # hourglasses, built at once
    "dense_encoder_decoder",
    "conv_encoder_decoder",
    "dense_pair",
    "conv_pair",
    "dense_variational",
    "stack_of",
    "unet",
    "conv_denoiser",
    "start_from_linear_filter",
    "sequence_autoencoder",
    "dense_gan",
    "dcgan",
    "conv_wgan",
    "patch_discriminator",
    "progan",
    "stylegan",
    "cyclegan",
    "stargan",
    "SGD",
    "Momentum",
    "Nesterov",
    "RMSProp",
    "Adam",
    "AdamW",
    "MovingAverage",
    "Constant",
    "StepDecay",
    "Exponential",
    "Cosine",
    "WarmUp",
    "clip_by_global_norm",
    "fit",
    "EarlyStopping",
    "ReduceLROnPlateau",
    "Scaler",
    "History",
    "TrainingDiverged",
    "diagnose_training",
    "explain",
    # files and the rest
    "save",
    "load",
    "from_onnx",
    "from_torch",
    "to_torch",
    "load_torch_state",
    "profile",
    "report",
    "data",
    "export",
    "fusion",
    "gradcheck",
    "io",
    "kernels",
    "metrics",
    "plot",
    "program",
]
__all__ += layers.__all__
