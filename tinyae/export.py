"""The former name of :mod:`tinyae.program`, kept for one version."""

from tinyae.program import Compiled, Op, Program, Slot, compile_model, program_of

__all__ = ["compile_model", "Compiled", "program_of", "Program", "Op", "Slot"]
