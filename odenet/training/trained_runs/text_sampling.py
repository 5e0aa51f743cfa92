"""Sampling text from the language model of a run, one token after the other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from odenet.compiler import Program
from odenet.model.typed.program import scores_tokens
from odenet.runtime.layer_modules.kv_cache import KeyValueCache
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
    count: int,
    temperature: float,
    top: int,
    generator: torch.Generator,
) -> str:
    """A prompt and the text that the language model of a run adds to it.

    Args:
        program: the compiled spec of the run.
        network: its network in evaluation mode.
        folder: the folder of the run.
        prompt: how the text begins; an empty one is replaced by a line break.
        count: how many tokens to add.
        temperature: see `sample_tokens`.
        top: see `sample_tokens`.
        generator: the source of random numbers.

    Raises:
        TrainingError: it is not a language model, or does not know a token of the prompt.
    """
    if program.vocabulary is None or not scores_tokens(program.model):
        raise NotPossible(f"{folder} is not a language model", "its net begins with tokens(…)")
    spec_folder = RunFolder(folder).read_record().spec_folder
    codec = TextCodec(resolve_paths(recipe_data(program), spec_folder).kwargs.get("tokenizer", ""))
    text = (prompt or "\n").encode("utf-8", errors="surrogateescape")
    prompt_tokens: list[int] = codec.encode(np.frombuffer(text, np.uint8)).tolist()
    unknown = [number for number in prompt_tokens if number >= program.vocabulary]
    if unknown or not prompt_tokens:
        known = f"the network knows 0 to {program.vocabulary - 1}"
        problem = f"token {unknown[0]}, and {known}" if unknown else "no token"
        raise NotPossible(f"the prompt has {problem}", "give another --prompt")
    use_cache = not token_by_token_obstacle(program.model)
    window = input_shape(program)[0]
    tokens = sample_tokens(network, prompt_tokens, window, temperature, top, generator, use_cache)
    return codec.decode([*prompt_tokens, *(next(tokens) for _ in range(count))])


@torch.no_grad()
def sample_tokens(
    network: nn.Module,
    prompt_tokens: Sequence[int],
    window: int,
    temperature: float,
    top: int,
    generator: torch.Generator,
    use_cache: bool = True,
) -> Iterator[int]:
    """Generates tokens that follow a prompt, without end.

    The context is what the network sees: the last tokens, at most a window. Positions count from
    the first token of the context, so that the cache is useless once the context has moved.
    Therefore a full context moves by half a window at once, not by one token.

    Args:
        network: a language model in evaluation mode.
        prompt_tokens: at least one.
        window: the largest number of tokens in the context.
        temperature: divides the scores; 0 takes the likeliest token each time.
        top: the number of likeliest tokens to draw from; 0 for all.
        generator: the source of random numbers.
        use_cache: pass each token through the network once, and cache keys and values for
            attention; else the whole context is passed for each token.
    """
    *body, head = network.children()
    device = next(network.parameters()).device
    context = new_tokens = torch.tensor([prompt_tokens[-window:]], dtype=torch.long, device=device)
    cache = KeyValueCache(body)
    while True:
        hidden = cache.run(new_tokens)
        token = sample_token(head(hidden[..., -1:])[0, :, 0].cpu(), temperature, top, generator)
        yield int(token)
        context = torch.cat((context, new_tokens := token.view(1, 1).to(device)), 1)
        if is_too_long := context.shape[1] > window:
            context = context[:, -max(1, window // 2) :]
        if is_too_long or not use_cache:
            cache, new_tokens = KeyValueCache(body), context


def sample_token(scores: Tensor, temperature: float, top: int, rng: torch.Generator) -> Tensor:
    """A token, drawn with probability softmax(scores / temperature). See `sample_tokens`.

    Args:
        scores: the scores of all tokens, (vocabulary,).
        temperature: 0 for the likeliest token.
        top: the number of likeliest tokens to draw from; 0 for all.
        rng: the generator of random numbers.
    """
    if temperature == 0:
        return scores.argmax()
    scores = scores.double()
    scores = (scores - scores.max()) / temperature  # at most 0, so that exp does not overflow
    if 0 < top < len(scores):
        threshold = scores.topk(top).values[-1]
        scores = scores.masked_fill(scores < threshold, -torch.inf)
    return torch.multinomial(scores.softmax(0), 1, generator=rng)[0]
