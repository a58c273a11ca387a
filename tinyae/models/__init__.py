"""Models: layers plus an objective. Read :mod:`tinyae.models.autoencoder` first."""

from tinyae.models.adversarial import AdversarialAutoencoder
from tinyae.models.autoencoder import Autoencoder
from tinyae.models.base import Model
from tinyae.models.builders import (
    conv_encoder_decoder,
    conv_pair,
    dense_encoder_decoder,
    dense_pair,
    dense_variational,
)
from tinyae.models.classifier import Classifier
from tinyae.models.code_prior import CodePrior
from tinyae.models.conditional import ConditionalVariationalAutoencoder
from tinyae.models.contractive import ContractiveAutoencoder
from tinyae.models.conv_denoiser import conv_denoiser, start_from_linear_filter
from tinyae.models.cyclegan import CycleGAN
from tinyae.models.denoising import DenoisingAutoencoder
from tinyae.models.dictionary import TopKSAE
from tinyae.models.diffusion import Diffusion
from tinyae.models.diffusion_autoencoder import DiffusionAutoencoder
from tinyae.models.gan import GAN, NonSaturating, Saturating
from tinyae.models.gan_builders import conv_wgan, dcgan, dense_gan
from tinyae.models.gan_r1 import R1GAN
from tinyae.models.importance_weighted import ImportanceWeightedAutoencoder
from tinyae.models.interpolation import linear, spherical
from tinyae.models.likelihood_estimates import Estimate
from tinyae.models.masked import MaskedAutoencoder
from tinyae.models.mmd import GaussianKernel, InverseMultiquadratic
from tinyae.models.nested import BatchTopKSAE, MatryoshkaSAE
from tinyae.models.noising import CosineSchedule, PredictClean, PredictNoise, PredictVelocity
from tinyae.models.progan import ProGAN
from tinyae.models.progan_blocks import progan
from tinyae.models.sequence_builders import sequence_autoencoder
from tinyae.models.sparse import KLSparsity, L1Sparsity, SparseAutoencoder
from tinyae.models.stacked import StackedAutoencoder, stack_of
from tinyae.models.stargan import StarGAN
from tinyae.models.stylegan import StyleGAN, stylegan
from tinyae.models.thresholds import GatedSAE, JumpReLUSAE
from tinyae.models.translation_builders import cyclegan, stargan
from tinyae.models.unet import UNet, unet
from tinyae.models.variational import VariationalAutoencoder
from tinyae.models.vqgan import VQGAN, patch_discriminator
from tinyae.models.vqvae import VQVAE
from tinyae.models.wasserstein import WassersteinAutoencoder
from tinyae.models.wasserstein_gan import WassersteinGAN

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
    "ImportanceWeightedAutoencoder",
    "Estimate",
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
    "dense_encoder_decoder",
    "conv_encoder_decoder",
    "dense_pair",
    "dense_variational",
    "conv_pair",
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
]
