"""A program in 8-bit integers: what it computes, defined in NumPy.

arithmetic.py   numbers as 8-bit integers, and products of them scaled back to 8 bits
operations.py   the operations in int8
norms.py        those that divide: norms and softmax
units.py        the scaler of a model, in float
quantize.py     a program in float and samples → the program in int8

Weights are symmetric, with a scale for each output; results are asymmetric, with one scale and zero
point each, from the range that they have on the samples.

Source    Jacob et al. (2018), "Quantization and Training of Neural Networks for Efficient
          Integer-Arithmetic-Only Inference", §2
"""

from tinyae.program.int8.quantize import QuantizedProgram, quantize_program
from tinyae.program.int8.units import Units

__all__ = ["QuantizedProgram", "Units", "quantize_program"]
