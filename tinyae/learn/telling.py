"""The doctor's findings in a learner's terms, and the page that shows them.

The doctor compares with a solution that the learner has not seen, and tries repairs anywhere. So
here a line is named only in what the learner is to write, a number that is an input's value goes
by the input's name, and a line of the solution is not given away as if it were the learner's.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinyae.gradcheck import Diagnosis, Finding

# Findings whose advice is a ratio that may hold by accident: a corrected line says more.
RATIOS = ("missing_factor", "extra_factor", "wrong_factor")
VAGUE = ("unknown", "entries", "invariant", "axis_factor", "offset", "pattern")
TITLES = {  # of what was ruled out, without a word that only the doctor knows
    "a factor, another order, an offset": "one number for all entries, another order, an offset",
    "a factor of the named tensors": "an array as a factor",
    "a term or an operand of the named tensors": "an array as a term or an operand",
}
_NUMBER = r"-?\d+(?:\.\d+)?"
_SAYS_LITTLE = re.compile(
    rf"because (?:(\S*) (?:stands|is called) where \1|{_NUMBER} stands where {_NUMBER}) belongs"
)


@dataclass
class Learner:
    """What is known of the learner's file: its source, the solution, and the numbers with names."""

    path: Path
    solution: ModuleType
    names_lines: bool = True  # False: to find the line is the task
    numbers: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    rows: dict[str, Sequence[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tree = _parsed(self.path.read_bytes().decode("utf-8", "replace"))
        self.given = _functions(_parsed(inspect.getsource(self.solution)))

    def knows(self, text: str) -> bool:
        """Whether every name in an expression of the text is one of the file's."""
        code = " ".join(re.findall(r"because the term (.*) (?:is|has|enters)", text))
        own = {n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name)}
        return all(n.id in own for n in ast.walk(_parsed(code)) if isinstance(n, ast.Name))

    def may_change(self, number: int) -> bool:
        """Whether a line of the file is in no function that is as the exercise gave it."""
        for name, node in _functions(self.tree).items():
            if node.lineno <= number <= (node.end_lineno or number):
                given = self.given.get(name)
                return given is None or ast.dump(given) != ast.dump(node)
        return True


@dataclass
class Told:
    """One finding as the learner reads it."""

    tensor: str
    kind: str
    short: str  # the class of the mistake
    message: str
    do: str = ""
    number: int = 0
    line: str = ""
    write: str = ""
    also: str = ""
    exact: str = ""


def in_short(finding: Finding) -> str:
    """The class of the mistake, in one sentence."""
    if finding.kind == "factor" and finding.name == "-1":
        return "A sign is turned."
    if finding.kind == "entries":
        return "Some of the entries are right, the others are not."
    return finding.levels[0]


def told(finding: Finding, learner: Learner) -> Told:
    """The finding in the learner's terms."""
    said = Told(finding.tensor, finding.kind, in_short(finding), finding.message, finding.do)
    if not np.isnan(finding.residual):
        checked = f", {finding.checked}" if finding.checked else ""
        said.exact = f"exact to {finding.residual:.0e}{checked}"
    said.message = said.message.replace("entries differ there;", "entries differ;")
    said.message = _with_rows_named(said.message, learner.rows)
    if finding.kind == "factor":
        _name_factor(said, learner)
        for pattern, short in ((r"sqrt\((\w+)\)", r"√\1"), (r"1/\((√\w+)\)", r"1/\1")):
            said.message = re.sub(pattern, short, said.message)
            said.do = re.sub(pattern, short, said.do)
    place = finding.place
    shown = place.line and (not place.number or learner.may_change(place.number))
    if not shown:  # a line that is missing, or one of the solution's
        said.also = finding.also
        if "(as in " in place.fix and not learner.knows(said.message):
            said.message += ", in a right solution's names"
        elif not place.line and "(as in " not in place.fix:
            said.write = place.fix
        return said
    said.number, said.line = place.number, place.line
    said.write, old, new = _named(place.line, place.fix, learner.numbers)
    vague = _SAYS_LITTLE.search(said.message) or finding.name.startswith("cut: ")
    if old and (vague or said.write != place.fix):
        said.message = f"{finding.tensor} is wrong because {old} stands where {new} belongs"
        said.do = ""
    elif _SAYS_LITTLE.search(said.message):
        said.message = f"{finding.tensor} is wrong because of this line"
    if finding.kind in RATIOS:
        said.do = ""
    if place.fix.startswith("(nothing"):
        said.write = "(nothing: take the line out)"
    return said


def _with_rows_named(message: str, rows: dict[str, Sequence[int]]) -> str:
    """The message with a name for the wrong rows, if they are just those of some groups."""
    found = re.search(r" at (?:rows?|entries|entry) ([\d, ]+) \([^)]*\)", message)
    if not found:
        return message
    wrong = {int(i) for i in found[1].split(",")}
    names = [name for name, members in rows.items() if set(members) and wrong.issuperset(members)]
    if wrong != {i for name in names for i in rows[name]}:
        return message
    return message.replace(found[0], f"{found[0]}, {' and '.join(names)}")


def _name_factor(said: Told, learner: Learner) -> None:
    """A factor such as 2.64575 under its name, √d or beta, if it is one."""
    found = re.search(r" is (\d+\.\d+) times", said.message)
    if not found:
        return
    roots = {f"√{k}": n**0.5 for k, n in learner.sizes.items() if not (n**0.5).is_integer()}
    known = roots | {k: v for k, v in learner.numbers.items() if v not in (0.25, 0.5)}
    for name, value in known.items():
        for text, inverse, v in ((name, f"1/{name}", value), (f"1/{name}", name, 1 / (value or 1))):
            if abs(float(found[1]) - v) < 1e-5 * v:
                said.message = said.message.replace(found[1], f"{text} = {found[1]}")
                said.do = f"multiply {said.tensor} by {inverse}"
                return


def page(diagnosis: Diagnosis, findings: list[Told], learner: Learner) -> list[str]:
    """All that is to be said, in lines."""
    names = ", ".join(diagnosis.wrong)
    are = "is" if len(diagnosis.faults) == 1 else "are"
    verdict = f"{names} {are} wrong" if names else findings[0].kind.replace("_", " ")
    lines = [f"diagnosis of {diagnosis.title}: {verdict}"]
    gradients = Diagnosis("", right=diagnosis.right, faults=diagnosis.faults)
    lines += [line[2:] for line in str(gradients).splitlines()[1:]]
    seen: set[int] = set()
    for i, f in enumerate(findings):
        if learner.names_lines:
            lines += _found("and" if i else "found", f, seen)
        else:
            message = f"{f.tensor}: {f.short}" if f.tensor else f.short
            lines.append(("and        " if i else "found      ") + message)
            lines += [f"line {f.number:<5} {f.line}"] if f.number not in (0, *seen) else []
        seen.add(f.number)
    if not any(f.line or f.write for f in findings) and findings[0].kind in VAGUE:
        if "·" in diagnosis.map:  # else every entry is wrong, which has been said
            lines.append("map        " + diagnosis.map.replace("\n", "\n           "))
        if diagnosis.ruled_out:
            tried = [TITLES.get(title, title) for title in diagnosis.ruled_out]
            lines.append("ruled out  " + ", ".join(tried))
    lines += [f"remark     {remark}" for remark in diagnosis.remarks]
    return "\n".join(lines).splitlines()


def _found(head: str, f: Told, seen: set[int]) -> list[str]:
    lines = [f"{head:<10} " + f.message]
    lines += [f"           {f.exact}"] if f.exact else []
    lines += [f"           it could as well be: {f.also}"] if f.also else []
    lines += ["do         " + f.do] if f.do else []
    if f.number and f.number in seen:
        return lines
    if f.line:
        lines.append((f"line {f.number:<5} " if f.number else "line       ") + f.line)
    if f.write:
        lines.append("write      " + f.write)
    return [line.replace("\n", "\n           ") for line in lines]


# --- a line and its correction ------------------------------------------------------------------


def _named(line: str, fix: str, numbers: dict[str, float]) -> tuple[str, str, str]:
    """The correction with names for numbers that have one, and where it differs: old, new."""
    before, after = _parsed(line), _parsed(fix)
    if not before.body or not after.body:
        return fix, "", ""
    old, new = _difference(before, after)
    kept = [n.value for n in ast.walk(old) if isinstance(n, ast.Constant)]
    put = _Names({v: name for name, v in numbers.items() if v not in (0, 1)}, kept)
    named = ast.fix_missing_locations(put.visit(new))
    if put.used:
        if new is after or isinstance(new, ast.stmt):
            return ast.unparse(after), "", ""
        _replace(after, new, named)
        fix = ast.unparse(after)
    if isinstance(old, (ast.expr, ast.keyword)) and isinstance(new, (ast.expr, ast.keyword)):
        return fix, ast.unparse(old), ast.unparse(named)
    return fix, "", ""


class _Names(ast.NodeTransformer):
    """Puts names for those numbers that a correction brings in."""

    def __init__(self, names: dict[float, str], kept: list[Any]) -> None:
        self.names, self.kept, self.used = names, kept, False

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        value = node.value
        if not isinstance(value, (int, float)) or value in self.kept or value not in self.names:
            return node
        self.used = True
        return ast.Name(self.names[value], ast.Load())


_PARTS = (ast.expr, ast.stmt, ast.keyword)


def _difference(a: ast.AST, b: ast.AST) -> tuple[ast.AST, ast.AST]:
    """The smallest expressions, or statements, in which two trees differ."""
    mine, theirs = list(ast.iter_child_nodes(a)), list(ast.iter_child_nodes(b))
    whole = isinstance(a, (ast.UnaryOp, ast.keyword))  # −2, axis=0
    if type(a) is type(b) and len(mine) == len(theirs) and not whole:
        apart = [(p, q) for p, q in zip(mine, theirs) if ast.dump(p) != ast.dump(q)]
        if len(apart) == 1 and all(isinstance(n, _PARTS) for n in apart[0]):
            return _difference(*apart[0])
    return a, b


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if value is old:
                setattr(node, name, new)
            elif isinstance(value, list):
                value[:] = [new if item is old else item for item in value]


def _parsed(text: str) -> ast.Module:
    """The tree of a text; an empty one if it is no Python."""
    for tried in (text, f"{text} pass"):  # the head of a loop
        try:
            return ast.parse(tried)
        except (SyntaxError, ValueError):
            continue
    return ast.Module([], [])


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
