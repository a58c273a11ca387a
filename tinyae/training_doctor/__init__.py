"""The run doctor: what a history and a trained model say about how the training went.

    print(diagnose_training(history, model, x))

``report``     TrainingDiagnosis, Finding: what was found, as data and as a page
``evidence``   what is looked at: a copy of the model, some samples, what its layers make of them
``curves``     the history: diverged, not moving, rising again, over-fitting
``units``      the layers: dead ReLUs, saturated units, constant codes, collapsed latents
``steps``      how far one step moves each weight, tried on a copy
``baseline``   the reconstruction: outside the decoder's reach, the mean, no better than PCA
``doctor``     diagnose_training: all of these in order

A finding is made only of what is plainly ill; every threshold stands at the head of its file.
"""

from tinyae.training_doctor.doctor import diagnose_training
from tinyae.training_doctor.report import Finding, TrainingDiagnosis

__all__ = ["Finding", "TrainingDiagnosis", "diagnose_training"]
