"""Generated modules, loaded from their text; what they make can be pickled with that text."""

import gc
import linecache
import sys
from hashlib import sha256
from threading import RLock
from types import ModuleType
from typing import Any
from weakref import ref

FEW = 32  # modules that are always kept

_lock = RLock()
_files: dict[str, str] = {}  # of the modules loaded, the names of their texts
_kept = [FEW]  # how many there were after the last time that some were let go


def load_generated(name: str, source: str) -> ModuleType:
    """A module from its text; debuggers and tracebacks show its lines.

    Args:
        name: for messages, an identifier.
        source: the text. The same name and text give the same module.
    """
    digest = sha256(source.encode()).hexdigest()[:12]
    path, file = f"odenet.generated.{name}_{digest}", f"<odenet {name} {digest}>"
    with _lock:
        if path in sys.modules:
            return sys.modules[path]
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        module = ModuleType(path)
        # The module lives as long as a function of it does: they hold its names, but not itself.
        module.__dict__.update(__odenet__=(name, source), __itself__=module)
        sys.modules[path] = module
        exec(compile(source, file, "exec"), module.__dict__)
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == path:
                reduce = _reduce_tuple if issubclass(kind, tuple) else _reduce
                type.__setattr__(kind, "__reduce_ex__", reduce)
        _files[path] = file
        if len(_files) >= 2 * _kept[0]:
            _let_go()
        return module


def _let_go() -> None:
    """Forget the modules that nothing outside uses: a service compiles one spec after another."""
    weak = {path: ref(sys.modules.pop(path)) for path in _files if path in sys.modules}
    gc.collect()
    for path, module in weak.items():
        if (alive := module()) is not None:
            sys.modules[path] = alive
        else:
            linecache.cache.pop(_files.pop(path), None)
    _kept[0] = max(FEW, len(_files))


def origin(kind: type) -> tuple[str, str, str]:
    """The name and the text of the module that has a class, and the name of the class."""
    return (*sys.modules[kind.__module__].__odenet__, kind.__name__)


def find_class(name: str, source: str, kind: str) -> type:
    """The class of an `origin`."""
    return getattr(load_generated(name, source), kind)


def _reduce(instance: Any, protocol: Any) -> Any:
    """For pickle: an object of a generated class is rebuilt from the module's text."""
    kind = type(instance)
    if not kind.__module__.startswith("odenet.generated."):
        return object.__reduce_ex__(instance, protocol)  # of a class derived from one
    return _bare, origin(kind), instance.__getstate__()


def _bare(name: str, source: str, kind: str) -> Any:
    found = find_class(name, source, kind)
    return object.__new__(found)


def _reduce_tuple(state: Any, protocol: Any) -> Any:
    """For pickle: a state."""
    return _filled, (*origin(type(state)), tuple(state))


def _filled(name: str, source: str, kind: str, values: tuple) -> Any:
    return find_class(name, source, kind)(*values)
