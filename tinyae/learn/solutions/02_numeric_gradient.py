"""02 · The numeric gradient

    ∂f/∂xᵢ ≈ (f(x + h eᵢ) − f(x − h eᵢ)) / 2h         eᵢ: 1 in entry i, 0 elsewhere

Write  numeric_gradient(f, x, h): the slope of f in every entry of x, of x's shape. f takes an
       array of x's shape and returns a number. x may have any number of axes.

Why    It is the judge in all that follows: it needs no derivation, only f itself. The step to both
       sides makes the errors of even order cancel: what is left is h² f‴/6, so a tenth of h is a
       hundredth of the error, while a step to one side errs by h f″/2. It costs two calls of f an
       entry, which is why it checks gradients and does not train.

Note   Move one entry at a time and put it back. x belongs to the caller: after the call it is as
       before, and best not written into at all.

See    tinyae/gradcheck/numeric.py, numeric_gradient: the library's own, for afterwards
"""

import numpy as np


def numeric_gradient(f, x, h=1e-5):
    """The central difference in every entry, of x's shape."""
    x = x.copy()
    slope = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        before = x[i]
        x[i] = before + h
        above = f(x)
        x[i] = before - h
        below = f(x)
        x[i] = before
        slope[i] = (above - below) / (2 * h)
    return slope
