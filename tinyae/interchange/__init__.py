"""Models of other libraries, read into layers and written from them.

onnx_network.py     ``from_onnx``: an ONNX file → Sequential
onnx_file.py        the file as plain data; it need not be trusted
onnx_structure.py   where its graph branches and joins
onnx_patterns.py    groups of nodes that are one layer
onnx_layers.py      each operator as a layer
torch_reader.py     ``from_torch``: a PyTorch network → Sequential
torch_writer.py     ``to_torch``: a layer → torch.nn.Sequential
torch_modules.py    modules for layers that PyTorch does not have
torch_state.py      ``load_torch_state``: the weights in a file → a model
torch_file.py       a .pt file as arrays, read without PyTorch; it need not be trusted
"""

from tinyae.interchange.onnx_network import from_onnx
from tinyae.interchange.torch_reader import from_torch
from tinyae.interchange.torch_state import load_torch_state
from tinyae.interchange.torch_writer import to_torch

__all__ = ["from_onnx", "from_torch", "to_torch", "load_torch_state"]
