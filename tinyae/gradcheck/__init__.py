"""Are the gradients right? ``check`` measures them against central differences.

``report``    Row, Report: what was found, as data and as a table
``numeric``   check, check_tangent, check_loss, check_model: the measurement
"""

from tinyae.gradcheck.numeric import (
    check,
    check_loss,
    check_model,
    check_tangent,
    numeric_gradient,
)
from tinyae.gradcheck.report import Report, Row

__all__ = [
    "check",
    "check_tangent",
    "check_loss",
    "check_model",
    "numeric_gradient",
    "Report",
    "Row",
]
