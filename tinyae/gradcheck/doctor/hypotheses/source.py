"""The source of a backward pass, in pieces that can be edited and run again.

The pieces are backward itself and what it calls: methods of the same object and of its base classes
by ``super()``, functions of the same module and of the scope around it, and kernels (the plain NumPy
ones, which define them).
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType
from typing import Any


@dataclass
class Piece:
    """One function: its owner ("self", "kernels", "module", or "super of" a class, whose methods call
    it by ``super()``), and its syntax tree.
    """

    owner: str
    name: str
    function: FunctionType
    tree: ast.FunctionDef
    lines: list[str]
    first: int  # number of its first line in the file

    def __post_init__(self) -> None:
        # Where a piece has a loop, an edit, of it or of what calls it, may keep it from ending.
        self.has_loop = any(isinstance(n, ast.While) or _is_for(n) for n in ast.walk(self.tree))
        own = self.function.__code__
        again = self.has_loop or bool(own.co_freevars)  # what a closure holds becomes global
        self.code = (again and self.compiled()) or own

    def compiled(self) -> CodeType | None:
        """The code of the tree as it is now, in which every loop ends."""
        return compiled(ended(self.tree) if self.has_loop else self.tree)

    def line(self, number: int) -> str:
        """The text of a line, counted within the piece from 1."""
        return self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""


def _is_for(node: ast.AST) -> bool:
    """Whether a node is a ``for`` over something else than a range, which is bounded by itself."""
    if not isinstance(node, ast.For):
        return False
    ranges = ("range", "reversed(range")
    return not ast.unparse(node.iter).startswith(ranges)


_READ: dict[CodeType, tuple[ast.FunctionDef, list[str], int] | None] = {}


def read(f: FunctionType) -> tuple[ast.FunctionDef, list[str], int] | None:
    """The tree, the lines and the first line's number; None if the source cannot be read or does
    not belong to the code that runs.
    """
    if f.__code__ not in _READ:
        _READ[f.__code__] = _read(f)
    return _READ[f.__code__]


def _read(f: FunctionType) -> tuple[ast.FunctionDef, list[str], int] | None:
    code = f.__code__
    try:
        lines, first = inspect.getsourcelines(code)  # of a decorator's own function, if it is one
        text = textwrap.dedent("".join(lines))
        tree: Any = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError, ValueError):
        return None
    if code.co_name == "<lambda>":
        tree = _named(tree, code)
    if not isinstance(tree, ast.FunctionDef) or tree.name not in (code.co_name, LAMBDA):
        return None
    bare(tree)
    made = compiled(tree, code.co_freevars)
    if "__class__" in code.co_freevars:
        _call_by_name(tree, f)
    elif made is None or made.co_names != code.co_names or _constants(made) != _constants(code):
        return None
    return tree, text.splitlines(), first


LAMBDA = "_lambda"


def _named(statement: ast.stmt, code: CodeType) -> ast.FunctionDef | None:
    """The lambda with that code in a statement, as a function of one return; None if it is not told."""
    names = code.co_varnames[: code.co_argcount]
    found = [
        node
        for node in ast.walk(statement)
        if isinstance(node, ast.Lambda) and tuple(a.arg for a in node.args.args) == names
    ]
    if len(found) != 1:
        return None
    (node,) = found
    line = ast.copy_location(ast.Return(node.body), node.body)
    made = ast.FunctionDef(name=LAMBDA, args=node.args, body=[line], decorator_list=[])
    return ast.fix_missing_locations(ast.copy_location(made, node))


def _call_by_name(tree: ast.FunctionDef, f: FunctionType) -> None:
    """Write super().g(x) as a call of a function, which can then be replaced: ``super_name``."""
    owner = defining_class(f)
    for node in ast.walk(tree):
        if owner is not None and isinstance(node, ast.Call) and _is_super(node.func):
            name = super_name(owner, node.func.attr)  # type: ignore[attr-defined]
            node.func = ast.copy_location(ast.Name(name, ast.Load()), node.func)
            node.args.insert(0, ast.copy_location(ast.Name("self", ast.Load()), node.func))


def defining_class(f: FunctionType) -> type | None:
    """The class in whose body a method with super() stands."""
    names = f.__code__.co_freevars
    cells = f.__closure__ or ()
    found = next((c.cell_contents for n, c in zip(names, cells) if n == "__class__"), None)
    return found if isinstance(found, type) else None


def _is_super(func: ast.expr) -> bool:
    """Whether a call's function is super().g, with no arguments of super."""
    if not isinstance(func, ast.Attribute) or not isinstance(func.value, ast.Call):
        return False
    call = func.value
    return isinstance(call.func, ast.Name) and call.func.id == "super" and not call.args


_SUPER = "_super_of_"


def super_name(owner: type, method: str) -> str:
    """The name under which a method of the next class after ``owner`` is called."""
    return f"{_SUPER}{owner.__name__}__{method}"


def spelt(node: ast.AST) -> str:
    """The text of a node, with super().g(x) as people write it."""
    text = re.sub(rf"{_SUPER}\w+?__(\w+)\(self(, )?", r"super().\1(", ast.unparse(node))
    summed = re.fullmatch(r"(\w+) = (.*) \+ locals\(\)\.get\('\1', 0\)", text)
    if summed:
        text = f"{summed[1]} += {summed[2]}    (with {summed[1]} = 0 before the loop)"
    return text.replace(f"def {LAMBDA}", "lambda")


def _constants(code: CodeType) -> list[Any]:
    """What identifies a code: its numbers, how many operations it has, its variables."""
    numbers = [repr(c) for c in code.co_consts if not isinstance(c, (str, CodeType))]
    numbers = sorted(n for n in numbers if n != "None")
    return [*numbers, sum(b != 0 for b in code.co_code[::2]), code.co_varnames]


def bare(tree: ast.FunctionDef) -> None:
    """Remove decorators, annotations and the docstring, which do not run in backward."""
    tree.decorator_list = []
    tree.returns = None
    for argument in [*tree.args.args, *tree.args.kwonlyargs, *tree.args.posonlyargs]:
        argument.annotation = None
    if tree.args.vararg:
        tree.args.vararg.annotation = None
    first = tree.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(tree.body) > 1:
        tree.body = tree.body[1:]


def compiled(tree: ast.FunctionDef, free: tuple[str, ...] = ()) -> CodeType | None:
    """The code of the function that a tree defines, within a function that holds ``free``."""
    if free:
        arguments = ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, [])
        around = ast.FunctionDef(name="_around", args=arguments, body=[tree], decorator_list=[])
        around = ast.fix_missing_locations(ast.copy_location(around, tree))
        outer = compiled(around)
        return (
            next((c for c in outer.co_consts if isinstance(c, CodeType)), None) if outer else None
        )
    try:
        try:
            module = compile(ast.Module([tree], []), "<variant>", "exec")
        except TypeError:  # nodes that were put together by hand have no line numbers
            whole = ast.Module([ast.fix_missing_locations(tree)], [])
            module = compile(whole, "<variant>", "exec")
    except (SyntaxError, ValueError, TypeError):
        return None
    return next((c for c in module.co_consts if isinstance(c, CodeType)), None)


ROUNDS = 10_000  # of a while, after which it is taken for endless


class Steps:
    """``range`` for variants: an edit may make a loop, or loops within loops, next to endless."""

    def __init__(self) -> None:
        self.left = 0

    def start(self) -> None:
        self.left = 2 * ROUNDS

    def range(self, *bounds: int) -> range:
        made = range(*bounds)
        self.left -= len(made)
        if self.left < 0:
            raise RuntimeError("it does not end")
        return made

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items of a ``for``, each counted when it is taken: the list may grow meanwhile."""
        for item in items:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("it does not end")
            yield item

    def rounds(self) -> Iterator[int]:
        """The rounds of a ``while``, each counted when it is made."""
        for k in range(ROUNDS):
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("it does not end")
            yield k


STEPS = Steps()
BOUNDED = {"range": STEPS.range, "_while_rounds": STEPS.rounds, "_for_rounds": STEPS.each}


def ended(node: Any) -> Any:
    """A statement with every ``for`` counting its rounds, and every ``while`` made into a ``for``.
    An edit may let a loop run over the list that it appends to. Only statements that hold loops are
    copied.
    """
    parts = [f for f in ("body", "orelse", "finalbody", "handlers") if getattr(node, f, None)]
    if not parts:
        return node
    made = copy.copy(node)
    for f in parts:
        setattr(made, f, [ended(part) for part in getattr(node, f)])
    if isinstance(made, ast.For):
        counter = ast.Name("_for_rounds", ast.Load())
        made.iter = _at(node, ast.Call(_at(node, counter), [made.iter], []))
    if isinstance(made, ast.While):
        not_so = _at(node, ast.UnaryOp(ast.Not(), node.test))
        end = _at(node, ast.If(not_so, [*made.orelse, _at(node, ast.Break())], []))
        rounds = ast.parse("_while_rounds()", mode="eval").body
        error = ast.parse("raise RuntimeError('it does not end')").body
        target = _at(node, ast.Name("_rounds", ast.Store()))
        return _at(node, ast.For(target, rounds, [end, *made.body], error))
    return made


def _at(old: Any, new: Any) -> Any:
    return ast.copy_location(new, old)


def reached(f: Any, cls: type | None = None) -> set[CodeType]:
    """The code of a function and of all that it calls: of the same module, or methods of ``cls``."""
    found: set[CodeType] = set()
    todo = [f]
    while todo:
        f = todo.pop()
        f = getattr(f, "definition", f)  # of a fused method
        if not isinstance(f, FunctionType) or f.__code__ in found:
            continue
        found.add(f.__code__)
        held = names_held(f)
        for name in (*f.__code__.co_names, *f.__code__.co_freevars):
            g = held.get(name)
            if isinstance(g, FunctionType) and g.__module__ == f.__module__:
                todo.append(g)
            if cls is not None:
                todo.append(inspect.getattr_static(cls, name, None))
                todo += [g for c in _after(cls, defining_class(f)) if (g := vars(c).get(name))]
    return found


def _after(cls: type, owner: type | None) -> tuple[type, ...]:
    """The classes in which super() of a method of ``owner`` looks."""
    order = cls.__mro__
    return order[order.index(owner) + 1 :] if owner in order else ()


def names_held(f: FunctionType) -> dict[str, Any]:
    """What the names of a function stand for: its globals, and what its closure holds."""
    held = dict(f.__globals__)
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
        if cell != CellType():
            held[name] = cell.cell_contents
    return held


class Program:
    """The pieces of an object's backward pass, or of a plain function."""

    def __init__(self, subject: Any, starts: tuple[str, ...]) -> None:
        self.cls = None if isinstance(subject, FunctionType) else subject
        self.pieces: list[Piece] = []
        self.inherited: dict[str, FunctionType] = {}  # what super() finds, by super_name
        if isinstance(subject, FunctionType):
            self._add("module", subject.__name__, subject)
        else:
            for start in starts:
                self._method(subject, start)

    def _method(self, cls: type, name: str) -> None:
        found = inspect.getattr_static(cls, name, None)
        found = getattr(found, "definition", found)  # of a fused method
        found = getattr(found, "__func__", found)  # of a static method
        if isinstance(found, FunctionType):
            self._add("self", name, found)

    def _add(self, owner: str, name: str, f: FunctionType) -> None:
        if len(self.pieces) >= 14 or any(p.owner == owner and p.name == name for p in self.pieces):
            return
        known = read(f)
        if known is None or _abstract(known[0]):
            return
        tree, lines, first = known
        piece = Piece(owner, name, f, tree, lines, first)
        if piece.code.co_freevars:  # it rebinds a name of its closure
            return
        self.pieces.append(piece)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                self._called(node.func, f)

    def _called(self, func: ast.expr, f: FunctionType) -> None:
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
            if func.value.id == "self" and self.cls is not None:
                if func.attr not in ("forward", "check", "objective"):
                    self._method(self.cls, func.attr)
            elif func.value.id == "kernels" and "kernels" in f.__globals__:
                kernel = getattr(
                    importlib.import_module("tinyae.kernels.reference"), func.attr, None
                )
                if isinstance(kernel, FunctionType):
                    self._add("kernels", func.attr, kernel)
        elif isinstance(func, ast.Name) and func.id.startswith(_SUPER):
            self._inherited(func.id, f)
        elif isinstance(func, ast.Name):
            known = names_held(f).get(func.id)
            known = getattr(known, "definition", known)
            if isinstance(known, FunctionType) and known.__module__ == f.__module__:
                self._add("module", func.id, known)

    def _inherited(self, name: str, f: FunctionType) -> None:
        """The method that super() finds: of the first class after the method's own that has it."""
        owner, method = defining_class(f), name.rpartition("__")[2]
        after = _after(self.cls, owner) if isinstance(self.cls, type) else ()
        found: Any = next((vars(c)[method] for c in after if method in vars(c)), None)
        found = getattr(found, "definition", found)
        if isinstance(found, FunctionType):
            self.inherited[name] = found
            self._add("super", name, found)

    def variant(
        self, changed: Piece, code: CodeType, more: dict[str, Any] | None = None
    ) -> tuple[Any, FunctionType]:
        """The class or function with one piece's code replaced, and that piece as a function,
        whose ``__code__`` may be replaced again. ``more`` holds further globals for it.
        """
        kernels: dict[str, Any] = {}
        worlds: dict[int, dict[str, Any]] = {}
        methods: dict[str, Any] = {}
        replacements: list[tuple[Piece, FunctionType]] = []
        result: Any = None
        replaced = changed.function
        for piece in self.pieces:
            f = piece.function
            if f.__closure__:
                worlds[id(f)] = world = {**BOUNDED, **(more or {}), **names_held(f)}
            else:
                if id(f.__globals__) not in worlds:
                    worlds[id(f.__globals__)] = {**BOUNDED, **(more or {}), **f.__globals__}
                world = worlds[id(f.__globals__)]
            own = code if piece is changed else piece.code
            made = FunctionType(own, world, f.__name__, f.__defaults__)
            made.__kwdefaults__ = f.__kwdefaults__
            if piece is changed:
                replaced = made
            if piece.owner == "self":
                kept = inspect.getattr_static(self.cls, piece.name, None)
                methods[piece.name] = staticmethod(made) if isinstance(kept, staticmethod) else made
            elif piece.owner == "kernels":
                if piece is changed:
                    kernels[piece.name] = made
            else:
                replacements.append((piece, made))
                world.setdefault(piece.name, made)
            if result is None:
                result = made
        for world in worlds.values():
            world.update(self.inherited)
            for piece, made in replacements:
                held = world.get(piece.name)
                if piece.owner == "super" or getattr(held, "definition", held) is piece.function:
                    world[piece.name] = made
        if kernels:
            for world in worlds.values():
                if "kernels" in world:
                    world["kernels"] = _Kernels(world["kernels"], kernels)
        if self.cls is not None:
            result = type(self.cls)(self.cls.__name__, (self.cls,), methods)
        return result, replaced


class _Kernels:
    """The kernels, some of them replaced."""

    def __init__(self, rest: Any, changed: dict[str, Any]) -> None:
        self._rest = rest
        self.__dict__.update(changed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rest, name)


def _abstract(tree: ast.FunctionDef) -> bool:
    """Whether a function only raises, as one that a derived class must define."""
    return len(tree.body) == 1 and isinstance(tree.body[0], ast.Raise)
