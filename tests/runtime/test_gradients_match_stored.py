"""Gradients are those of plain autograd, whatever blocks do and whatever surrounds the passes.

Many kinds of blocks, and many ways to use a flow, are tried in every memory mode, in float64. The
reference is memory "stored"; where it gives None, None is expected.
"""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from odenet import reversible

IS_OLDEST_TORCH = torch.__version__.startswith("2.11.")  # the oldest supported; docs/runtime.md

# 500: a budget in bytes; "exact": memory "reversible" in exact arithmetic.
MODES = ("reversible", "checkpoint", 500, "exact")
GENERATOR = torch.Generator().manual_seed(2)
INPUT = torch.randn(3, 6, dtype=torch.float64, generator=GENERATOR)


class Block(nn.Module):
    """A block whose forward pass is a function of the block and the state."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.weight = nn.Parameter(torch.randn(3, 6))
        self.function = function

    def value(self, x):
        return torch.tanh(self.linear(x)) + 0.1 * self.weight[0]

    def forward(self, x):
        return self.function(self, x)


def plain_layer(self, x):
    return self.value(x)


def without_gradients_inside(self, x):
    with torch.no_grad():
        scale = self.value(x)
    with torch.inference_mode():
        number = self.value(x).sum().item()
    return self.value(x) * scale * number


def with_tensor_hook(self, x):
    value = self.value(x)
    if value.requires_grad:
        value.register_hook(lambda gradient: 2 * gradient)
    return value


def differentiated_inside(self, x):
    return -torch.func.grad(lambda z: self.value(z).square().sum())(x)


RESULTS = {  # what a block returns
    "the input itself": lambda self, x: x,
    "a view of the input": lambda self, x: x.view(-1).view(3, 6),
    "a slice of the input": lambda self, x: x[:, :],
    "an expanded tensor": lambda self, x: self.value(x)[:, :1].expand(3, 6),
    "an expanded weight": lambda self, x: self.weight[0].expand(3, 6),
    "a weight": lambda self, x: self.weight,
    "a tensor that is not contiguous": lambda self, x: self.value(x).t().contiguous().t(),
    "a constant": lambda self, x: torch.ones_like(x),
    "a detached value": lambda self, x: self.value(x).detach() + x,
    "a function without parameters": lambda self, x: torch.tanh(x),
    "a function of some of its parameters": lambda self, x: self.linear(self.linear(x)),
}
ACTIONS = {  # what a block does
    "reads whether gradients are enabled": lambda self, x: (
        self.value(x) * (1 + torch.is_grad_enabled())
    ),
    "reads whether the state needs a gradient": lambda self, x: (
        self.value(x) * (1 + x.requires_grad)
    ),
    "reads whether a value needs a gradient": lambda self, x: (
        self.value(x) * (1 + (2 * self.weight).requires_grad)
    ),
    "turns gradients off inside": without_gradients_inside,
    "differentiates inside": differentiated_inside,
    "registers a hook": with_tensor_hook,
    "uses a checkpoint": lambda self, x: checkpoint(self.value, x, use_reentrant=False),
    "uses a reentrant checkpoint": lambda self, x: checkpoint(self.value, x, use_reentrant=True),
}


def build_flow(function=plain_layer, mode="stored", scheme="momentum", steps=4):
    torch.manual_seed(0)
    constants = {} if scheme == "momentum" else {"h": 0.3}
    flow = reversible([Block(function).double() for _ in range(steps)], scheme, **constants)
    return set_mode(flow, mode)


def set_mode(flow, mode):
    if mode == "exact":
        flow.exact = True
    else:
        flow.memory = mode
    return flow


def gradients(flow, x):
    return [x.grad, *(p.grad for p in flow.parameters())]


def assert_same(actual, expected, mode):
    """Two lists of gradients are equal, None for None."""
    tolerance = 1e-5 if mode == "exact" else 1e-8  # exact arithmetic rounds to a grid
    for a, b in zip(actual, expected, strict=True):
        if a is None or b is None:
            assert a is b
        else:
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scheme", ["momentum", "midpoint"])
@pytest.mark.parametrize(
    "function", [*RESULTS.values(), *ACTIONS.values()], ids=[*RESULTS, *ACTIONS]
)
def test_gradients_are_right_whatever_a_block_returns_or_does(function, scheme):
    results = {}
    for mode in ("stored", *MODES):
        flow, x = build_flow(function, mode, scheme), INPUT.clone().requires_grad_()
        out = flow(x)
        out.square().sum().backward()
        results[mode] = [out.detach(), *gradients(flow, x)]
        assert_same(results[mode], results["stored"], mode)


def with_frozen_blocks(*frozen_indices):
    def use(flow, x):
        for n in frozen_indices:
            flow.f[n].requires_grad_(False)
        flow(x).square().sum().backward()

    return use


def backward_in_another_thread(flow, x):
    loss = flow(x).square().sum()
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join()


def with_hooks_on_parameters(flow, x):
    flow.called = []
    for parameter in flow.parameters():
        parameter.register_hook(lambda gradient: (flow.called.append("before"), 2 * gradient)[1])
        parameter.register_post_accumulate_grad_hook(lambda p: flow.called.append("after"))
    flow(x).square().sum().backward()
    used = sum(parameter.grad is not None for parameter in flow.parameters())
    assert flow.called.count("before") == flow.called.count("after") == used


def updated_in_the_backward(flow, x):
    def update(parameter):
        parameter.data.add_(parameter.grad, alpha=-0.1)

    for parameter in flow.parameters():
        parameter.register_post_accumulate_grad_hook(update)
    for _ in range(2):
        flow.zero_grad()
        flow(x).square().sum().backward()


def inside_context(context):
    def use(flow, x):
        with context():
            flow(x).square().sum().backward()

    return use


def with_hooks_on_saved_tensors(flow, x):
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, torch.clone):
        loss = flow(x).square().sum()
    loss.backward()


def with_wrapper(wrap):
    return lambda flow, x: wrap(flow)(x).square().sum().backward()


def copied_between_the_passes(flow, x):
    loss = flow(x).square().sum()
    twin = copy.deepcopy(flow)
    loss.backward()
    y = x.detach().requires_grad_()
    twin(y).square().sum().backward()
    assert_same(gradients(twin, y), gradients(flow, x), "exact" if flow.exact else flow.memory)


def parameters_used_outside(flow, x):
    outside = flow.f[0](x).sum() + flow.f[1].weight.square().sum()
    (flow(x).square().sum() + outside).backward()


def parameters_shared_with_another_flow(flow, x):
    other = set_mode(reversible(list(flow.f)[::-1]), "exact" if flow.exact else flow.memory)
    other(flow(x)).square().sum().backward()


def two_calls(flow, x):
    (flow(x).square().sum() + flow(2 * x).sum()).backward()


def backward_twice(flow, x):
    loss = flow(x).square().sum()
    loss.backward(retain_graph=True)
    loss.backward()


USES = {  # ways to call a flow and to go backward
    "all blocks frozen": with_frozen_blocks(0, 1, 2, 3),
    "some blocks frozen": with_frozen_blocks(0, 2),
    "an empty batch": lambda flow, x: flow(x[:0]).square().sum().backward(),
    "an expanded input": lambda flow, x: flow(x[:1].expand(3, 6)).square().sum().backward(),
    "an expanded gradient": lambda flow, x: flow(x).sum().backward(),
    "an output changed in place": lambda flow, x: flow(x).mul_(2).square().sum().backward(),
    "the backward in another thread": backward_in_another_thread,
    "hooks on parameters": with_hooks_on_parameters,
    "updates in the backward": updated_in_the_backward,
    "save_on_cpu": inside_context(torch.autograd.graph.save_on_cpu),
    "hooks on saved tensors": with_hooks_on_saved_tensors,
    "detect_anomaly": inside_context(torch.autograd.detect_anomaly),
    "around a checkpoint": with_wrapper(
        lambda flow: lambda x: checkpoint(flow, x, use_reentrant=False)
    ),
    "around a reentrant checkpoint": with_wrapper(
        lambda flow: lambda x: checkpoint(flow, x, use_reentrant=True)
    ),
    "a copy between the passes": copied_between_the_passes,
    "parameters used outside": parameters_used_outside,
    "parameters of two flows": parameters_shared_with_another_flow,
    "two calls": two_calls,
    "one graph twice": backward_twice,
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled:UserWarning")
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_gradients_are_right_whatever_surrounds_the_passes(use):
    results = {}
    for mode in ("stored", *MODES):
        flow, x = build_flow(mode=mode), INPUT.clone().requires_grad_()
        use(flow, x)
        results[mode] = gradients(flow, x)
        assert_same(results[mode], results["stored"], mode)


@pytest.mark.skipif(
    IS_OLDEST_TORCH, reason="torch rebuilds the state wrongly where its graph breaks"
)
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # while it compiles
def test_a_compiled_model_around_a_flow_with_a_budget_has_the_same_gradients():
    torch.compiler.reset()
    results = {}
    for mode in ("stored", 500):
        flow, x = build_flow(mode=mode, steps=3), INPUT.clone().requires_grad_()
        run = flow if mode == "stored" else torch.compile(flow, backend="eager")
        run(x).square().sum().backward()
        results[mode] = gradients(flow, x)
    assert_same(results[500], results["stored"], 500)


def batched_gradients(flow, x):
    out = flow(x)
    torch.autograd.grad(out, x, torch.stack([out, out]).detach(), is_grads_batched=True)


def gradient_by_parameters(flow, x):
    def loss(parameters):
        return torch.func.functional_call(flow, parameters, x).sum()

    torch.func.grad(loss)(dict(flow.named_parameters()))


TRANSFORMS = {
    "grad": lambda flow, x: torch.func.grad(lambda x: flow(x).sum())(x),
    "grad by parameters": gradient_by_parameters,
    "vjp": lambda flow, x: torch.func.vjp(flow, x),
    "vmap": lambda flow, x: torch.func.vmap(flow)(x[None]),
    "jacrev": lambda flow, x: torch.func.jacrev(flow)(x),
    "jvp": lambda flow, x: torch.func.jvp(flow, (x,), (x,)),
    "vectorize": lambda flow, x: torch.autograd.functional.jacobian(flow, x, vectorize=True),
    "is_grads_batched": batched_gradients,
    "create_graph": lambda flow, x: torch.autograd.grad(flow(x).sum(), x, create_graph=True),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")  # torch's own
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_work_with_stored_activations_and_are_refused_in_other_modes(transform):
    transform(build_flow(), INPUT.clone().requires_grad_())
    for mode in MODES:
        with pytest.raises(RuntimeError, match=r'cannot be .*; set flow\.memory = "stored"'):
            transform(build_flow(mode=mode), INPUT.clone().requires_grad_())


def test_a_loss_on_collected_results_alone_gives_no_gradient_to_what_it_does_not_read():
    def collecting(self, x):
        return self.weight, {"mean": self.linear(x).mean()}

    results = {}
    for mode in ("stored", *MODES):
        flow, x = build_flow(collecting, mode), INPUT.clone().requires_grad_()
        flow(x)
        flow.collected["mean"].backward()
        results[mode] = gradients(flow, x)
        assert_same(results[mode], results["stored"], mode)
    assert flow.f[3].weight.grad is None and flow.f[3].linear.weight.grad is not None


@pytest.mark.parametrize("mode", MODES)
def test_differentiating_what_a_block_kept_from_the_forward_pass_is_refused(mode):
    kept = []

    def keeping(self, x):
        value = torch.sin(self.value(x))
        kept.append(value.sum())
        return value

    out = build_flow(keeping, mode)(INPUT.clone().requires_grad_())
    with pytest.raises(RuntimeError, match=r"was kept, and is differentiated|modified by an inpl"):
        (out.sum() + sum(kept)).backward()


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float8_e4m3fn])
@pytest.mark.parametrize("mode", MODES)
def test_dtypes_that_cannot_be_rebuilt_are_refused_by_name(mode, dtype):
    flow = build_flow(lambda self, x: (self.weight * x.double()).to(dtype), mode)
    with pytest.raises(TypeError, match=f"floating point of 16 bits or more, not {dtype}"):
        flow(INPUT.to(dtype))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.float8_e4m3fn])
def test_dtypes_without_exact_arithmetic_are_refused_by_name(dtype):
    with pytest.raises(TypeError, match=f"exact arithmetic takes real numbers.* not {dtype}"):
        build_flow(mode="exact").encode(INPUT.to(dtype))


@pytest.mark.parametrize("mode", MODES[:3])  # exact arithmetic is for real numbers
def test_complex_states_are_rebuilt(mode):
    results = {}
    for flow_mode in ("stored", mode):
        flow, x = build_flow(lambda self, x: x * self.weight.cdouble(), flow_mode), INPUT.cdouble()
        x.requires_grad_()
        flow(x).abs().sum().backward()
        results[flow_mode] = gradients(flow, x)
    assert_same(results[mode], results["stored"], mode)


def test_the_backward_pass_runs_blocks_under_the_settings_of_the_forward_pass():
    def reading(self, x):
        flash = torch.backends.cuda.flash_sdp_enabled()
        return self.value(x) * (1 + flash) * torch.tensor(0.1).double()

    results = {}
    for mode in ("stored", *MODES):
        flow, x = build_flow(reading, mode), INPUT.clone().requires_grad_()
        torch.backends.cuda.enable_flash_sdp(False)
        torch.set_default_dtype(torch.bfloat16)  # in which 0.1 is another number
        try:
            loss = flow(x).square().sum()
        finally:
            torch.set_default_dtype(torch.float32)
            torch.backends.cuda.enable_flash_sdp(True)
        loss.backward()
        assert torch.backends.cuda.flash_sdp_enabled()
        assert torch.get_default_dtype() == torch.float32
        results[mode] = gradients(flow, x)
        assert_same(results[mode], results["stored"], mode)
