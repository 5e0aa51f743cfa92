"""Which networks of other libraries can be converted, and whether the result is right.

    python -m bench.census timm|torchvision|transformers [NAME …]

prints a line for each network, and makes the table of docs/conversion.md. The networks are small
and have random weights; each is tried in a process of its own. In a converted network, residual
blocks take steps of momentum γ. Outputs and gradients of the network are compared in float64, in
evaluation and in training mode: with γ = 0 to those of the original (within 1e-10), with γ = 0.9 to
those of momentum on plain autograd (1e-7), and with dropout to those of the same conversion with
stored activations (1e-7). At the start of a ramp of γ, in float32, they have to be those of the
original (1e-6). `odenet.advise` has to give an answer, too.
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

TIME_LIMIT = 120  # seconds for one network
TOLERANCE = 1e-7  # relative; some layers compute in float32 although the network is in float64
HUGE = 1e30  # scores of masked tokens are larger, since they are the lowest number of their dtype


def output_tensors(output):
    """All floating-point tensors in the output of a model."""
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, dict):
        output = output.values()
    elif not isinstance(output, tuple | list):
        return []
    return [tensor for entry in output for tensor in output_tensors(entry)]


def outputs_and_gradients(model, inputs):
    """The outputs of a model, and the gradients of a random linear plus quadratic loss of them.

    A mean square alone would not do: a norm at the end of a network makes it constant.
    """
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    outputs = output_tensors(model(**inputs) if isinstance(inputs, dict) else model(*inputs))
    generator = torch.Generator().manual_seed(3)
    loss = sum(
        (t * torch.randn(t.shape, generator=generator).to(t)).mean() + 0.1 * t.square().mean()
        for t in outputs
        if t.requires_grad and t.isfinite().all()
    )
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [t.detach() for t in outputs], torch.autograd.grad(loss, parameters, allow_unused=True)


def largest_difference(results, references):
    """The largest difference of two `outputs_and_gradients`, relative to the size of each tensor.

    Differences that are small next to the largest tensor count less, since a tensor may consist of
    rounding errors only, such as the gradient by a bias before a norm.
    """
    largest = 0.0
    for tensors, reference_tensors in zip(results, references, strict=True):
        sizes = [float(t.abs().max()) for t in reference_tensors if t is not None and t.numel()]
        floor = 1e-5 * max([s for s in sizes if s < HUGE], default=1.0) + 1e-30
        for a, b in zip(tensors, reference_tensors, strict=True):
            if a is None and b is None:
                continue
            a, b = (torch.nan_to_num(torch.zeros(1) if t is None else t) for t in (a, b))
            largest = max(largest, float((a - b).abs().max()) / (float(b.abs().max()) + floor))
    return largest


def with_momentum(model, runs, gamma=0.9):
    """A copy of a model whose blocks take a step of momentum when they are called.

    Args:
        model: the original.
        runs: the lists of names of consecutive blocks, by container, that `find_blocks` gives.
        gamma: γ of the momentum.
    """
    reference = copy.deepcopy(model)

    def momentum_step(forward, velocities, is_first):
        """The step of momentum of a block, from its `forward`; adds its velocity to a list."""
        name = next(iter(inspect.signature(forward).parameters))

        def step(*args, **kwargs):
            x = args[0] if args else kwargs.pop(name)
            output = forward(x, *args[1:], **kwargs)
            is_tuple = isinstance(output, tuple | list)
            v = (1 - gamma) * ((output[0] if is_tuple else output) - x)
            velocities.append(v if is_first else gamma * velocities[-1] + v)
            new_x = x + velocities[-1]
            return type(output)((new_x, *output[1:])) if is_tuple else new_x

        return step

    for path, names in ((path, names) for path, lists in runs.items() for names in lists):
        velocities = []
        for name in names:
            block = reference.get_submodule(f"{path}.{name}" if path else name)
            block.forward = momentum_step(block.forward, velocities, name == names[0])
    return reference


def set_dropout(model, p):
    """Sets dropout everywhere: in its modules, and in numbers with "drop" in their names.

    Whole layers are never dropped ("layerdrop"): the references could not tell which.
    """
    owners = [*model.modules(), *(m.config for m in model.modules() if hasattr(m, "config"))]
    for owner in owners:
        for name, value in list(vars(owner).items()):
            if isinstance(value, float) and "drop" in name:
                setattr(owner, name, 0.0 if "layer" in name else p)
        if isinstance(owner, nn.modules.dropout._DropoutNd):
            owner.p = p


def randomise(model):
    """Draws the scales of norms, and parameters that are 0, so that every branch adds something."""
    for name, p in model.named_parameters():
        if p.ndim == 1 and not name.endswith("bias"):
            p.data.uniform_(0.2, 0.6)
        elif not p.any():
            p.data.normal_(0, 0.05)


def difference(model, reference, inputs):
    """`largest_difference` of the outputs and gradients of two models."""
    results = outputs_and_gradients(model, inputs)
    return largest_difference(results, outputs_and_gradients(reference, inputs))


def errors(model, inputs, plan):
    """Descriptions of all comparisons that fail.

    Args:
        model: the original.
        inputs: a tuple of arguments, or a dictionary of keyword arguments.
        plan: the blocks to convert, from `find_blocks`.
    """
    original = copy.deepcopy(model).train()
    ramp = odenet.convert(copy.deepcopy(original), blocks=plan, gamma=Ramp(0, 0.9, steps=9))
    if (error := difference(ramp, original, inputs)) > 1e-6:
        yield f"the beginning of a ramp is off by {error:.0e}"
    model = model.double()
    if isinstance(inputs, dict):
        inputs = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
    else:
        inputs = tuple(x.double() for x in inputs)
    for training in (False, True):
        original = copy.deepcopy(model).train(training)
        unchanged = odenet.convert(copy.deepcopy(original), blocks=plan, gamma=0)
        if (error := difference(unchanged, original, inputs)) > 1e-10:
            yield f"γ = 0 is off by {error:.0e}"
        converted = odenet.convert(copy.deepcopy(original), blocks=plan, gamma=0.9)
        reference = with_momentum(original, plan.runs)
        if (error := difference(converted, reference, inputs)) > TOLERANCE:
            yield f"γ = 0.9 is off by {error:.0e}"
    set_dropout(original, 0.2)
    recomputed, stored = (odenet.convert(copy.deepcopy(original), blocks=plan) for _ in range(2))
    for flow in (module for module in stored.modules() if isinstance(module, Flow)):
        flow.memory = "stored"
    if (error := difference(recomputed, stored, inputs)) > TOLERANCE:
        yield f"with dropout it is off by {error:.0e}"


def verdict(library, name):
    """Tries a network; gives "converted", "stays" (as it is) or "WRONG", and an explanation."""
    _, model_and_input = LIBRARIES[library]
    model, inputs = model_and_input(name)
    set_dropout(model, 0.0)
    randomise(model)
    outputs_and_gradients(copy.deepcopy(model.train()), inputs)  # fails if it cannot be trained
    model.eval()
    note = ""
    try:
        plan = find_blocks(model)
    except ModelNotRun:  # it does not run on inputs that odenet makes up
        plan, note = find_blocks(model, inputs), ", with example="  # the argument of odenet.convert
    str(odenet.advise(model, inputs))
    if not plan.runs:
        return "stays", "; ".join(str(plan).splitlines()[:2]) or "it has no blocks in a row"
    problems = list(errors(model, inputs, plan))
    steps = "; ".join(str(plan).split("\n")[: len(plan.runs)]) + note
    return ("WRONG", ", ".join(problems)) if problems else ("converted", steps)


def send_verdict(library, name, pipe):
    """Sends `verdict`, or "fails" and the error; runs in a process of its own."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    try:
        pipe.send(verdict(library, name))
    except Exception as error:  # the network is foreign code, which may raise anything
        pipe.send(("fails", f"{type(error).__name__}: {error}".splitlines()[0][:200]))


def main(library, *names):
    """Prints a line for each network, and how often each verdict occurs."""
    counts = Counter()
    list_names, _ = LIBRARIES[library]
    for name in names or list_names():
        receiver, sender = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=send_verdict, args=(library, name, sender)
        )
        process.start()
        has_answer = receiver.poll(TIME_LIMIT)
        word, explanation = receiver.recv() if has_answer else ("fails", "it takes too long")
        process.kill()
        counts[word] += 1
        print(f"{name}: {word}: {explanation}", flush=True)
    print(", ".join(f"{count} {word}" for word, count in counts.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
