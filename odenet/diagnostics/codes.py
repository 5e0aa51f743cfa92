"""The codes of errors and warnings. Each has an entry in docs/errors.md, with an example."""

from typing import Literal, get_args

Code = Literal[
    # the text
    "not-a-spec", "wrong-version", "unreadable-file", "use-refused", "unknown-character",
    "unclosed-bracket", "line-end", "unknown-statement", "reserved-word", "missing-value", "syntax",
    "too-large",
    # names
    "unknown-name", "name-taken", "confusable-name", "unused-name", "circular-definition",
    "given-twice",
    # formulas
    "wrong-kind", "not-a-product", "not-a-transpose", "not-a-number", "undefined-number",
    "missing-argument", "wrong-argument", "unknown-argument", "unknown-choice", "fixed-constant",
    "channel-count", "channel-mismatch", "misplaced-derivative", "misplaced-index",
    # equations
    "missing-state", "missing-equation", "not-a-state", "initial-value", "no-time",
    # discretisation
    "missing-scheme", "unknown-scheme", "scheme-misfit", "scheme-constant", "step-size",
    "tolerance", "step-constants", "no-inverse", "unread-velocity",
    # schemes
    "scheme-for", "scheme-line", "implicit-line", "scheme-start", "not-linear", "composition",
    # the network
    "missing-net", "missing-input", "unknown-layer", "misplaced-layer", "misplaced-unit",
    "shape-mismatch", "missing-module", "channels-last", "even-kernel",
    # claims
    "unknown-claim", "claim-refuted", "claim-open", "unstable-scheme", "inexact-inverse",
    "not-a-density",
    # training
    "unknown-key", "recipe-conflict", "cannot-refine", "bad-setting", "preset", "bad-option",
    "unreadable-data", "data-misfit", "run-folder", "not-resumable", "not-possible", "diverged",
    # the machine
    "plugin", "missing-library", "no-memory", "unwritable-file",
]  # fmt: skip

CODES: tuple[str, ...] = get_args(Code)
