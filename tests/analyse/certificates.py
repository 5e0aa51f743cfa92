"""Certificates for the tests of the checker: of specs, tampered with, and written by hand."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import odenet
from odenet import verify

Judge = Callable[[Any], tuple[int, str]]

STABLE = "state Y\nparam K : dense\nparam γ : scalar\nY' = tanh((K - K^T - γ I) Y)"
TWO = "state Y, Z\nparam A, B : dense\nparam b : bias\n"
TWO += "Y' = 2 A^T tanh(A Z + b)\nZ' = -3 B^T tanh(B Y)"
NORM = "state Y\nparam K : dense\nparam N : norm(batch)\nY' = -K^T relu(N(K Y))"
LEAKY = "state Y\nY' = -2 Y + tanh(2 tanh(Y))"
MOVED = "state Y\nparam K : dense\nY' = -K^T (gelu(K Y) + 0.2 K Y)"
TURNED = "state Y\nY'' = -2 Y + tanh(Y)"
LEFT = "state Y\nparam A, K : dense\nY'' = -A^T A K^T tanh(K Y) - Y'"
NUMBERS = "state X, V, A\nX' = V\nV' = A\nA' = -3 A - 3 V - X"
GATED = "state Y\nparam K, V : dense\nY' = -K^T (sigmoid(V u) * tanh(K Y))"


def certificate(text: str) -> dict[str, Any]:
    """The certificate of a spec."""
    text = text if "discretise" in text else f"{text}\ndiscretise euler(h = 0.1)\n"
    return json.loads(odenet.loads(text).certificate_json())


def judge_in(folder: Any, capsys: Any) -> Judge:
    """Gives the exit code and the last line for a certificate, or for a text."""

    def run(found: Any) -> tuple[int, str]:
        path = folder / "certificate.json"
        path.write_text(found if isinstance(found, str) else json.dumps(found), encoding="utf-8")
        code = verify.main(path)
        return code, capsys.readouterr().out.strip().splitlines()[-1]

    return run


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The places of all texts in a JSON value."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))


def at(value: Any, path: tuple) -> Any:
    """What stands at a place."""
    for key in path:
        value = value[key]
    return value


def tampered(text: str, path: tuple, value: Any) -> dict[str, Any]:
    """The certificate of a spec with something else at a place."""
    found = certificate(text)
    at(found, path[:-1])[path[-1]] = value
    return found
