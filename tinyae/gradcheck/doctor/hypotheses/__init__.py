"""What may be wrong with a gradient: sets of exact relations to test, one idea a file.

``guess``      Guess: a relation between the two gradients that may be exact
``shapes``     no array, not finite, or another shape
``arrays``     from the two gradients alone: a factor, another order, an offset, some entries
``factors``    from named tensors of the forward pass: a factor is missing, extra or exchanged
``summands``   from the same tensors: a term is missing, extra or of the wrong sign
``products``   from the same tensors: the operands of a matrix product or a sum
``paths``      from the same, and from what backward computes in passing: a forgotten path
``invariants`` what the true gradient fulfils: it sums to zero, or is orthogonal to x
``operators``  what forward does to x, and backward to dy: the transpose, an order, who reaches whom
``norms``      a norm that is not divided by, or of which a power is missing
``projections`` a norm, a mean or a threshold that depends on x and was held constant
``slopes``     from a table of activations: the slope of another one
``common``     what wrong entries have in common: x ≤ 0, |x| > δ, a repeated index, one block
``windows``    for convolutions: the position of the windows
``terms``      for models: the terms of the objective, and the paths to a parameter
``calls``      by further calls: noise, arrays written into, stale caches, the upstream gradient
``repeats``    by further calls: what is kept from one to the next
``lines``      in the source: the edit that corrects a gradient, or makes a correct one as wrong;
               ``source`` reads it, ``edits`` and ``slips`` change it, ``variants`` runs it
               as long as its budget lasts,
               ``classify`` names the change
"""
