"""Training: one loop for every model.

    history = fit(model, x, epochs=10, optimizer=Adam(1e-3), validation=x_test)

``loop``             fit, and what one epoch does: read this first
``history``          Epoch and History: what was measured
``carried``          the history that a model keeps, and its file
``early_stopping``   when to stop
``plateau``          when to lower the learning rate
``state``            everything that changes while a model trains
``checkpoint``       that state in a file, and back
``description``      what a training was begun with
``dry_run``          what is checked before the first step
``divergence``       where a NaN or an infinity came from
``progress``         the bar on stderr
"""

from tinyae.models.base import Model
from tinyae.training.carried import history_property
from tinyae.training.divergence import TrainingDiverged
from tinyae.training.early_stopping import EarlyStopping
from tinyae.training.history import Epoch, History
from tinyae.training.loop import fit
from tinyae.training.plateau import ReduceLROnPlateau

Model.fit = fit
Model.history = history_property

__all__ = ["EarlyStopping", "Epoch", "History", "ReduceLROnPlateau", "TrainingDiverged", "fit"]
