"""The gradient doctor: what is wrong with a gradient, and in which line.

``diagnose``      diagnose, diagnose_arrays: where to begin reading
``examination``   Examination: the steps from the first call to the last finding
``findings``      Diagnosis, Finding: the result, as data and as a page
``subjects``      a layer, a loss, a model and a function behind one interface
``trial``         the analytic and the numeric gradient at one point
``elsewhere``     right at the given input, and wrong at another
``families``      which relations are tried, the simplest first
``hypotheses``    what may be wrong, one idea a file
``parts``         which part of a model is wrong by itself
``ranking``       which finding comes first; ``wording`` makes findings out of guesses and errors
``names``         names of gradients, lengths and constants; ``factor_names``: 1/35 is 1/(N*D)
``resizing``      the inputs at other lengths
``locals``        what backward and forward hold in variables, under their names
``kept``          what functions keep from call to call
``precision``     the same function in float64
"""

from tinyae.gradcheck.doctor.diagnose import diagnose, diagnose_arrays
from tinyae.gradcheck.doctor.findings import Diagnosis, Finding

__all__ = ["Diagnosis", "Finding", "diagnose", "diagnose_arrays"]
