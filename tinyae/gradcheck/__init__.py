"""Are the gradients right? ``check`` compares them with central differences; where one is wrong,
``diagnose`` says how.

``numeric``   check, check_tangent, check_loss, check_model: analytic beside numeric
``compare``   one row of a report: one tensor
``again``     another batch, the next step, and whether anything was compared
``draws``     other inputs of the same kind
``assertion``  assert_gradients: for other people's test suites
``strategies``  arrays of awkward shapes for them, drawn by hypothesis
``slope``     numeric slopes, second opinions, kinks
``replay``    a float64 copy that sees the same noise at every pass
``trained``   what trains beside what is read: twins against their definitions
``report``    Row, Report: the result, as data and as a table
``doctor``    diagnose, diagnose_arrays: what is wrong with a gradient
"""

from typing import TYPE_CHECKING

from tinyae import lazy
from tinyae.gradcheck.assertion import assert_gradients
from tinyae.gradcheck.numeric import (
    check,
    check_loss,
    check_model,
    check_tangent,
    numeric_gradient,
)
from tinyae.gradcheck.report import Report, Row

if TYPE_CHECKING:
    from tinyae.gradcheck.doctor import Diagnosis, Finding, diagnose, diagnose_arrays

__getattr__ = lazy.attach(
    __name__,
    {
        "strategies": "tinyae.gradcheck.strategies",
        "Diagnosis": "tinyae.gradcheck.doctor:Diagnosis",
        "Finding": "tinyae.gradcheck.doctor:Finding",
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
    "assert_gradients",
    "diagnose",
    "diagnose_arrays",
    "Diagnosis",
    "Finding",
    "Report",
    "Row",
]
