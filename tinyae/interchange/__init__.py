"""Models of other libraries, read into layers and written from them.

from_onnx.py        ``from_onnx``: an ONNX file → Sequential
onnx_file.py        the file as plain data; it need not be trusted
onnx_structure.py   where its graph branches and joins
onnx_patterns.py    groups of nodes that are one layer
onnx_layers.py      each operator as a layer
"""

from tinyae.interchange.from_onnx import from_onnx

__all__ = ["from_onnx"]
