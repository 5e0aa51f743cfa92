"""Checks one input of the fuzzer: an answer or a SpecError, and the same result after formatting."""

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

TIME_LIMIT = 5  # seconds of processor time for one text
MEMORY_LIMIT = 1 << 30  # bytes, in addition to those in use
Examiner = Callable[[str], str]  # examines a text, and returns the outcome in a word


class Hang(Exception):
    """A text took longer than it may."""


def examine_all_stages(text: str, also_formatted: bool = True, searches: bool = False) -> str:
    """Take a text through all stages; returns "refused", "dynamics" (without steps) or "compiled".

    Args:
        text: the text of a spec.
        also_formatted: whether to take the formatted text through all stages as well.
        searches: whether to search for a counterexample where nothing is proved; that doubles the time.

    Raises:
        Exception: any other than SpecError, which is a fault of the compiler.
    """
    _check_format(text)
    try:
        program = loads(text)
        forms = _printed_forms(program, searches)
    except SpecError as error:
        _check_spans(error, text)
        return "refused"
    if also_formatted:
        formatted = loads(format_source(Source("model.ode", text)))
        formatted_forms = _printed_forms(formatted, searches)
        assert formatted_forms["module"] == forms["module"], "fmt changes the module"
        assert formatted_forms["verdict"] == forms["verdict"], "fmt changes the verdict"
    return "compiled" if program.discretised else "dynamics"


def examine_front_end(text: str) -> str:
    """Parse a text, format it and resolve its names, and no more; see `examine_all_stages`.

    A text that the parser refuses takes a millisecond, so that very many can be tried.
    """
    _check_format(text)
    try:
        program = loads(text)
        assert str(program.tree) and str(program.model)
    except SpecError as error:
        _check_spans(error, text)
        return "refused"
    return "checked"


def examine_file(data: bytes, folder: Path, examine: Examiner) -> str:
    """Write the bytes to a file and read it; if it is text, examine that."""
    path = folder / "model.ode"
    path.write_bytes(data)
    try:
        return examine(read(path).text)
    except SpecError as error:
        assert str(error)
        return "refused"


@contextmanager
def within_limits(seconds: float = TIME_LIMIT) -> Iterator[None]:
    """Raises Hang after some seconds of processor time, and MemoryError beyond `MEMORY_LIMIT`."""

    def stop(*_: object) -> None:
        raise Hang

    previous_handler = signal.signal(signal.SIGPROF, stop)
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
    memory_used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (memory_used + MEMORY_LIMIT, hard_limit))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft_limit, hard_limit))
        signal.signal(signal.SIGPROF, previous_handler)


def _printed_forms(program: Program, searches: bool) -> dict[str, str]:
    """Every output that the compiler can print for a program, by its name."""
    trials = TRIALS if searches else 0
    certificate = program.decide(trials)
    claims = program.judge(certificate, trials)
    derived = program.derivation if program.discretised else None
    facts = Facts(model=program.model, derivation_or_none=derived, certificate=certificate)
    json_form = as_json(facts, claims)
    return {
        "json": json.dumps(json_form, allow_nan=False, sort_keys=True),
        "text": as_text(facts, claims),
        "tree": str(program.tree),
        "program": str(program.model),
        "latex": as_latex(facts),
        "certificate": str(certify(program.model)),  # of the theorems alone, time not frozen
        "verdict": certificate.verdict,  # checked, with a search if `searches`
        "module": _code_without_strings(_module(facts)) if program.discretised else "",
    }


def _module(facts: Facts) -> str:
    space = DEFAULT_SPACE if facts.model.axes is None else facts.model.axes
    return module_source(facts, version="0", space=space)


def _code_without_strings(source: str) -> str:
    """The syntax tree of a module without its strings, since docstrings quote the spec."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def _check_format(text: str) -> None:
    """Check that formatting is idempotent."""
    try:
        formatted = format_source(Source("model.ode", text))
    except SpecError:
        return
    assert format_source(Source("model.ode", formatted)) == formatted, "fmt is not idempotent"


def _check_spans(error: SpecError, text: str) -> None:
    """Check that each diagnostic marks a piece of the text, or its end."""
    assert error.diagnostics and str(error)
    for diagnostic in error.diagnostics:
        span = diagnostic.span
        if span is not None and span.source.text == text:
            assert 0 <= span.start < span.end <= len(text) + 1
