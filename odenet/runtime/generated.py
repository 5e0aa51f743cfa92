"""Loads generated Python modules from their text; instances are pickled along with that text."""

import gc
import linecache
import sys
from hashlib import sha256
from threading import RLock
from types import ModuleType
from typing import Any
from weakref import ref

LEAST_COUNT = 32  # fewer modules count as this many: below twice as many, none is forgotten

_lock = RLock()
_file_names: dict[str, str] = {}  # path of a loaded module -> file name in tracebacks
_count_after_clearing = [LEAST_COUNT]  # number of modules after the last call of _forget_unused


def load_generated(name: str, source: str) -> ModuleType:
    """The module that a source text defines; debuggers and tracebacks show its lines.

    Args:
        name: an identifier, for messages.
        source: the text. The same name and text give the same module.
    """
    digest = sha256(source.encode()).hexdigest()[:12]
    path, file = f"odenet.generated.{name}_{digest}", f"<odenet {name} {digest}>"
    with _lock:
        if path in sys.modules:
            return sys.modules[path]
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        module = ModuleType(path)
        # `__itself__` keeps the module alive as long as its functions, which hold only its names.
        module.__dict__.update(__odenet__=(name, source), __itself__=module)
        sys.modules[path] = module
        exec(compile(source, file, "exec"), module.__dict__)
        for cls in vars(module).values():
            if isinstance(cls, type) and cls.__module__ == path:
                reduce = _reduce_tuple if issubclass(cls, tuple) else _reduce
                type.__setattr__(cls, "__reduce_ex__", reduce)
        _file_names[path] = file
        if len(_file_names) >= 2 * _count_after_clearing[0]:
            _forget_unused()
        return module


def _forget_unused() -> None:
    """Forgets the modules that are not used elsewhere; a server may compile any number of files."""
    references = {path: ref(sys.modules.pop(path)) for path in _file_names if path in sys.modules}
    gc.collect()
    for path, module in references.items():
        if (alive := module()) is not None:
            sys.modules[path] = alive
        else:
            linecache.cache.pop(_file_names.pop(path), None)
    _count_after_clearing[0] = max(LEAST_COUNT, len(_file_names))


def origin(cls: type) -> tuple[str, str, str]:
    """The name and the text of the generated module that defines a class, and the class name."""
    return (*sys.modules[cls.__module__].__odenet__, cls.__name__)


def find_class(name: str, source: str, class_name: str) -> type:
    """The class with this `origin`."""
    return getattr(load_generated(name, source), class_name)


def _reduce(instance: Any, protocol: Any) -> Any:
    """For pickle: an instance of a generated class is rebuilt from the module's text."""
    cls = type(instance)
    if not cls.__module__.startswith("odenet.generated."):
        return object.__reduce_ex__(instance, protocol)  # of a subclass that a user wrote
    return _new_instance, origin(cls), instance.__getstate__()


def _new_instance(name: str, source: str, class_name: str) -> Any:
    return object.__new__(find_class(name, source, class_name))


def _reduce_tuple(state: Any, protocol: Any) -> Any:
    """For pickle: the same for a named tuple, such as a state."""
    return _new_state, (*origin(type(state)), tuple(state))


def _new_state(name: str, source: str, class_name: str, values: tuple) -> Any:
    return find_class(name, source, class_name)(*values)
