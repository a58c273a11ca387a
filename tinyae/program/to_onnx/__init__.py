"""A model as an ONNX file, for other runtimes.

export.py       ``export_onnx``: checks, and the file
graph.py        an ONNX graph under construction, and what lies where in a program's memory
operations.py   each operation of a program as nodes
functions.py    each activation as nodes
"""

from tinyae.program.to_onnx.export import OPSET, export_onnx

__all__ = ["export_onnx", "OPSET"]
