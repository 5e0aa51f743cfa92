"""Registration of a user's activations, layers, types of parameter and claims.

Each is a row of a table of the language, added at run time until it is removed:

    with odenet.register_activation(row):
        odenet.load("mine.ode")

A plugin is a Python file that registers rows, for the command line: `--plugin mine.py`. It can do
all that Python can; a specification, in contrast, is never executed.
"""

import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from odenet.diagnostics import SpecError
from odenet.language import canonical
from odenet.language.statements import BLOCK_WORDS, STATEMENT_WORDS
from odenet.model.elaboration.builtin_names import CORE_NAMES
from odenet.model.tables.activations import ACTIVATIONS, ActivationKind, Bound, always
from odenet.model.tables.argument_kinds import Number, Word
from odenet.model.tables.arguments import COUNT, YES_NO, ChannelCount, channels, init
from odenet.model.tables.choices import Parameter
from odenet.model.tables.claims import CLAIMS, ClaimKind
from odenet.model.tables.given_modules import GIVEN_MODULES, ModuleFactory
from odenet.model.tables.layers import LAYER_ROWS, LAYERS, LayerKind
from odenet.model.tables.parameter_kinds import Construction, Operator, ParameterKind
from odenet.model.tables.parameters import PARAMETERS
from odenet.model.tables.reference import tables
from odenet.model.tables.structural_layers import STRUCTURAL
from odenet.model.tables.tensors import Tensor

__all__ = [
    "COUNT", "YES_NO", "ActivationKind", "Bound", "ChannelCount", "ClaimKind", "Construction",
    "LayerKind", "Number", "Operator", "Parameter", "ParameterKind", "Plugin", "Registration",
    "Tensor", "Word", "always", "channels", "init", "load_plugin", "loaded_plugins",
    "register_activation", "register_claim", "register_layer", "register_map",
    "register_parameter", "tables",
]  # fmt: skip

_NET_WORDS = {"input", "residual", *STRUCTURAL}
_plugins: dict[str, "Plugin"] = {}  # by digest
_registrations: list["Registration"] = []


class Registration(AbstractContextManager["Registration"]):
    """A registered row; as a context manager it removes the row on exit."""

    def __init__(self, table: dict[str, Any], name: str):
        self._table = table
        self._name = name
        _registrations.append(self)

    def remove(self) -> None:
        """Remove the row."""
        if self in _registrations:
            _registrations.remove(self)
            del self._table[self._name]

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_activation(row: ActivationKind) -> Registration:
    """Add an activation, which can be used as a layer too.

    Its derivative, bounds, properties and torch code are compared with its value at many points.
    That catches mistakes and is not a proof: the theorems rely on the row.

    Raises:
        ValueError: if the name is taken, or the row contradicts itself.
    """
    from odenet.row_checks import check_activation

    taken = {**LAYERS, **dict.fromkeys((*CORE_NAMES, *_NET_WORDS))}
    return _register(row, ACTIVATIONS, taken, "activation", check_activation)


def register_layer(row: LayerKind) -> Registration:
    """Add a layer of `net` and `map`.

    Its torch code is compared with the shape, the tensors and the numeric model of the row.

    Raises:
        ValueError: if the name is taken, or the row contradicts itself.
    """
    from odenet.row_checks import check_layer

    taken = {**LAYERS, **dict.fromkeys((*CORE_NAMES, *_NET_WORDS))}
    return _register(row, LAYER_ROWS, taken, "layer", check_layer)


def register_parameter(row: ParameterKind) -> Registration:
    """Add a type of `param`: an operator, a bias or a scalar.

    The torch code of an operator is compared with its adjoint and the numeric model of the row.

    Raises:
        ValueError: if the name is taken, or the row contradicts itself.
    """
    from odenet.row_checks import check_parameter

    return _register(row, PARAMETERS, PARAMETERS, "type of parameter", check_parameter)


def register_claim(row: ClaimKind) -> Registration:
    """Add a claim of `require`. The function that judges it is not tested.

    Raises:
        ValueError: if the name is taken.
    """
    return _register(row, CLAIMS, CLAIMS, "claim", lambda _: None)


def register_map(name: str, make: ModuleFactory) -> Registration:
    """Set the modules of a map, for files that say `map NAME = given`.

    Args:
        name: the name of the map.
        make: a function of the channels of a state, which returns a torch module that keeps the
            shape; called once per step.

    Raises:
        ValueError: if a map of that name has been given already.
    """
    canonical_name = canonical(name)
    if canonical_name in GIVEN_MODULES:
        raise ValueError(f"`{name}` is taken: a map of that name is registered already")
    GIVEN_MODULES[canonical_name] = make
    return Registration(GIVEN_MODULES, canonical_name)


def _register(
    row: Any, table: dict[str, Any], taken: Any, row_kind: str, check: Callable[[Any], None]
) -> Registration:
    """Check a row and add it to a table; `taken` has the names that it cannot have."""
    name = row.name
    keywords = {word.lower() for word in STATEMENT_WORDS | BLOCK_WORDS}
    is_ascii = name.isidentifier() and name.isascii() and name[0].isalpha()
    if not is_ascii or canonical(name) != name or name in keywords:
        raise ValueError(
            f"`{name}` cannot name {_article(row_kind)}: write Latin letters, digits and _"
        )
    if name in taken:
        raise ValueError(f"`{name}` is taken: the language has it, or it is registered already")
    check(row)
    table[name] = row
    return Registration(table, name)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


# --- files ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plugin(AbstractContextManager["Plugin"]):
    """A Python file that was run; as a context manager it removes its rows on exit.

    Args:
        path: the file.
        digest: SHA-256 of its text.
        rows: the rows that it registered.
    """

    path: Path
    digest: str
    rows: tuple[Registration, ...]

    def remove(self) -> None:
        """Remove the rows that it registered."""
        for row in self.rows:
            row.remove()
        _plugins.pop(self.digest, None)
        sys.modules.pop(self.path.stem, None)

    def __exit__(self, *_: object) -> None:
        self.remove()


def load_plugin(path: str | Path) -> Plugin:
    """Run a Python file that registers rows; a file that was run is not run again.

    Raises:
        SpecError: if it cannot be read or stops with an error; nothing stays registered then.
    """
    path = Path(path)
    try:
        digest = sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _error(path, f"this plugin cannot be read: {error.strerror}") from None
    if digest not in _plugins:
        _plugins[digest] = Plugin(path, digest, _execute(path))
    return _plugins[digest]


def _execute(path: Path) -> tuple[Registration, ...]:
    """Run a file, and return what it registered."""
    if not path.stem.isidentifier() or path.stem in sys.modules:
        raise _error(path, f"a plugin cannot be called `{path.stem}`", "give it another name")
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise _error(path, "a plugin is a Python file", "name one that ends in .py")
    count_before = len(_registrations)
    module = module_from_spec(spec)
    sys.modules[path.stem] = module  # so that generated modules can import from it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[path.stem]
        for registration in _registrations[count_before:]:
            registration.remove()
        raise _error(path, f"{_line_of(error, path)}{type(error).__name__}: {error}") from error
    return tuple(_registrations[count_before:])


def loaded_plugins() -> list[Plugin]:
    """The plugins that have been run."""
    return list(_plugins.values())


def _line_of(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    return f"line {lines[-1]}: " if lines else ""


def _error(path: Path, message: str, help_: str = "") -> SpecError:
    return SpecError.of("plugin", message, file=str(path), help=help_)
