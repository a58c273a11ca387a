"""Compiled models: a trained model as plain data, and as one function for inference.

program.py      the data: a list of operations over one buffer of weights
lower.py        translates layers into operations
passes.py       removes operations: folding and fusion
gradients.py    the operations of a backward pass
backward.py     appends the backward pass to a forward pass
training.py     a step of learning on a device: what learns, and what cannot
plan.py         places intermediate results in a small arena
compile.py      ``compile_model`` and ``Compiled``
run_numpy.py    runs a program with NumPy
run_numba.py    runs a program in one compiled function
pack.py         writes a program as the two arrays that this function reads
thread_pool.py  a helper thread for short calls
int8/           a program in 8-bit integers
to_c/           writes a program as C99
to_onnx/        writes a program as an ONNX file
to_javascript/  writes a program as JavaScript
parts.py        the part of a model that these are asked for
profile.py      what a model costs, layer by layer, and what would fit a budget
narrow.py       the same architecture with fewer units
shapes.py       the shape of a sample, where the layers determine it
"""

from tinyae.program.compile import Compiled, compile_model, program_of
from tinyae.program.program import Op, Program, Slot
from tinyae.program.to_c import export_c
from tinyae.program.to_javascript import export_javascript
from tinyae.program.to_onnx import export_onnx

__all__ = [
    "compile_model",
    "Compiled",
    "program_of",
    "Program",
    "Op",
    "Slot",
    "export_c",
    "export_javascript",
    "export_onnx",
]
