"""Fuzzing guided by coverage: atheris mutates texts that reach new lines of the compiler.

    pip install atheris
    python -m tests.fuzz.guided CORPUS -runs=100000 -seed=0

The arguments are those of libFuzzer; CORPUS is a folder that keeps the texts.
"""

import sys

import atheris  # type: ignore[import-not-found]  # not a dependency: few platforms have it

with atheris.instrument_imports(include=["odenet"]):
    from odenet.diagnostics import SpecError
    from tests.fuzz.examine import examine_all_stages, within_limits


def fuzz_one_input(data: bytes) -> None:
    """Examine one text; any exception other than SpecError is a fault that atheris reports."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    try:
        with within_limits():
            examine_all_stages(text, also_formatted=False)
    except SpecError as error:
        assert str(error)


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz_one_input)
    atheris.Fuzz()
