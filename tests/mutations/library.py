"""The library as it would be with a mutation.

``mutated(mutation)`` is a namespace of the library's classes. Those that the edit concerns are
subclasses of the originals, under the same names, whose functions come from the edited source; so
``isinstance`` holds everywhere, a mutated layer works inside a Sequential or a model, and nothing
on the disk or in the imported package changes.

What is mutated is the definition: where a class has a function of its own here, it is the bare one,
without a twin. A kernel that twins alone call is shown by the twin, in the definition's place.
"""

from __future__ import annotations
import __future__

import ast
import functools
import importlib
import linecache
import textwrap
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

from tinyae.fusion import TWINS

from .mutation import Mutation

MODULES = (
    "layers.base",
    "layers.activation",
    "layers.dense",
    "layers.conv",
    "layers.pool",
    "layers.shape",
    "layers.norm",
    "layers.noise",
    "layers.topk",
    "layers.compose",
    "layers.branches",
    "losses",
    "likelihoods",
    "models.base",
    "models.checks",
    "models.autoencoder",
    "models.denoising",
    "models.sparse",
    "models.contractive",
    "models.variational",
    "models.likelihood_estimates",
    "models.interpolation",
    "models.conditional",
    "models.classifier",
    "models.gan_losses",
    "models.gan_players",
    "models.gan",
)


Space = dict[str, Any]  # a module's globals


def library() -> SimpleNamespace:
    """The library's classes by name, none of them mutated."""
    return SimpleNamespace(**_classes())


@functools.cache
def _classes() -> dict[str, type]:
    found: dict[str, type] = {}
    for name in MODULES:
        module = importlib.import_module(f"tinyae.{name}")
        own = {k: c for k, c in vars(module).items() if isinstance(c, type)}
        found |= {k: c for k, c in own.items() if c.__module__ == module.__name__}
    return found


def mutated(mutation: Mutation, readable: bool = False) -> SimpleNamespace:
    """The classes by name, the mutated ones among them.

    Its source cannot be read (``inspect.getsource`` fails) unless ``readable``: a diagnosis is not
    to compare it with the library's own, which differs in that one place.
    """
    module_name = "tinyae." + mutation.file.removesuffix(".py").replace("/", ".")
    original = importlib.import_module(module_name)
    owner, _, name = mutation.where.rpartition(".")
    new = _compiled(mutation, vars(original), readable)
    if owner:
        cls = getattr(original, owner)
        new = _rebound(new, vars(original), _bare(cls.__dict__[name]).__closure__)
        return SimpleNamespace(**_subclasses({(cls, name): new}, {}))
    space = _space(original, {name: new})
    if not mutation.file.startswith("kernels/"):
        return SimpleNamespace(**_subclasses({}, {original.__name__: space}))
    kernels = ModuleType("tinyae.kernels")
    vars(kernels).update(space)
    users = (importlib.import_module(f"tinyae.{m}") for m in MODULES)
    spaces = {m.__name__: _space(m, {"kernels": kernels}) for m in users if "kernels" in vars(m)}
    return SimpleNamespace(**_subclasses(_twins_that_call(name, kernels), spaces))


def _twins_that_call(kernel: str, kernels: ModuleType) -> dict[tuple[type, str], FunctionType]:
    """The methods that do without the kernel while their twins call it; of each the twin's code."""
    found = {}
    for definition, twin in TWINS.items():
        owner, _, name = definition.__qualname__.rpartition(".")
        alone = (
            kernel in twin.__code__.co_names and kernel not in _bare(definition).__code__.co_names
        )
        if owner and alone:
            cls = getattr(importlib.import_module(definition.__module__), owner)
            always = {"kernels": kernels, "is_unmodified": lambda part: True}
            space = _space(importlib.import_module(twin.__module__), always)
            found[cls, name] = _rebound(twin, space, None)
    return found


def _space(module: ModuleType, changes: Space) -> Space:
    """A module's globals with these changes, and its functions as they are among those."""
    space = vars(module) | changes
    for key, value in vars(module).items():
        value = changes.get(key, _bare(value))
        if isinstance(value, FunctionType) and value.__module__ == module.__name__:
            space[key] = _rebound(value, space, value.__closure__)
    return space


def _bare(function: Any) -> Any:
    """The definition, without the way to its twin."""
    return getattr(function, "definition", function)


def _compiled(mutation: Mutation, space: Space, readable: bool) -> FunctionType:
    """The edited function."""
    first, _, text = mutation.function()
    filename = f"<mutation {mutation.name}>"
    linecache.cache.pop(filename, None)
    if readable:
        lines = mutation.patched().splitlines(keepends=True)
        linecache.cache[filename] = sum(map(len, lines)), None, lines, filename
    tree = ast.parse(textwrap.dedent(text))
    ast.increment_lineno(tree, first - 1)
    owner, _, name = mutation.where.rpartition(".")
    if owner:
        cls: Any = ast.parse(f"class {owner}: ...")
        cls.body[0].body = tree.body
        tree = cls
    flags = __future__.annotations.compiler_flag
    fresh: Space = dict(space)
    exec(compile(tree, filename, "exec", flags, dont_inherit=True), fresh)
    return fresh[owner].__dict__[name] if owner else fresh[name]


def _rebound(function: Any, space: Space, closure: Any) -> FunctionType:
    """The same function in other globals."""
    new = FunctionType(function.__code__, space, function.__name__, function.__defaults__, closure)
    new.__kwdefaults__ = function.__kwdefaults__
    new.__qualname__, new.__doc__ = function.__qualname__, function.__doc__
    new.__module__ = function.__module__
    return new


def _subclasses(
    edited: dict[tuple[type, str], FunctionType], spaces: dict[str, Space]
) -> dict[str, type]:
    """Every class; of those concerned a subclass that holds the edited functions, and all of its
    module's functions with that module's new globals.
    """
    result = {}
    for title, cls in _classes().items():
        own: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                value = _bare(value)
                if (base, name) in edited:
                    own[name] = edited[base, name]
                elif isinstance(value, FunctionType) and value.__module__ in spaces:
                    own[name] = _rebound(value, spaces[value.__module__], value.__closure__)
                elif name in own:
                    own.pop(name)  # a subclass has its own again
        if own and not issubclass(cls, tuple):
            cls = type(title, (cls,), {**own, "__module__": cls.__module__, "__doc__": cls.__doc__})
        result[title] = cls
    return result
