"""The training doctor: what a history and a trained model show about the training.

    print(diagnose_training(history, model, x))

``report``     TrainingDiagnosis, Finding: what was found, as data and as a page
``evidence``   what is examined: a copy of the model, some samples, the outputs of its layers
``curves``     the history: diverged, not moving, rising again, overfitting
``data``       the data: columns orders of magnitude apart, or constant
``units``      the layers: dead ReLUs, saturated units, constant codes, collapsed latents
``steps``      how far one optimizer step moves each weight, tried on a copy
``baseline``   the reconstruction: outside the decoder's range, no better than the mean or PCA
``doctor``     diagnose_training: all of these in order

Only what is plainly wrong becomes a finding. The thresholds are at the head of each file.
"""

from tinyae.training_doctor.doctor import diagnose_training
from tinyae.training_doctor.report import Finding, TrainingDiagnosis

__all__ = ["Finding", "TrainingDiagnosis", "diagnose_training"]
