"""Are the gradients right? ``check`` measures them against central differences, and where they
are not ``diagnose`` says what is wrong.

``numeric``   check, check_tangent, check_loss, check_model: analytic beside numeric
``slope``     numeric slopes, second opinions, kinks
``replay``    a float64 copy that sees the same noise at every pass
``report``    Row, Report: what was found, as data and as a table

``doctor``              diagnose, diagnose_arrays
``diagnosis``           Diagnosis, Finding: what is wrong, as data and as a page
``diagnosis_case``      the course of an examination; ``diagnosis_parts``: a part, not the whole
``diagnosis_trial``     both gradients at one point; ``diagnosis_numbers``: what 1/35 may mean
``diagnosis_subjects``  layer, loss and model made alike; ``diagnosis_function``, ``_tangent``
``hypotheses``          what may be wrong, one idea a file
"""

from typing import TYPE_CHECKING

from tinyae import lazy
from tinyae.gradcheck.numeric import (
    check,
    check_loss,
    check_model,
    check_tangent,
    numeric_gradient,
)
from tinyae.gradcheck.report import Report, Row

if TYPE_CHECKING:
    from tinyae.gradcheck.diagnosis import Diagnosis, Finding
    from tinyae.gradcheck.doctor import diagnose, diagnose_arrays

__getattr__ = lazy.attach(
    __name__,
    {
        "Diagnosis": "tinyae.gradcheck.diagnosis:Diagnosis",
        "Finding": "tinyae.gradcheck.diagnosis:Finding",
        "diagnose": "tinyae.gradcheck.doctor:diagnose",
        "diagnose_arrays": "tinyae.gradcheck.doctor:diagnose_arrays",
        "diagnose_training": "tinyae.training_doctor:diagnose_training",
    },
)

__all__ = [
    "check",
    "check_tangent",
    "check_loss",
    "check_model",
    "numeric_gradient",
    "diagnose",
    "diagnose_arrays",
    "Diagnosis",
    "Finding",
    "Report",
    "Row",
]
