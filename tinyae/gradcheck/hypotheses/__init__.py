"""What may be wrong with a gradient, one idea a file, each a set of exact relations to test.

``shapes``     no array, not finite, another shape
``arrays``     from the two gradients alone: a factor, another order, an offset, some entries
``tensors``    with the named tensors of the forward pass: a factor missing, added, exchanged;
               ``summands``: a term; ``products``: the operands
``windows``    for convolutions: where the windows lie
``terms``      with the terms of an objective, and the paths through the parts of a model
``calls``      with further calls: noise, writes, caches, the upstream gradient
``lines``      with the source: the edit that puts a gradient right, or makes a right one as wrong;
               ``source`` reads and runs it, ``edits`` changes it, ``classify`` names the change
"""
