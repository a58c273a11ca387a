"""``javascript``: a program as text; ``export_javascript``: a part of a trained model as a file.

text = javascript(program, "decode")                     # const decode = …; decode(z) → y
export_javascript(model, "ae.js", part="decoder")        # for <script src> or require("./ae.js")
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from string import Template

from tinyae import files
from tinyae.layers import Layer
from tinyae.models import Model
from tinyae.program.compile import in_float32
from tinyae.program.parts import named_program
from tinyae.program.program import Program, Shape
from tinyae.program.to_javascript.operations import Writer

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = re.compile(
    "await|break|case|catch|class|const|continue|debugger|default|delete|do|else|enum|export|extends|"
    "false|finally|for|function|if|implements|import|in|instanceof|interface|let|new|null|package|"
    "private|protected|public|return|static|super|switch|this|throw|true|try|typeof|var|void|while|"
    "with|yield"
)

# The arrays are made once; a call copies x in, runs the operations, and copies y out.
_PROGRAM = Template("""\
const $name = (() => {
  const bytes = Uint8Array.from(atob("$weights"), (c) => c.charCodeAt(0));
  const weights = new Float32Array(bytes.buffer);
  const input = new Float32Array($inputs), output = new Float32Array($outputs);
  const arena = new Float32Array($arena);
$views
$functions
  return function $name(x) {
    if (x.length !== $inputs)
      throw new RangeError(`$name: x has $${x.length} numbers, expected $inputs`);
    input.set(x);
$calls
    return output.slice();
  };
})();
""")


def javascript(program: Program, name: str) -> str:
    """A program as a JavaScript constant: a function of an array x that returns y, one sample each.

    The weights are float32 in base64: with float16, a third of the size of a page, results would
    differ from those of the model in the fourth digit. Sums are made in float64.

    Raises
        TypeError   there is no function for an operation
        ValueError  ``name`` is not one that JavaScript allows, or a weight is not finite
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise ValueError(
            f"export_javascript: name is {name!r}, expected letters, digits and _, as in a name; "
            'pass e.g. name="decode"'
        )
    program = in_float32("export_javascript", program)
    w = Writer(program)
    calls = [statement for op in program.ops for statement in w.statements(op)]
    views = [f"const {view} = {expression};" for view, expression in w.views.items()]
    return _PROGRAM.substitute(
        name=name,
        weights=base64.b64encode(program.weights.astype("<f4").tobytes()).decode(),
        inputs=program.input_length,
        outputs=program.output_length,
        arena=program.arena,
        views=_indented("\n".join(views), 2),
        functions=_indented("\n".join(w.functions.values()), 2),
        calls=_indented("\n".join(calls), 4),
    )


def export_javascript(
    model: Model | Layer,
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    part: str = "autoencoder",
    input_shape: Shape | None = None,
) -> Program:
    """Write a part of a trained model, or a layer, as a JavaScript file; returns its program.

    name
        of the function (default: that of the file). The file is a classic script, and a module of
        CommonJS where there are such modules
    part
        of a model: "autoencoder" (x → y), "encoder" (x → z; of a variational model, the mean),
        "decoder" (z → y), or "score" (x → [score], the mean squared error)
    input_shape
        the shape of one sample; needed only where the layers leave it open, as convolutions do

    Raises
        TypeError           the model has no such part, or has a layer without an operation
        ValueError          an argument is wrong, or a weight is not finite
        FileNotFoundError   the folder does not exist
    """
    who = "export_javascript"
    files.check_target(who, path)
    program, _ = named_program(who, model, part, input_shape)
    name = Path(os.fsdecode(path)).stem if name is None else name
    shapes = " → ".join(
        " × ".join(map(str, shape)) or "1" for shape in (program.input_shape, program.output_shape)
    )
    text = (
        f"// {name}(x): {shapes}, one sample, flat arrays in C order. Written by tinyae.\n"
        f"{javascript(program, name)}"
        f'if (typeof module === "object") module.exports = {name};\n'
    )
    files.write_text(who, path, text)
    return program


def _indented(text: str, by: int) -> str:
    return re.sub(r"^(?=.)", " " * by, text, flags=re.MULTILINE).rstrip()
