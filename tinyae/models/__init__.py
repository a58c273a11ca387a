"""Models: layers plus an objective. Read :mod:`tinyae.models.autoencoder` first."""

from tinyae.models.autoencoder import Autoencoder, Model
from tinyae.models.builders import conv_pair, dense_pair
from tinyae.models.denoising import DenoisingAutoencoder

__all__ = ["Model", "Autoencoder", "DenoisingAutoencoder", "dense_pair", "conv_pair"]
