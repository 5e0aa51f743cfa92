"""Whether a network of tokens, its loss and a text go together, checked before it is built."""

from typing import NoReturn

from odenet.compiler import Program
from odenet.diagnostics import Span, SpecError
from odenet.language.tree import Net
from odenet.model.tables.losses import loss_kind
from odenet.model.typed.program import scores_tokens
from odenet.training.data.samples import DataSet
from odenet.training.data.windows import Windows

HOW_TO_BEGIN = "begin the net with `tokens(T, vocabulary = V) -> embed(C)`"


def require_text(program: Program, data: DataSet) -> bool:
    """Whether a language model is trained; if so, checks that all of its parts are for text.

    Raises:
        SpecError: one of network, loss and data is for text, and another one is not.
    """
    kind = loss_kind(program.recipe.loss)
    windows = data.train.inputs, data.test.inputs
    text = [w for w in windows if isinstance(w, Windows)]
    if not text and program.vocabulary is None and kind.labels != "tokens":
        return False
    first = program.tree.statements_of(Net)[0].layers.layers[0].span
    loss = program.recipe.loss.span if program.recipe.loss is not None else None
    if not text and program.vocabulary is not None:
        _refuse(f"the network reads tokens, and {data.name} is not text", first, "write `input(…)`")
    if not text:
        _refuse(f"next_token is for text, and {data.name} is not", loss, "leave the loss out")
    if program.vocabulary is None:
        _refuse(f"{data.name} is text, and the network takes numbers", first, HOW_TO_BEGIN)
    if kind.labels != "tokens":
        help_ = "write `loss = next_token` in `train { … }`"
        _refuse(f"{data.name} is text, and {kind.name} is not for text", loss, help_)
    if not scores_tokens(program.model):
        help_ = "end the net with `head`, or `head(tied = yes)`"
        last = program.model.net[-1].span
        _refuse("next_token takes a score for each token of the vocabulary", last, help_)
    highest = max(windows.tokens.highest() for windows in text)
    if highest >= program.vocabulary:
        limit = f"the network knows {program.vocabulary}, counted from 0"
        message = f"the text of {data.name} has a token of number {highest}, and {limit}"
        _refuse(message, first, f"write `vocabulary = {highest + 1}`, or more")
    return True


def _refuse(message: str, span: Span | None, help_: str) -> NoReturn:
    raise SpecError.of("data-misfit", message, span, help_)
