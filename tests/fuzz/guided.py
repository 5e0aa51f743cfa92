"""The fuzzer guided by coverage: atheris mutates the texts that reach new lines of the compiler.

    pip install atheris
    python -m tests.fuzz.guided CORPUS -runs=100000 -seed=0

The arguments are those of libFuzzer; CORPUS is a folder that keeps the texts.
"""

import sys

import atheris  # type: ignore[import-not-found]  # not among the tools: it has few platforms

with atheris.instrument_imports(include=["odenet"]):
    from odenet.diagnostics import SpecError
    from tests.fuzz.examine import examine, within_limits


def one(data: bytes) -> None:
    """Examine one text; what is raised is a find."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    try:
        with within_limits():
            examine(text, layout=False)
    except SpecError as error:
        assert str(error)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
