"""``explain``: one pass forward and back, with everything that the chain rule multiplied.

    print(explain(Dense(4, 3, rng=rng), x))           a page
    explain(model, x)["encoder.0"]["dW"].norm         as data
    Path("model.tex").write_text(explain(model, x).latex())

``walk``         explain: what happened, in words
``latent``       the draw of a variational code and its KL, which are no layers
``record``       a copy whose parts report what they are given and what they make of it
``origins``      where an array came from, told from the array
``heads``        the equations, read from the docstrings
``result``       Explanation, Step, Quantity, Gradient: the data
``page``         for the terminal;  ``tex`` and ``mathematics`` for LaTeX
``command``      what ``tinyae explain`` does
"""

from tinyae.explanation.result import Explanation, Gradient, Quantity, Step
from tinyae.explanation.walk import explain

__all__ = ["Explanation", "Gradient", "Quantity", "Step", "explain"]
