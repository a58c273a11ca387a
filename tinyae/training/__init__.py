"""Training: one loop for every model."""

from tinyae.training.loop import EarlyStopping, Epoch, History, TrainingDiverged, fit

__all__ = ["EarlyStopping", "Epoch", "History", "TrainingDiverged", "fit"]
