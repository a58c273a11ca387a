"""Models: layers plus an objective. Read :mod:`tinyae.models.autoencoder` first."""

from tinyae.models.autoencoder import Autoencoder, Model
from tinyae.models.builders import conv_pair, dense_pair, dense_variational
from tinyae.models.classifier import Classifier
from tinyae.models.conditional import ConditionalVariationalAutoencoder
from tinyae.models.contractive import ContractiveAutoencoder
from tinyae.models.denoising import DenoisingAutoencoder
from tinyae.models.gan import GAN, NonSaturating, Saturating
from tinyae.models.gan_pairs import dcgan, dense_gan
from tinyae.models.paths import linear, spherical
from tinyae.models.sparse import KLSparsity, L1Sparsity, SparseAutoencoder
from tinyae.models.stacked import StackedAutoencoder, stack_of
from tinyae.models.variational import Estimate, VariationalAutoencoder

__all__ = [
    "Model",
    "Autoencoder",
    "DenoisingAutoencoder",
    "SparseAutoencoder",
    "L1Sparsity",
    "KLSparsity",
    "ContractiveAutoencoder",
    "VariationalAutoencoder",
    "ConditionalVariationalAutoencoder",
    "Estimate",
    "linear",
    "spherical",
    "StackedAutoencoder",
    "Classifier",
    "GAN",
    "NonSaturating",
    "Saturating",
    "dense_pair",
    "dense_variational",
    "conv_pair",
    "stack_of",
    "dense_gan",
    "dcgan",
]
