"""Trained models outside of the library: as plain data, and as one compiled function.

program.py      what a model is when its layers are gone: operations over one buffer of weights
lower.py        from layers to operations      passes.py      fewer operations
plan.py         small arenas                   compile.py     ``compile_model``
run_numpy.py    runs a program with NumPy
run_numba.py    runs it in one compiled function: ``pack.py`` writes the program as two arrays,
                ``loops.py`` has the loops of each operation, ``thread_pool.py`` a second thread
"""

from tinyae.program.compile import Compiled, compile_model, program_of
from tinyae.program.program import Op, Program, Slot

__all__ = ["compile_model", "Compiled", "program_of", "Program", "Op", "Slot"]
