"""The gradient doctor: what is wrong with a gradient, and in which line.

``diagnose``      diagnose, diagnose_arrays: where to begin reading
``examination``   Examination: the steps from the first call to the last finding
``findings``      Diagnosis, Finding: the result, as data and as a page
``subjects``      a layer, a loss, a model and a function behind one interface
``trial``         the analytic and the numeric gradient at one point
``hypotheses``    what may be wrong, one idea a file
``parts``         which part of a model is wrong by itself
``ranking``       which finding comes first; ``wording`` makes findings out of guesses and errors
``names``         names of gradients and lengths; ``factor_names``: 1/35 is 1/(N*D)
"""

from tinyae.gradcheck.doctor.diagnose import diagnose, diagnose_arrays
from tinyae.gradcheck.doctor.findings import Diagnosis, Finding

__all__ = ["Diagnosis", "Finding", "diagnose", "diagnose_arrays"]
