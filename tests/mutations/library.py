"""The library with a mutation applied.

``mutated(mutation)`` is a namespace of the library's classes. Classes affected by the edit are
replaced by subclasses of the same name, whose functions come from the edited source. So
``isinstance`` still works, a mutated layer can be used in a Sequential or a model, and neither the
files nor the imported package change.

The mutation applies to definitions: the functions of these subclasses have no twins. For a kernel
that only twins call, the twin replaces the definition.
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
    "layers.gated",
    "layers.glu",
    "layers.softmax",
    "layers.prelu",
    "layers.dense",
    "layers.convolution",
    "layers.conv",
    "layers.conv1d",
    "layers.pool",
    "layers.pool1d",
    "layers.global_pool",
    "layers.shape",
    "layers.upsample",
    "layers.norm",
    "layers.group_norm",
    "layers.rms_norm",
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
    "models.importance_weighted",
    "models.mmd",
    "models.prior_matching",
    "models.wasserstein",
    "models.dictionary",
    "models.noising",
    "models.diffusion",
    "models.masked",
    "models.classifier",
    "models.noising",
    "models.diffusion",
    "models.diffusion_autoencoder",
    "models.gan_losses",
    "models.gan_players",
    "models.gan",
    "models.adversarial",
    "models.gan_r1",
    "models.wasserstein_gan",
    "models.cyclegan",
    "models.stargan",
    "models.vqvae",
    "models.vqgan",
    "models.code_prior",
)


Space = dict[str, Any]  # a module's globals


def library() -> SimpleNamespace:
    """The library's unmodified classes by name."""
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
    """The classes by name, including the mutated ones.

    Unless ``readable``, ``inspect.getsource`` fails on mutated functions: a diagnosis must not
    compare their source with the library's.
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
    """Methods whose twins call the kernel while they do not themselves, with the twins' code."""
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
    """A module's globals with these changes, and its functions rebound to these globals."""
    space = vars(module) | changes
    for key, value in vars(module).items():
        value = changes.get(key, _bare(value))
        if isinstance(value, FunctionType) and value.__module__ == module.__name__:
            space[key] = _rebound(value, space, value.__closure__)
    return space


def _bare(function: Any) -> Any:
    """The definition, without its twin and without the lock that a fork waits for."""
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
    return fresh[owner].__dict__[name] if owner else _bare(fresh[name])


def _rebound(function: Any, space: Space, closure: Any) -> FunctionType:
    """The same function with other globals."""
    new = FunctionType(function.__code__, space, function.__name__, function.__defaults__, closure)
    new.__kwdefaults__ = function.__kwdefaults__
    new.__qualname__, new.__doc__ = function.__qualname__, function.__doc__
    new.__module__ = function.__module__
    return new


def _subclasses(
    edited: dict[tuple[type, str], FunctionType], spaces: dict[str, Space]
) -> dict[str, type]:
    """All classes. Affected ones are replaced by subclasses with the edited functions, whose other
    functions use the module's new globals.
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
                    own.pop(name)  # a subclass gets its own
        if own and not issubclass(cls, tuple):
            cls = type(title, (cls,), {**own, "__module__": cls.__module__, "__doc__": cls.__doc__})
        result[title] = cls
    return result
