"""The former name of :mod:`tinyae.training`; the next version will not have it any more."""

from tinyae.training import EarlyStopping, Epoch, History, TrainingDiverged, fit

__all__ = ["EarlyStopping", "Epoch", "History", "TrainingDiverged", "fit"]
