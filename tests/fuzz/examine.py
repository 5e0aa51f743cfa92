"""What holds of every text: an answer, in time and in little memory, and the same for its layout."""

import ast
import json
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from odenet.analyse import TRIALS, Facts, certify
from odenet.compiler import Program, loads
from odenet.diagnostics import Source, SpecError
from odenet.emit.module import module_source
from odenet.emit.printing import as_json, as_latex, as_text
from odenet.language.format import format_source
from odenet.language.source_files import read
from odenet.model.reading.build import DEFAULT_SPACE

SECONDS = 5  # of the processor, for one text
BYTES = 1 << 30
Stages = Callable[[str], str]  # what takes a text how far, and says what became of it


class Hang(Exception):
    """A text took longer than it may."""


def examine(text: str, layout: bool = True, search: bool = False) -> str:
    """Take a text through all stages; what became of it: "refused", "dynamics" or "compiled".

    Args:
        text: of a spec.
        layout: whether its layout is taken through all of them, too.
        search: whether to look for a counterexample where nothing is proved, which takes as long as all else.

    Raises:
        Exception: whatever a user should never see.
    """
    _check_format(text)
    try:
        program = loads(text)
        forms = _forms(program, search)
    except SpecError as error:
        _check_places(error, text)
        return "refused"
    if layout:
        after = _forms(loads(format_source(Source("model.ode", text))), search)
        assert after["module"] == forms["module"], "fmt changes the module"
        assert after["verdict"] == forms["verdict"], "fmt changes the verdict"
    return "compiled" if program.discretised else "dynamics"


def examine_text(text: str) -> str:
    """Parse a text, lay it out and give its names a meaning, and no more; see `examine`.

    A text that the parser refuses takes a millisecond, so that very many can be tried.
    """
    _check_format(text)
    try:
        program = loads(text)
        assert str(program.tree) and str(program.model)
    except SpecError as error:
        _check_places(error, text)
        return "refused"
    return "checked"


def examine_bytes(data: bytes, folder: Path, stages: Stages) -> str:
    """Read a file of any bytes, and take it further if it is a text."""
    path = folder / "model.ode"
    path.write_bytes(data)
    try:
        return stages(read(path).text)
    except SpecError as error:
        assert str(error)
        return "refused"


@contextmanager
def within_limits(seconds: float = SECONDS) -> Iterator[None]:
    """Raises Hang after so much time of the processor, MemoryError beyond a gigabyte."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + BYTES, limits[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGPROF, before)


def _forms(program: Program, search: bool) -> dict[str, str]:
    """All that can be printed of a program."""
    trials = TRIALS if search else 0
    certificate = program.decide(trials)
    claims = program.judge(certificate, trials)
    derived = program.derivation if program.discretised else None
    facts = Facts(model=program.model, derivation_or_none=derived, certificate=certificate)
    made = as_json(facts, claims)
    return {
        "json": json.dumps(made, allow_nan=False, sort_keys=True),
        "text": as_text(facts, claims),
        "tree": str(program.tree),
        "program": str(program.model),
        "latex": as_latex(facts),
        "certificate": str(certify(program.model)),
        "verdict": certificate.verdict,
        "module": _code(_module(facts)) if program.discretised else "",
    }


def _module(facts: Facts) -> str:
    space = DEFAULT_SPACE if facts.model.axes is None else facts.model.axes
    return module_source(facts, "0", space)


def _code(source: str) -> str:
    """The code of a module without its texts, which quote the spec."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def _check_format(text: str) -> None:
    """A layout is its own layout."""
    try:
        once = format_source(Source("model.ode", text))
    except SpecError:
        return
    assert format_source(Source("model.ode", once)) == once, "fmt is not idempotent"


def _check_places(error: SpecError, text: str) -> None:
    assert error.diagnostics and str(error)
    for diagnostic in error.diagnostics:
        span = diagnostic.span
        if span is not None and span.source.text == text:
            assert 0 <= span.start < span.end <= len(text) + 1
