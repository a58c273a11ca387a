"""``explain``: one pass forward and back, with everything that the chain rule multiplied.

    print(explain(Dense(4, 3, rng=rng), x))           a page
    explain(model, x)["encoder.0"]["dW"].norm         as data
    Path("model.tex").write_text(explain(model, x).latex())

``walk``                explain: run a copy once, forward and back
``steps``               one step for each call of a part, in words
``latent``              the draw of a variational code and its KL, which are not layers
``record``              a copy whose parts report their inputs and outputs
``provenance``          which part of the pass produced an array
``docstring_sections``  the equations, read from the docstrings
``result``              Explanation, Step, Quantity, Gradient: the data
``page``                an explanation as text for the terminal
``tex``                 an explanation in LaTeX; ``mathematics``: an equation, ``symbols``: a sign
``command``             what ``tinyae explain`` prints
"""

from tinyae.explanation.page import page
from tinyae.explanation.result import Explanation, Gradient, Quantity, Step
from tinyae.explanation.tex import document
from tinyae.explanation.walk import explain

# Attached from outside, so that the data need not know how they are shown.
Explanation.__str__ = page  # type: ignore[method-assign, assignment]
Explanation.latex = document

__all__ = ["Explanation", "Gradient", "Quantity", "Step", "explain"]
