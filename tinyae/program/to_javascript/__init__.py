"""A program as plain JavaScript, for web pages and Node, which needs nothing else.

export.py       ``javascript``: a program as one constant, a function of an array;
                ``export_javascript``: a part of a model as a file
operations.py   each operation of a program as a call
functions.js    the functions that are called
"""

from tinyae.program.to_javascript.export import export_javascript, javascript

__all__ = ["export_javascript", "javascript"]
