"""Text from the language model of a run, a token after the other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from odenet.compiler import Program
from odenet.model.typed.program import scores_tokens
from odenet.runtime.layers.past import Past
from odenet.training.data.text import TextCodec
from odenet.training.errors import NotPossible
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.build_task import input_shape, recipe_data
from odenet.training.runs.data_sources import resolve_paths
from odenet.training.trained_runs.token_by_token import token_by_token_obstacle


def sample_text(
    program: Program,
    network: nn.Module,
    folder: Path,
    prompt: str,
    tokens: int,
    temperature: float,
    top: int,
    draw: torch.Generator,
) -> str:
    """What the language model of a run writes after a prompt; see `TrainedRun.sample`.

    Args:
        program: what it was trained by.
        network: in evaluation mode.
        folder: of the run.
        prompt: how the text begins; where it is empty, with a line break.
        tokens: how many to add.
        temperature: see `TrainedRun.sample`.
        top: likewise.
        draw: where random numbers come from.
    """
    if program.vocabulary is None or not scores_tokens(program.model):
        raise NotPossible(f"{folder} is not a language model", "its net begins with tokens(…)")
    spec_folder = RunFolder(folder).read_record().spec_folder
    coding = TextCodec(resolve_paths(recipe_data(program), spec_folder).kwargs.get("tokenizer", ""))
    text = (prompt or "\n").encode("utf-8", errors="surrogateescape")
    begun: list[int] = coding.encode(np.frombuffer(text, np.uint8)).tolist()
    unknown = [number for number in begun if number >= program.vocabulary]
    if unknown or not begun:
        why = f"token {unknown[0]}, and knows {program.vocabulary}" if unknown else "no token"
        raise NotPossible(f"the prompt has {why}", "give another --prompt")
    remembers = not token_by_token_obstacle(program.model)
    window = input_shape(program)[0]
    added = sample_tokens(network, begun, window, temperature, top, draw, remembers=remembers)
    return coding.decode([*begun, *(next(added) for _ in range(tokens))])


@torch.no_grad()
def sample_tokens(
    network: nn.Module,
    begun: Sequence[int],
    window: int,
    temperature: float,
    top: int,
    draw: torch.Generator,
    remembers: bool = True,
) -> Iterator[int]:
    """The tokens that follow some, without end.

    Places are counted from the beginning of what the network sees: when that moves, all is computed
    anew. So it moves by half a window, once that is full.

    Args:
        network: a language model in evaluation mode.
        begun: at least one.
        window: how many the network sees at most, and at least half of them where there are more.
        temperature: scores are divided by it; 0 takes the likeliest token each time.
        top: how many of the likeliest tokens are drawn from; 0 for all.
        draw: where random numbers come from.
        remembers: whether each token goes through the network once, with what attention keeps of
            those before; else all that are seen go through for each.
    """
    *body, head = network.children()
    device = next(network.parameters()).device
    seen = new = torch.tensor([begun[-window:]], dtype=torch.long, device=device)
    past = Past(body)
    while True:
        x = past.follow(new)
        number = sample_token(head(x[..., -1:])[0, :, 0].cpu(), temperature, top, draw)
        yield int(number)
        seen = torch.cat((seen, new := number.view(1, 1).to(device)), 1)
        if full := seen.shape[1] > window:
            seen = seen[:, -max(1, window // 2) :]
        if full or not remembers:
            past, new = Past(body), seen


def sample_token(scores: Tensor, temperature: float, top: int, draw: torch.Generator) -> Tensor:
    """A token by its scores, (vocabulary,)."""
    if temperature == 0:
        return scores.argmax()
    scores = scores.double()
    scores = (scores - scores.max()) / temperature  # which stay finite, or vanish, however cold
    if 0 < top < len(scores):
        least = scores.topk(top).values[-1]
        scores = scores.masked_fill(scores < least, -torch.inf)
    return torch.multinomial(scores.softmax(0), 1, generator=draw)[0]
