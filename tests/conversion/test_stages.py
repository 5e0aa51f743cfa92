"""Stages of converted models, whose blocks are read, replaced, sliced and iterated over.

The oracle is the momentum iteration over the blocks of the original, on plain autograd.
"""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential
from torchvision.models.resnet import BasicBlock, ResNet

from odenet.conversion import convert
from tests.conversion.oracles import Block, momentum

BUDGET = 300_000  # in bytes: enough for some of the steps


class Adapted(nn.Module):
    """A block with an adapter beside it, as parameter-efficient fine-tuning puts there."""

    def __init__(self, inner, channels=64):
        super().__init__()
        self.inner = inner
        self.adapter = nn.Conv2d(channels, channels, 1).double()

    def forward(self, x):
        return self.inner(x) + self.adapter(x)


class Checkpointed(nn.Module):
    """A block that runs under activation checkpointing."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=False)


class LowRank(nn.Module):
    """LoRA (Hu et al. 2022) of a convolution."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        c = inner.in_channels
        self.down, self.up = nn.Conv2d(c, 2, 1).double(), nn.Conv2d(2, c, 1).double()

    def forward(self, x):
        return self.inner(x) + self.up(self.down(x))


@pytest.fixture
def model():
    """A small ResNet in float64, whose norms have random scales."""
    torch.manual_seed(0)
    model = ResNet(BasicBlock, [3, 2, 1, 1], num_classes=5).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.2, 0.6)
    return model


def feature_maps(channels=64):
    return torch.randn(2, channels, 6, 6, generator=torch.Generator().manual_seed(1)).double()


def assert_same_as_by_hand(stage, blocks, x=None):
    """Compares values and gradients of a stage with the momentum iteration over `blocks`."""
    x = feature_maps() if x is None else x
    parameters = [p for p in stage.parameters() if p.requires_grad]
    out = stage(x)
    actual = torch.autograd.grad(out.square().sum(), parameters, allow_unused=True)
    expected_output = momentum(blocks, x)
    torch.testing.assert_close(out, expected_output)
    expected = torch.autograd.grad(expected_output.square().sum(), parameters, allow_unused=True)
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8 * float(b.abs().max() + 1e-9))


@pytest.mark.parametrize("wrap", [Adapted, Checkpointed], ids=["adapter", "checkpoint"])
@pytest.mark.parametrize("memory", ["reversible", "stored", "checkpoint", BUDGET])
def test_a_module_that_replaces_a_block_becomes_the_step(model, wrap, memory):
    stage = convert(model.eval()).layer1
    stage.flows[0].memory = memory
    stage[1] = wrap(stage[1])
    original = list(model.layer1)
    expected = copy.copy(stage[1])  # the same wrapper, around the block of the original
    expected._modules = {**stage[1]._modules, "inner": original[1]}
    assert_same_as_by_hand(stage, [original[0], expected, original[2]])


def test_an_identity_may_replace_a_step_and_another_module_a_block_between_flows(model):
    converted = convert(model.eval())
    converted.layer1[0] = nn.Identity()
    assert_same_as_by_hand(converted.layer1, [nn.Identity(), *list(model.layer1)[1:]])
    converted.layer2[0] = nn.Conv2d(64, 128, 1, stride=2).double()
    x = feature_maps()
    torch.testing.assert_close(
        converted.layer2(x), momentum([model.layer2[1]], converted.layer2[0](x))
    )


def test_parts_within_a_block_are_adapted_and_the_original_keeps_its_own(model):
    converted = convert(model.eval())
    expected = model(pictures := torch.randn(1, 3, 32, 32).double())
    block = converted.get_submodule("layer1.2")
    block.conv2 = LowRank(block.conv2)
    assert torch.equal(model(pictures), expected)
    adapted = copy.copy(model.layer1[2])
    adapted._modules = {**adapted._modules, "conv2": block.conv2}
    assert_same_as_by_hand(converted.layer1, [*list(model.layer1)[:2], adapted])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own
def test_a_compiled_block_becomes_the_step(model):
    stage = convert(model.eval()).layer1
    original = list(model.layer1)
    stage[1] = torch.compile(stage[1], backend="eager")
    assert_same_as_by_hand(stage, original)


def test_replaced_norms_count_each_batch_once_in_every_mode(model):
    for memory in ("reversible", "stored", "checkpoint", BUDGET):
        converted = convert(copy.deepcopy(model))
        converted.layer1.flows[0].memory = memory
        converted.layer1[1] = Block(64).double()
        converted.layer1(feature_maps()).sum().backward()
        norms = [m for m in converted.layer1.modules() if isinstance(m, nn.BatchNorm2d)]
        # Two in each BasicBlock, one in the Block between them.
        assert [norm.num_batches_tracked.item() for norm in norms] == [1] * 5


RUN_ALONE_MESSAGE = "is a step of a flow now, and on its own it would compute the original network"


def call_in_turn(blocks, x):
    """Calls one block after the other, as the loop of a model does."""
    for block in blocks:
        x = block(x)
    return x


@pytest.mark.parametrize(
    "run",
    [
        call_in_turn,
        lambda stage, x: call_in_turn([stage[i] for i in range(len(stage))], x),
        lambda stage, x: call_in_turn(stage.children(), x),
        lambda stage, x: nn.Sequential(*stage)(x),
        lambda stage, x: checkpoint_sequential(stage, 2, x, use_reentrant=False),
        lambda stage, x: checkpoint(call_in_turn, stage, x, use_reentrant=False),
    ],
    ids=["loop", "index", "children", "Sequential", "checkpoint_sequential", "checkpoint"],
)
def test_running_all_blocks_in_turn_runs_the_flow(model, run):
    stage = convert(model.eval()).layer1
    x = feature_maps()
    expected = momentum(list(model.layer1), x)
    torch.testing.assert_close(run(stage, x), expected)
    parameters = list(stage.parameters())
    actual = torch.autograd.grad(run(stage, x).square().sum(), parameters)
    for a, b in zip(actual, torch.autograd.grad(expected.square().sum(), parameters), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda stage, x: stage.get_submodule("1")(x), RUN_ALONE_MESSAGE),
        (lambda stage, x: call_in_turn([stage[0], stage[2]], x), "block 3 .* after block 1, "),
        (lambda stage, x: stage[0](x) + 1, "add reads the value after block 1 of 3"),
        (lambda stage, x: nn.Sequential(*map(Adapted, stage))(x), "add reads the value after"),
        (lambda stage, x: checkpoint_sequential(stage, 2, x, use_reentrant=True), "use_reentrant"),
    ],
)
def test_running_some_of_the_blocks_is_refused(model, run, message):
    with pytest.raises(RuntimeError, match=message):
        run(convert(model).layer1, feature_maps().requires_grad_())


def test_slices_that_cut_no_flow_stay_converted_and_others_are_refused(model):
    converted = convert(model.eval())
    with pytest.raises(ValueError, match="blocks 0 to 2 of this stage are the steps of one flow"):
        converted.layer1[:2]
    assert_same_as_by_hand(converted.layer1[:], list(model.layer1))
    x = feature_maps()
    torch.testing.assert_close(converted.layer2[:1](x), model.layer2[0](x))
    tail = converted.layer2[1:]
    assert next(iter(tail.state_dict())).startswith("1.")  # the name that it has in layer2
    tail[0] = nn.Identity()  # changes the slice alone
    y = model.layer2[0](x)
    assert torch.equal(tail(y), y)
    torch.testing.assert_close(converted.layer2(x), momentum([model.layer2[1]], y))
    with pytest.raises(ValueError, match="step 1"):
        converted.layer1[::-1]


@pytest.mark.parametrize(
    "change",
    [
        lambda stage: stage.append(nn.Identity()),
        lambda stage: stage.insert(0, nn.Identity()),
        lambda stage: stage.extend([nn.Identity()]),
        lambda stage: stage.pop(1),
        lambda stage: stage.__delitem__(1),
        lambda stage: stage + nn.Sequential(nn.Identity()),
        lambda stage: stage * 2,
        lambda stage: (stage.add_module("9", nn.Identity()), stage(feature_maps())),
        lambda stage: (delattr(stage, "1"), stage(feature_maps())),
    ],
    ids="append insert extend pop delitem add multiply add_module delattr".split(),
)
def test_adding_and_removing_blocks_is_refused(model, change):
    with pytest.raises(
        RuntimeError, match="blocks were added to or removed from this ResidualStage"
    ):
        change(convert(model).layer1)


def test_layers_of_an_encoder_are_replaced_and_not_run_alone():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    original = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).double()
    converted = convert(original)
    x = torch.randn(2, 5, 8).double()
    with pytest.raises(RuntimeError, match=RUN_ALONE_MESSAGE):
        converted.layers[1](x)
    converted.layers[1] = original.layers[2]

    def original_layer(number):
        return lambda x: original.layers[number](x)

    torch.testing.assert_close(
        converted(x), momentum([original_layer(0), original_layer(2), original_layer(2)], x)
    )
    converted.layers = converted.layers[:2]
    with pytest.raises(RuntimeError, match="reads the value after block 2 of 3"):
        converted(x) + 1


def test_the_training_mode_of_a_flow_reaches_its_blocks_and_frozen_norms_stay_frozen(model):
    model.layer1[1].bn1.eval()
    converted = convert(model)
    assert [b.bn1.training for b in converted.layer1] == [True, False, True]
    flow = converted.layer1.flows[0]
    flow.eval()
    assert not any(b.bn1.training for b in converted.layer1)
    buffers = [b.clone() for b in model.buffers()]
    flow.spectrum(feature_maps()[:1, :, :1, :1], count=2)
    assert all(map(torch.equal, buffers, model.buffers()))


def test_a_network_has_to_be_converted_before_it_is_compiled_as_a_whole(model):
    with pytest.raises(ValueError, match="convert the model first"):
        convert(torch.compile(model))
    model.compile(backend="eager")
    converted = convert(model.eval())
    x = torch.randn(1, 3, 32, 32).double()
    assert not torch.allclose(converted(x), model(x))  # it does not run the compiled original


def test_copies_have_and_run_blocks_of_their_own(model):
    converted = convert(model.eval())
    copied = copy.deepcopy(converted)
    copied.layer1[1] = nn.Identity()
    blocks = list(model.layer1)
    expected = momentum([blocks[0], nn.Identity(), blocks[2]], feature_maps())
    torch.testing.assert_close(copied.layer1(feature_maps()), expected)
    copied.layer1(feature_maps()).sum().backward()
    assert all(p.grad is None for p in model.parameters())
    torch.testing.assert_close(converted.layer1(feature_maps()), momentum(blocks, feature_maps()))


def test_a_model_that_runs_all_registered_modules_of_a_stage_is_told_to_take_children():
    class Residual(nn.Linear):
        def __init__(self):
            super().__init__(4, 4)

        def forward(self, x):
            return x + super().forward(x).tanh()

    class ReadsRegistry(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(Residual() for _ in range(3))

        def forward(self, x):
            for layer in self.layers._modules.values():
                x = layer(x)
            return x

    with pytest.raises(RuntimeError, match=r"let it take children\(\)"):
        convert(ReadsRegistry(), blocks="layers", gamma=0.7)(torch.zeros(2, 4))
