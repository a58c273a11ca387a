"""Are the gradients right? ``check`` measures them against central differences.

``numeric``   check, check_tangent, check_loss, check_model: analytic beside numeric
``slope``     numeric slopes, second opinions, kinks
``replay``    a float64 copy that sees the same noise at every pass
``report``    Row, Report: what was found, as data and as a table
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
