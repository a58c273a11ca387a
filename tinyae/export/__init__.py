"""Trained models outside of the library: as plain data, and as one compiled function.

program.py   what a model is when its layers are gone: operations over one buffer of weights
lower.py     from layers to operations        plan.py      small arenas
plain.py     runs a program with NumPy        jitted.py    runs it in one compiled function
runtime.py   ``compile_model``
"""

from tinyae.export.program import Op, Program, Slot
from tinyae.export.runtime import Compiled, compile_model, program_of

__all__ = ["compile_model", "Compiled", "program_of", "Program", "Op", "Slot"]
