"""The backward repeats the forward as it was, whatever modules and callers do in between.

The reference is plain autograd (memory "stored") on the same weights, in double precision.
"""

from __future__ import annotations

import copy
import random
import threading
import types

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import odenet
from odenet import reversible
from odenet.runtime import Flow
from tests.runtime.handwritten import HamiltonianFlow, build

MODES = ("reversible", "checkpoint", 500)
SCHEMES = ("momentum", "midpoint", "leapfrog")


def learned(flow):
    return [p for p in flow.parameters() if p.requires_grad]


def gradients(flow, mode, u, *context, between=None, loss=None, **kwargs):
    """Gradients of a fresh copy in a memory mode, and the copy."""
    twin = copy.deepcopy(flow)
    twin.memory = mode
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    u = u.detach().clone().requires_grad_()
    out = twin(u, *context, **kwargs)
    if between:
        between(twin)
    total = (loss or (lambda flow, out: out.square().sum()))(twin, out)
    wanted = [u, *learned(twin), *(c for c in context if isinstance(c, Tensor) and c.requires_grad)]
    return torch.autograd.grad(total, wanted, allow_unused=True), twin


def assert_as_stored(flow, u, *context, modes=MODES, **options):
    expected, reference = gradients(flow, "stored", u, *context, **options)
    for mode in modes:
        found, twin = gradients(flow, mode, u, *context, **options)
        for a, b in zip(found, expected, strict=True):
            if a is not None or b is not None:  # None is a gradient of zeros
                a, b = (torch.zeros_like(g) if x is None else x for x, g in ((a, b), (b, a)))
                torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10, msg=f"memory={mode!r}")
        for (name, a), b in zip(twin.named_buffers(), reference.buffers(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10, msg=name)


def blocks(make, count=4):
    torch.manual_seed(0)
    return [make().double() for _ in range(count)]


def u():
    torch.manual_seed(2)
    return torch.randn(3, 6, dtype=torch.float64)


class Added(nn.Module):
    """A weight of the shape of the state: autograd gives its cotangent itself as the gradient."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 6))

    def forward(self, x):
        return torch.tanh(x) + self.weight


class Counting(nn.Module):
    """Its result depends on how often it was evaluated, by a buffer and by an attribute."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("calls", torch.zeros(()))
        self.seen = 0

    def forward(self, x):
        self.calls += 1
        self.seen += 1
        return torch.tanh(self.linear(x)) / (self.calls + 0.5 * self.seen)


class OwnStatistics(nn.Module):
    """Normalises by a running mean of its own, assigned or changed in place."""

    def __init__(self, in_place):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.in_place = in_place
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x):
        y = self.linear(x)
        moved = 0.9 * self.mean + 0.1 * y.detach().mean(0)
        if self.in_place:
            self.mean.copy_(moved)
        else:
            self.mean = moved
        return torch.tanh(y - self.mean)


class Drawing(nn.Module):
    """Draws a mask from a stream that is not torch's."""

    def __init__(self, stream):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.stream = stream
        self.generator = torch.Generator().manual_seed(3)
        self.rng = np.random.default_rng(3)

    def forward(self, x):
        y = torch.tanh(self.linear(x))
        if self.stream == "python":
            return y * random.random()
        if self.stream == "numpy":
            return y * float(np.random.rand())
        if self.stream == "numpy generator":
            return y * float(self.rng.random())
        return y * torch.rand(y.shape, generator=self.generator, dtype=y.dtype)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_weight_of_the_shape_of_the_state(scheme):
    constants = {} if scheme == "momentum" else {"h": 0.3}
    assert_as_stored(reversible(blocks(Added), scheme, **constants), u())


def test_a_pair_of_blocks_with_weights_of_the_shape_of_the_state():
    class Half(Added):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))

    assert_as_stored(
        reversible([(f, g) for f, g in zip(blocks(Half), blocks(Half), strict=True)], "verlet"), u()
    )


@pytest.mark.parametrize("before", [True, False])
def test_train_and_eval_between_the_passes(before):
    def make():
        return nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3))

    flow = reversible(blocks(make)).train(before)
    for block in flow.f:
        block[1].running_mean.uniform_(-1, 1)
    assert_as_stored(flow, u(), between=lambda flow: flow.train(not before))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        Counting,
        lambda: OwnStatistics(True),
        lambda: OwnStatistics(False),
        lambda: nn.utils.spectral_norm(nn.Linear(6, 6)),
        lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)),
        lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, momentum=None)),
    ],
    ids=["counts", "copies", "assigns", "spectral hook", "spectral", "weight norm", "cumulative"],
)
def test_modules_that_change_as_they_are_evaluated(make, training):
    assert_as_stored(reversible(blocks(make)).train(training), u())


def test_one_module_for_all_steps_that_changes_as_it_is_evaluated():
    (block,) = blocks(Counting, 1)
    assert_as_stored(reversible([block] * 4), u())


@pytest.mark.parametrize("stream", ["python", "numpy", "numpy generator", "generator"])
def test_random_numbers_from_other_streams(stream):
    flow = reversible(blocks(lambda: Drawing(stream)))
    assert_as_stored(flow, u(), modes=("reversible", "checkpoint"))


def test_replaying_leaves_the_streams_and_the_modules_as_they_were():
    flow = reversible(blocks(lambda: Drawing("generator")))
    out = flow(u())
    before = [block.generator.get_state() for block in flow.f]
    out.sum().backward()
    assert all(map(torch.equal, before, [block.generator.get_state() for block in flow.f]))


def test_functional_call_with_other_buffers():
    flow = reversible(blocks(lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)))).eval()
    others = {name: torch.rand_like(b) + 0.5 for name, b in flow.named_buffers() if b.ndim}
    found = {}
    for mode in ("stored", *MODES):
        flow.memory = mode
        x = u().requires_grad_()
        out = torch.func.functional_call(flow, others, x)
        found[mode] = torch.autograd.grad(out.square().sum(), (x, *flow.parameters()))
    for mode in MODES:
        for a, b in zip(found[mode], found["stored"], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


class Attending(nn.Module):
    """Reads further inputs in every form."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x, memory, options=None, scale=1.0):
        y = torch.tanh(self.linear(x)) * memory
        if options is not None:
            y = y + torch.sin(options["pair"][0]) * options["list"][0]
        return scale * y


def test_context_in_every_form_is_differentiated():
    memory = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    a = torch.randn(6, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    flow = reversible(blocks(Attending))
    found = {}
    for mode in ("stored", *MODES):
        flow.memory = mode
        out = flow(u(), memory, options={"pair": (a, 1), "list": [b]}, scale=0.7)
        found[mode] = torch.autograd.grad(out.square().sum(), (memory, a, b, *flow.parameters()))
    for mode in MODES:
        for x, y in zip(found[mode], found["stored"], strict=True):
            torch.testing.assert_close(x, y, rtol=1e-8, atol=1e-10)


def test_context_changed_before_the_backward_is_noticed():
    mask = torch.ones(3, 6, dtype=torch.float64)
    out = reversible(blocks(Attending))(u(), mask)
    mask.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_a_tensor_captured_past_the_inputs_is_refused_by_name():
    class Capturing(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)
            self.holder = types.SimpleNamespace(context=None)

        def forward(self, x):
            return self.linear(x) * self.holder.context

    flow = reversible(blocks(Capturing))
    context = torch.randn(6, dtype=torch.float64, requires_grad=True)
    for block in flow.f:
        block.holder.context = torch.sin(context)
    with pytest.raises(RuntimeError, match=r"a tensor of shape \(6,\).*flow\(u, tensor\)"):
        flow(u()).sum().backward()


def test_a_patched_forward_uses_the_weights_that_are_differentiated():
    def patched():
        block = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        plain = block.forward
        block.forward = types.MethodType(lambda self, x: 2 * nn.Sequential.forward(self, x), block)
        assert plain is not None
        return block

    assert_as_stored(reversible(blocks(patched)), u())

    def closed():
        block = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        plain = block.forward
        block.forward = lambda x: 2 * plain(x)
        return block

    with pytest.raises(RuntimeError, match=r"the parameter f\.3\.0\.(weight|bias)"):
        reversible(blocks(closed))(u()).sum().backward()


def test_recurrent_blocks_and_tied_weights():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(6, 6, batch_first=True)

        def forward(self, x):
            return self.gru(x[:, None])[0][:, 0]

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(torch.tanh(self.a(x)))

    assert_as_stored(reversible(blocks(Recurrent)), u())
    assert_as_stored(reversible(blocks(Tied)), u())


def test_gradients_share_memory_with_nothing():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Parameter(torch.randn(5, 6)) for _ in range(3))

        def forward(self, x):
            return x + self.a + self.b.view(-1).view(5, 6) - torch.tanh(self.c)

    flow, x = reversible(blocks(Shifted)).double(), torch.randn(5, 6).double().requires_grad_()
    out = flow(x)
    out.retain_grad()
    out.square().sum().backward()
    gradients = [out.grad, x.grad, *(p.grad for p in flow.parameters())]
    assert len({g.untyped_storage().data_ptr() for g in gradients}) == len(gradients)
    assert_as_stored(flow, x)


class Mixture(nn.Module):
    """Gives a balancing loss besides its value."""

    def __init__(self):
        super().__init__()
        self.gate, self.linear = nn.Linear(6, 2), nn.Linear(6, 6)

    def forward(self, x):
        share = self.gate(x).softmax(1)
        return torch.tanh(self.linear(x)) * share[:, :1], {"balance": share.mean(0).square().sum()}


def test_further_results_are_summed_over_the_steps_with_gradients():
    flow = reversible(blocks(Mixture))
    by_hand = sum(
        block(x)[1]["balance"] for block, (x, _) in zip(flow.f, flow.trajectory(u()), strict=False)
    )
    flow(u())
    torch.testing.assert_close(flow.collected["balance"], by_hand)
    assert_as_stored(
        flow, u(), loss=lambda flow, out: out.square().sum() + 3 * flow.collected["balance"]
    )
    assert_as_stored(flow, u(), loss=lambda flow, out: flow.collected["balance"])


def test_a_result_that_is_kept_on_the_module_is_warned_of_by_name():
    class Keeping(Mixture):
        def forward(self, x):
            y, self.auxiliary = super().forward(x)[0], self.gate(x).square().mean()
            return y

    flow = reversible(blocks(Keeping))
    with pytest.warns(UserWarning, match="Keeping keeps `auxiliary`"):
        flow(u()).sum().backward()


def test_what_began_exactly_at_zero_is_differentiated_there():
    flow, x = build("hamiltonian", steps=6)
    x[:, 2:] = 0  # relu(K1 Z + b1) is at its kink in the first step
    with torch.no_grad():
        flow.b1.zero_()
    assert_as_stored(flow, x, modes=("reversible", "checkpoint"))


@pytest.mark.parametrize("name", ["hamiltonian", "midpoint", "momentum", "leapfrog", "revnet"])
def test_reversible_and_stored_training_agree_from_the_first_update(name):
    program = odenet.load(f"specs/{name}.ode", set={"n": 2} if name != "momentum" else {})
    torch.manual_seed(0)
    network = program.network().double()
    flows = [m for m in network.modules() if isinstance(m, Flow)]
    x = torch.randn(2, *program.input_shape, dtype=torch.float64)
    found = {}
    for mode in ("stored", "reversible"):
        for flow in flows:
            flow.memory = mode
        torch.manual_seed(0)
        found[mode] = torch.autograd.grad(network(x).square().sum(), list(network.parameters()))
    for (key, _), a, b in zip(network.named_parameters(), *found.values(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-9 * float(a.abs().max()), msg=key)


def test_training_in_every_mode_runs_the_same_arithmetic_as_evaluation():
    for name in ("hamiltonian", "midpoint", "leapfrog", "momentum", "groups"):
        flow, x = build(name, steps=5)
        flow.float().eval()
        with torch.no_grad():
            expected = flow(x.float())
        for mode in ("reversible", "stored", "checkpoint", 3000):
            flow.memory = mode
            assert torch.equal(flow(x.float()), expected), (name, mode)


def test_a_layer_in_place_after_a_flow():
    for name in ("midpoint", "momentum", "hamiltonian"):
        flow, x = build(name)
        x.requires_grad_()
        (expected,) = torch.autograd.grad(torch.relu(flow(x)).sum(), x)
        (found,) = torch.autograd.grad(nn.ReLU(inplace=True)(flow(x)).sum(), x)
        torch.testing.assert_close(found, expected)


def test_the_gradient_of_the_input_alone_evaluates_no_products_with_weights():
    flow, x = build("hamiltonian")
    x.requires_grad_()
    loss = flow(x).square().sum()
    asked = []
    plain = torch.autograd.grad

    def watched(outputs, inputs, *args, **kwargs):
        asked.append(len(inputs))
        return plain(outputs, inputs, *args, **kwargs)

    torch.autograd.grad = watched
    try:
        (alone,) = plain(loss, x, retain_graph=True)
        assert set(asked) == {1}
        asked.clear()
        both = plain(loss, (x, flow.K1), retain_graph=True)
        assert max(asked) == 2
    finally:
        torch.autograd.grad = plain
    torch.testing.assert_close(alone, both[0])


def test_several_threads_on_one_flow():
    def make():
        return nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh())

    flow, errors = reversible(blocks(make)), []
    given = u()  # which seeds the one global stream
    x = given.clone().requires_grad_()
    (expected,) = torch.autograd.grad(flow(x).square().sum(), x)
    momenta = [m.momentum for m in flow.modules() if isinstance(m, nn.BatchNorm1d)]

    def work(mode):
        try:
            for _ in range(10):
                mine = given.clone().requires_grad_()
                flow.memory = mode
                (found,) = torch.autograd.grad(flow(mine).square().sum(), mine)
                torch.testing.assert_close(found, expected)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(m,)) for m in ("reversible", "stored", 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert momenta == [m.momentum for m in flow.modules() if isinstance(m, nn.BatchNorm1d)]


def test_inverse_with_context_on_copies_of_the_modules():
    flow = reversible(blocks(lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6))))
    end = flow.evolve(flow.initial(u()))
    before = [b.clone() for b in flow.buffers()]
    with torch.no_grad():
        start = flow.inverse(end)
    torch.testing.assert_close(start[0], u())
    assert all(map(torch.equal, before, flow.buffers()))


def test_inverse_and_trajectory_with_further_inputs():
    memory = torch.randn(3, 6, dtype=torch.float64)
    given = reversible(blocks(Attending)).given(memory)
    with torch.no_grad():
        states = given.trajectory(u())
        torch.testing.assert_close(given.inverse(states[-1])[0], u())


def test_inverse_of_steps_that_draw_is_refused():
    flow = reversible(blocks(lambda: nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5))))
    end = flow.evolve(flow.initial(u()))
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"call eval\(\) first"):
        flow.inverse(end)


def test_cotangents_in_half_precision_do_not_overflow():
    class Half(HamiltonianFlow):
        def rate_Y(self, Z, K1, b1):
            return super().rate_Y(Z, K1, b1).half().float()

    flow = Half(4, 3, h=1e-3)
    x = torch.randn(2, 4, 5, 5, requires_grad=True)
    (found,) = torch.autograd.grad(6e7 * flow(x).sum(), x)
    flow.memory = "stored"
    (expected,) = torch.autograd.grad(6e7 * flow(x).sum(), x)
    assert found.isfinite().all()
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max()))


def test_a_hook_that_is_removed_before_the_backward():
    flow = reversible(blocks(lambda: nn.Sequential(nn.Linear(6, 6), nn.Tanh())))
    found = {}
    for mode in ("stored", "reversible", "checkpoint"):
        flow.memory = mode
        hooks = [block.register_forward_pre_hook(lambda m, x: (2 * x[0],)) for block in flow.f]
        out = flow(u())
        for hook in hooks:
            hook.remove()
        found[mode] = torch.autograd.grad(out.square().sum(), list(flow.parameters()))
    for mode in ("reversible", "checkpoint"):
        for a, b in zip(found[mode], found["stored"], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_containers_of_the_context_are_those_of_the_call_and_not_written_to():
    class Listing(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x, numbers):
            return torch.tanh(self.linear(x)) * numbers[0]

    flow, numbers = reversible(blocks(Listing)), [2.0]
    (expected,) = torch.autograd.grad(flow(u(), [2.0]).square().sum(), flow.f[0].linear.weight)
    out = flow(u(), numbers)
    numbers[0] = 100.0
    (found,) = torch.autograd.grad(out.square().sum(), flow.f[0].linear.weight)
    torch.testing.assert_close(found, expected)

    class Passing(Listing):
        def forward(self, x, side):
            y = torch.tanh(self.linear(x) + side.get("h", 0))
            side["h"] = y
            return y

    with pytest.raises(RuntimeError, match="wrote to a container"):
        reversible(blocks(Passing))(u(), {})


def test_weights_frozen_between_the_passes_still_have_had_a_gradient():
    flow = reversible(blocks(lambda: nn.Linear(6, 6)))
    x = u().requires_grad_()
    (expected,) = torch.autograd.grad(flow(x).square().sum(), x)
    for mode in ("reversible", "checkpoint"):
        flow.memory = mode
        out = flow(x)
        flow.requires_grad_(False)
        (found,) = torch.autograd.grad(out.square().sum(), x)
        flow.requires_grad_(True)
        torch.testing.assert_close(found, expected)


def test_blocks_that_differentiate_within():
    class Force(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x):
            with torch.enable_grad():
                x = x if x.requires_grad else x.detach().requires_grad_()
                energy = torch.tanh(self.linear(x)).square().sum()
                (force,) = torch.autograd.grad(energy, x, create_graph=True)
            return -force

    assert_as_stored(reversible(blocks(Force)), u(), modes=("reversible", "checkpoint"))


def test_the_type_of_the_output_does_not_depend_on_the_mode():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x):
            return self.linear(x.float())

    flow = reversible([Wide() for _ in range(3)])
    types = set()
    for mode in ("stored", "reversible", "checkpoint"):
        flow.memory = mode
        types.add(flow(u().bfloat16()).dtype)
    assert types == {torch.float32}


def test_a_state_without_axes():
    class Scaling(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(0.3))

        def forward(self, x):
            return torch.tanh(self.weight * x)

    assert_as_stored(reversible(blocks(Scaling)), torch.tensor(0.7, dtype=torch.float64),
                     modes=("reversible", "checkpoint"))  # fmt: skip
