"""Certificates for the tests of the checker (odenet/verify.py), and the means to change them.

A certificate is the JSON file of a proof. Its formulas are nested lists whose leaves are strings.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import odenet
from odenet import verify

Judge = Callable[[Any], tuple[int, str]]  # a certificate -> exit code, last line printed

# specs; the certificate of each is checked by a different rule
STABLE = "state Y\nparam K : dense\nparam γ : scalar\nY' = tanh((K - K^T - γ I) Y)"
TWO_STATES = "state Y, Z\nparam A, B : dense\nparam b : bias\n"
TWO_STATES += "Y' = 2 A^T tanh(A Z + b)\nZ' = -3 B^T tanh(B Y)"
BATCH_NORM = "state Y\nparam K : dense\nparam N : norm(batch)\nY' = -K^T relu(N(K Y))"
BOUNDED_SLOPE = "state Y\nY' = -2 Y + tanh(2 tanh(Y))"
SHIFTED_SLOPE = "state Y\nparam K : dense\nY' = -K^T (gelu(K Y) + 0.2 K Y)"
REFLECTED_SLOPE = "state Y\nY'' = -2 Y + tanh(Y)"
LEFT_TRANSFORMED = "state Y\nparam A, K : dense\nY'' = -A^T A K^T tanh(K Y) - Y'"
NUMBERS_ONLY = "state X, V, A\nX' = V\nV' = A\nA' = -3 A - 3 V - X"
GATED = "state Y\nparam K, V : dense\nY' = -K^T (sigmoid(V u) * tanh(K Y))"


def certificate(text: str) -> dict[str, Any]:
    """The certificate of a spec, as JSON."""
    text = text if "discretise" in text else f"{text}\ndiscretise euler(h = 0.1)\n"
    return json.loads(odenet.loads(text).certificate_json())


def judge_in(folder: Any, capsys: Any) -> Judge:
    """A function from a certificate, or the text of its file, to exit code and last line."""

    def judge(content: Any) -> tuple[int, str]:
        path = folder / "certificate.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        code = verify.main(path)
        return code, capsys.readouterr().out.strip().splitlines()[-1]

    return judge


def string_paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every string in a JSON value: its keys and indices from the root."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from string_paths(value[key], (*path, key))


def value_at(value: Any, path: tuple) -> Any:
    """The part of a JSON value at a path."""
    for key in path:
        value = value[key]
    return value


def tampered(text: str, path: tuple, value: Any) -> dict[str, Any]:
    """The certificate of a spec, with another value at a path."""
    changed = certificate(text)
    value_at(changed, path[:-1])[path[-1]] = value
    return changed
