"""A model as one C99 header, for machines that have nothing but a C compiler.

export.py            ``export_c``: checks, and the file
header.py            the header as a whole: comment, macros, tables, functions, self-test
operations.py        the operations of a program as calls of C functions
score.py             the reconstruction error, without memory for the reconstruction
templates.py         these C functions
image_templates.py   those for images
tables.py            constant tables, and the order of the weights in them
backward_….py        the backward pass: operations and templates
optimizers.py        how a weight moves against its gradient
learnt.py            where the weights that learn are
training_header.py   the header of a model that learns
training_sample.py   what its self-test expects of a step
int8_….py            the same for a program in int8: header, operations, templates
"""

from tinyae.program.to_c.export import export_c

__all__ = ["export_c"]
