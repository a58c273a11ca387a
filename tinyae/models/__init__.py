"""Models: layers plus an objective. Read :mod:`tinyae.models.autoencoder` first."""

from tinyae.models.autoencoder import Autoencoder, Model

__all__ = ["Model", "Autoencoder"]
