"""What conversion makes of networks of other libraries: a line for each, and counts.

Each network is small, has random weights, and is tried in a process of its own, in float64, in
evaluation and in training mode: at γ = 0 output and gradients are compared with those of the
original (1e-10), at γ = 0.9 with those of the iteration written out on plain autograd (1e-7), and
with dropout with those of stored activations; at the beginning of a ramp, in float32, they are the
original's (1e-6). `odenet.advise` has to answer. It makes the table of docs/conversion.md:

    python -m bench.census timm|torchvision|transformers [NAME …]
"""

import copy
import inspect
import multiprocessing
import random
import sys
import warnings
from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn

import odenet
from bench.census_models import LIBRARIES
from odenet.conversion import find_blocks
from odenet.conversion.call_recorder import ModelNotRun
from odenet.runtime import Flow, Ramp

SECONDS = 120  # that one network may take
NEAR = 1e-7  # some layers compute in float32 in networks in float64


def tensors(out):
    """All real tensors in what a model gives."""
    if isinstance(out, Tensor):
        return [out] if out.is_floating_point() else []
    parts = out.values() if isinstance(out, dict) else out if isinstance(out, tuple | list) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def found(model, given):
    """Outputs and gradients of a loss that no norm makes constant."""
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    outputs = tensors(model(**given) if isinstance(given, dict) else model(*given))
    weights = torch.Generator().manual_seed(3)
    loss = sum(
        (t * torch.randn(t.shape, generator=weights).to(t)).mean() + 0.1 * t.square().mean()
        for t in outputs
        if t.requires_grad and t.isfinite().all()
    )
    learned = [p for p in model.parameters() if p.requires_grad]
    return [t.detach() for t in outputs], torch.autograd.grad(loss, learned, allow_unused=True)


def off(some, others):
    """The largest difference of two results, relative to each tensor."""
    worst = 0.0
    for ours, theirs in zip(some, others, strict=True):
        sizes = [float(t.abs().max()) for t in theirs if t is not None and t.numel()]
        floor = 1e-5 * max([s for s in sizes if s < 1e30], default=1.0) + 1e-30
        for a, b in zip(ours, theirs, strict=True):
            if a is None and b is None:
                continue
            a, b = (torch.nan_to_num(torch.zeros(1) if t is None else t) for t in (a, b))
            worst = max(worst, float((a - b).abs().max()) / (float(b.abs().max()) + floor))
    return worst


def with_momentum(model, runs, gamma=0.9):
    """A copy whose blocks do a step of momentum when they are called, on plain autograd."""
    twin = copy.deepcopy(model)

    def stepping(forward, speed, first):
        name = next(iter(inspect.signature(forward).parameters))

        def step(*args, **kwargs):
            x = args[0] if args else kwargs.pop(name)
            result = forward(x, *args[1:], **kwargs)
            several = isinstance(result, tuple | list)
            v = (1 - gamma) * ((result[0] if several else result) - x)
            speed.append(v if first else gamma * speed[-1] + v)
            new = x + speed[-1]
            return type(result)((new, *result[1:])) if several else new

        return step

    for path, names in ((path, names) for path, several in runs.items() for names in several):
        speed = []
        for name in names:
            block = twin.get_submodule(f"{path}.{name}" if path else name)
            block.forward = stepping(block.forward, speed, name == names[0])
    return twin


def set_dropout(model, p):
    """Of every kind: modules, and numbers that modules and configurations call so."""
    parts = [*model.modules(), *(m.config for m in model.modules() if hasattr(m, "config"))]
    for part in parts:
        for name, value in list(vars(part).items()):
            if isinstance(value, float) and "drop" in name:
                setattr(part, name, 0.0 if "layer" in name else p)
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = p


def randomise(model):
    """Norms and what begins at zero: a branch that adds nothing shows nothing."""
    for name, p in model.named_parameters():
        if p.ndim == 1 and not name.endswith("bias"):
            p.data.uniform_(0.2, 0.6)
        elif not p.any():
            p.data.normal_(0, 0.05)


def wrong(model, given, plan):
    """What differs, in words."""
    one = copy.deepcopy(model).train()
    ramp = odenet.convert(copy.deepcopy(one), blocks=plan, gamma=Ramp(0, 0.9, steps=9))
    if (error := off(found(ramp, given), found(one, given))) > 1e-6:
        yield f"the beginning of a ramp is off by {error:.0e}"
    model = model.double()
    if isinstance(given, dict):
        given = {k: v.double() if v.is_floating_point() else v for k, v in given.items()}
    else:
        given = tuple(x.double() for x in given)
    for training in (False, True):
        one = copy.deepcopy(model).train(training)
        same = odenet.convert(copy.deepcopy(one), blocks=plan, gamma=0)
        if (error := off(found(same, given), found(one, given))) > 1e-10:
            yield f"γ = 0 is off by {error:.0e}"
        ours = found(odenet.convert(copy.deepcopy(one), blocks=plan, gamma=0.9), given)
        if (error := off(ours, found(with_momentum(one, plan.runs), given))) > NEAR:
            yield f"γ = 0.9 is off by {error:.0e}"
    set_dropout(one, 0.2)
    rebuilt, stored = (odenet.convert(copy.deepcopy(one), blocks=plan) for _ in range(2))
    for flow in (module for module in stored.modules() if isinstance(module, Flow)):
        flow.memory = "stored"
    if (error := off(found(rebuilt, given), found(stored, given))) > NEAR:
        yield f"with dropout it is off by {error:.0e}"


def judged(library, name):
    """In a word and a sentence what becomes of a network."""
    model, given = LIBRARIES[library][1](name)
    set_dropout(model, 0.0)
    randomise(model)
    found(copy.deepcopy(model.train()), given)  # what does not train itself is not judged
    model.eval()
    made_up = ""
    try:
        plan = find_blocks(model)
    except ModelNotRun:
        plan, made_up = find_blocks(model, given), ", with example="
    str(odenet.advise(model, given))
    if not plan.runs:
        return "stays", "; ".join(str(plan).splitlines()[:2]) or "it has no blocks in a row"
    problems = list(wrong(model, given, plan))
    steps = "; ".join(str(plan).split("\n")[: len(plan.runs)]) + made_up
    return ("WRONG", ", ".join(problems)) if problems else ("converted", steps)


def answer(library, name, pipe):
    """In a process of its own."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    try:
        pipe.send(judged(library, name))
    except Exception as error:  # of any kind: the code is not ours
        pipe.send(("fails", f"{type(error).__name__}: {error}".splitlines()[0][:200]))


def main(library, *names):
    """A line for each network, and how many of each kind."""
    counts = Counter()
    for name in names or LIBRARIES[library][0]():
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=answer, args=(library, name, theirs)
        )
        process.start()
        kind, what = ours.recv() if ours.poll(SECONDS) else ("fails", "it takes too long")
        process.kill()
        counts[kind] += 1
        print(f"{name}: {kind}: {what}", flush=True)
    print(", ".join(f"{n} {kind}" for kind, n in counts.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
