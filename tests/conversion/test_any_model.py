"""Models of transformers, timm and torch, whose blocks `convert` finds by running them.

The oracle is the momentum iteration on plain autograd, put in the place of each block's `forward`.
"""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision.models import mobilenet_v3_small
from torchvision.models.maxvit import MaxVit
from torchvision.models.regnet import BlockParams, RegNet

from odenet.conversion import convert, find_blocks
from odenet.runtime import Flow, Ramp
from tests.conversion.small_models import (
    TOKEN_IDS,
    logits,
    random_images,
    randomise_norms,
    timm_model,
    to_double,
    transformers_model,
    use_momentum,
)

DAMPED = """
scheme damped(a) {
    for Y' = F(Y)
    start Y[-1] = Y[0]
    Y[n+1] = (1 - a) Y[n] + a Y[n-1] + h F(Y[n])
}
"""


SMALL_REGNET = BlockParams(
    [1, 3, 2, 1], [8, 16, 24, 32], [8] * 4, [1.0] * 4, [2] * 4, se_ratio=0.25
)


def torchvision_model(name):
    torch.manual_seed(0)
    builders = {
        "regnet": lambda: RegNet(SMALL_REGNET, num_classes=5, stem_width=8),
        "mobilenet_v3": lambda: mobilenet_v3_small(num_classes=5),
        "maxvit": lambda: MaxVit((32, 32), 8, 4, [8, 8], [2, 1], 4, 0.0, num_classes=5),
    }
    return randomise_norms(builders[name]()), {"x": random_images(32)}


STEP_COUNTS = {
    ("timm", "vit_tiny_patch16_224"): 3,
    ("timm", "mixer"): 3,
    ("timm", "swin_tiny_patch4_window7_224"): 3,
    ("timm", "convnext_atto"): 5,
    ("timm", "resnetv2_50"): 1,
    ("timm", "resnet18"): 5,
    ("timm", "regnetx_002"): 9,
    ("timm", "resnext26ts"): 4,
    ("torchvision", "regnet"): 3,
    ("torchvision", "mobilenet_v3"): 6,
    ("torchvision", "maxvit"): 7,
    ("transformers", "gpt2"): 3,
    ("transformers", "llama"): 3,
    ("transformers", "qwen2"): 3,  # of which two attend within a window: masks of their own
    ("transformers", "bert"): 3,
    ("transformers", "vit"): 3,
    ("transformers", "t5"): 6,  # whose first layers make the position bias of all
}


def build_model(library, name):
    """A small model of a library, and the keyword arguments that it is called with."""
    if library != "torchvision":
        pytest.importorskip(library)
    builders = {"timm": timm_model, "transformers": transformers_model}
    return builders.get(library, torchvision_model)(name)


def flows_of(model):
    return [module for module in model.modules() if isinstance(module, Flow)]


def assert_all_close(actual, expected):
    """Compares tensors pairwise; None, the gradient of an unused parameter, with None."""
    for a, b in zip(actual, expected, strict=True):
        if a is None or b is None:
            assert a is None and b is None
        else:
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-8 * float(b.abs().max() + 1e-12))


def logits_and_gradients(model, inputs):
    out = logits(model, inputs)
    parameters = list(model.parameters())
    return out.detach(), *torch.autograd.grad(out.square().mean(), parameters, allow_unused=True)


@pytest.mark.parametrize(("library", "name"), STEP_COUNTS)
def test_blocks_become_steps_with_the_gradients_of_plain_autograd(library, name):
    model, inputs = build_model(library, name)
    ramped = convert(model, gamma=Ramp(0, 0.9, steps=10))
    assert list(ramped.state_dict()) == list(model.state_dict())
    with torch.no_grad():
        assert torch.equal(logits(ramped, inputs), logits(model, inputs))  # in float32
    assert sum(flow.steps for flow in flows_of(ramped)) == STEP_COUNTS[library, name]
    model, inputs = to_double(model, inputs)
    converted = convert(model, gamma=0.7)
    assert all(flow.memory == "reversible" for flow in flows_of(converted))
    actual = logits_and_gradients(converted, inputs)
    use_momentum(model, 0.7)
    assert_all_close(actual, logits_and_gradients(model, inputs))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18", "regnetx_002"])
def test_timm_s_own_checkpointing_keeps_the_converted_network(name):
    model, inputs = to_double(*build_model("timm", name))
    converted = convert(model, gamma=0.7)
    expected = logits_and_gradients(converted, inputs)
    converted.set_grad_checkpointing(True)
    assert_all_close(logits_and_gradients(converted, inputs), expected)


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_checkpointing_of_transformers_keeps_the_converted_network(name):
    model, inputs = to_double(*build_model("transformers", name))
    converted = convert(model, gamma=0.7)
    expected = logits_and_gradients(converted, inputs)
    newer = getattr(converted, "activation_checkpointing_enable", None)
    (newer or converted.gradient_checkpointing_enable)()
    converted.train()
    assert_all_close(logits_and_gradients(converted, inputs), expected)
    assert not converted.get_submodule(next(iter(find_blocks(model).runs)))[
        0
    ].gradient_checkpointing


@pytest.mark.filterwarnings("ignore:a forward hook on")  # transformers leaves its recorders
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_cache": True}, "takes no cache of keys and values: say use_cache=False"),
        ({"output_hidden_states": True}, "output_hidden_states cannot be recorded"),
        ({"output_attentions": True}, "output_attentions cannot be recorded"),
    ],
)
def test_what_needs_values_between_layers_is_refused(options, message):
    model, inputs = build_model("transformers", "llama")
    converted = convert(model)
    expected = logits(converted, inputs)
    with pytest.raises(RuntimeError, match=message):
        converted(**inputs, **options)
    torch.testing.assert_close(logits(converted, inputs), expected)


def test_a_cache_that_the_config_asks_for_is_turned_off_and_said():
    pytest.importorskip("transformers")
    model, inputs = transformers_model("llama", use_cache=True)
    with pytest.warns(UserWarning, match="use_cache is turned off in the config of the converted"):
        converted = convert(model)
    assert model.config.use_cache and not converted.config.use_cache
    converted(**inputs)
    assert find_blocks(model, inputs).runs == find_blocks(model).runs
    tokens = converted.generate(TOKEN_IDS, max_new_tokens=2, do_sample=False, use_cache=False)
    assert tokens.shape == (2, 8)
    with pytest.raises(RuntimeError, match="use_cache=False"):
        converted.generate(TOKEN_IDS, max_new_tokens=2)


def test_a_decoder_has_gradients_to_its_memory():
    torch.manual_seed(0)
    layer = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    decoder = nn.TransformerDecoder(layer, 3, nn.LayerNorm(8)).double()
    x, memory = torch.randn(2, 4, 8).double(), torch.randn(2, 5, 8).double().requires_grad_()
    mask = nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
    inputs = [memory, *decoder.parameters()]
    out = convert(decoder, gamma=0.7)(x, memory, tgt_mask=mask)
    actual = torch.autograd.grad(out.square().sum(), inputs)
    use_momentum(decoder, 0.7)
    expected = decoder(x, memory, tgt_mask=mask)
    torch.testing.assert_close(out, expected)
    assert_all_close(actual, torch.autograd.grad(expected.square().sum(), inputs))


class Block(nn.Module):
    """A block with unusual calls: its value in a tuple, and further inputs that differ by layer."""

    def __init__(self, width):
        super().__init__()
        self.map = nn.Linear(width, width)

    def forward(self, hidden, gate, scale=1.0):
        return hidden + torch.tanh(self.map(hidden)) * gate * scale, hidden.mean()


class UnknownModel(nn.Module):
    """Calls its layers with further inputs; may add up their side outputs, or stop early."""

    def __init__(self, depth=4):
        super().__init__()
        self.layers = nn.ModuleList(Block(6) for _ in range(depth))
        self.gates = nn.Parameter(torch.rand(depth, 6))
        self.head = nn.Linear(6, 2)
        self.layer_count = depth
        self.reads_side_outputs = False

    def forward(self, x, gate):
        side_sum = 0
        for number, layer in enumerate(self.layers[: self.layer_count]):
            x, mean = layer(hidden=x, gate=gate * self.gates[number], scale=0.5)
            side_sum = side_sum + mean if self.reads_side_outputs else side_sum
        return self.head(x) + side_sum


def unknown_model():
    """A model of no known library, with its input and a gate that the blocks take besides."""
    torch.manual_seed(0)
    model = UnknownModel().double()
    return model, torch.randn(3, 6).double(), torch.rand(3, 6).double().requires_grad_()


@pytest.mark.parametrize("found_by", [{"blocks": "layers"}, {"blocks": "lay*"}, {}])
def test_an_unknown_model_is_converted_by_path_or_example(found_by):
    model, x, gate = unknown_model()
    converted = convert(model, gamma=0.7, **(found_by or {"example": (x, gate)}))
    inputs = [gate, *model.parameters()]
    actual = converted(x, gate)
    y, v = x, 0
    for number, layer in enumerate(model.layers):
        v = 0.7 * v + 0.3 * (layer(y, gate * model.gates[number], 0.5)[0] - y)
        y = y + v
    expected = model.head(y)
    torch.testing.assert_close(actual, expected)
    assert_all_close(
        torch.autograd.grad(actual.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
    )


def test_what_a_flow_does_not_have_is_refused_where_it_is_read():
    model, x, gate = unknown_model()
    converted = convert(model, blocks="layers")
    converted.reads_side_outputs = True
    with pytest.raises(RuntimeError, match="add reads what a block gives beside its value"):
        converted(x, gate)
    converted.reads_side_outputs, converted.layer_count = False, 3
    with pytest.raises(RuntimeError, match="linear reads the value after block 3 of 4"):
        converted(x, gate)


def test_a_list_that_grows_is_refused_and_a_layer_replaced_is_the_step():
    model, x, gate = unknown_model()
    converted = convert(model, blocks="layers", gamma=0.7)
    with pytest.raises(RuntimeError, match="blocks were added to or removed from this Layers"):
        converted.layers.append(Block(6))
    converted.layers[1] = Block(6).double()
    model.layers[1] = converted.layers[1].block_class(6).double()
    model.layers[1].load_state_dict(converted.layers[1].state_dict())
    expected = convert(model, blocks="layers", gamma=0.7)
    torch.testing.assert_close(converted(x, gate), expected(x, gate))
    copied = copy.deepcopy(converted)
    assert copied.layers[0].flow_of_step is copied.layers.flows[0]
    torch.testing.assert_close(copied(x, gate), expected(x, gate))


def test_a_checkpoint_around_the_whole_model_keeps_its_gradients():
    model, x, gate = unknown_model()
    converted = convert(model, blocks="layers", gamma=0.7)
    inputs = [gate, *converted.parameters()]
    expected = torch.autograd.grad(converted(x, gate).sum(), inputs)
    out = checkpoint(converted, x, gate, use_reentrant=False)
    assert_all_close(torch.autograd.grad(out.sum(), inputs), expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own
def test_a_compiled_model_is_the_converted_one():
    model, x, gate = unknown_model()
    converted = convert(model, blocks="layers", gamma=0.7)
    compiled = torch.compile(converted, backend="eager")
    inputs = [gate, *converted.parameters()]
    assert_all_close(
        torch.autograd.grad(compiled(x, gate).sum(), inputs),
        torch.autograd.grad(converted(x, gate).sum(), inputs),
    )


@pytest.mark.parametrize("scheme", [DAMPED, "leapfrog", "mine.ode"])
def test_any_scheme_takes_the_layers_of_a_model(scheme, tmp_path):
    model, inputs = to_double(*build_model("transformers", "llama"))
    constants = {} if scheme == "leapfrog" else {"a": 0.5}
    if scheme == "mine.ode":
        scheme = tmp_path / scheme
        scheme.write_text(DAMPED)
    converted = convert(model, scheme, h=0.5, v0=0, **constants)
    actual = logits_and_gradients(converted, inputs)
    for flow in flows_of(converted):
        flow.memory = "stored"
    assert_all_close(actual, logits_and_gradients(converted, inputs))
    _use_two_step_rule(model, *((2, -1, 0.25) if not constants else (0.5, 0.5, 0.5)))
    torch.testing.assert_close(actual[0], logits(model, inputs))


def _use_two_step_rule(model, current, previous, h):
    """x[n+1] = current x[n] + previous x[n-1] + h f(x[n]), from rest: the oracle of a scheme."""
    values = []
    for number, layer in enumerate(model.model.layers):

        def step(x, *args, forward=layer.forward, number=number, **kwargs):
            rate = forward(x, *args, **kwargs) - x
            values[number:] = [x]
            return current * x + previous * values[max(number - 1, 0)] + h * rate

        layer.forward = step


def test_what_stays_is_said_by_name_and_reason():
    plan = find_blocks(timm_model("resnet18")[0]) if pytest.importorskip("timm") else None
    assert "layer1: 0 to 1 become 2 steps" in str(plan)
    assert "layer2.0 stays: it changes the shape, (1, 64, 16, 16) to (1, 32, 8, 8)" in str(plan)
    plain = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(2)))
    with pytest.raises(ValueError, match="0 stays: it adds to no skip connection"):
        convert(plain)
    assert len(convert(plain, blocks="").flows[0].f) == 2  # by wish


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": "model.h"}, "UnknownModel has no module at 'model.h'"),
        ({"blocks": "head"}, "head is a Linear without children"),
        ({}, r"UnknownModel does not run on an input that could be made up.*example=…"),
        ({"example": torch.ones(2, 6)}, "UnknownModel does not run on the example"),
    ],
)
def test_what_cannot_be_found_is_asked_for(options, message):
    with pytest.raises(ValueError, match=message):
        convert(unknown_model()[0], **options)


def test_an_example_is_asked_for_where_a_configuration_says_too_little():
    class Config:
        vocab_size, image_size = None, "large"
        to_dict = get_text_config = lambda self: self

    model = unknown_model()[0]
    model.config, model.main_input_name = Config(), "input_ids"
    with pytest.raises(
        ValueError, match="UnknownModel does not run on an input that could be made up"
    ):
        convert(model)


def test_a_converted_model_is_not_converted_again():
    converted = convert(unknown_model()[0], blocks="layers")
    with pytest.raises(ValueError, match="this UnknownModel is converted already"):
        convert(converted, blocks="layers")


class Row(nn.Module):
    """Two children that the model calls in turn, without a list of them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(2))

    def forward(self, x):
        for child in self.children():
            x = x + child(x) if isinstance(child, nn.Sequential) else child(x)
        return x


class Rows(Row):
    """The same, with children that are residual blocks themselves."""

    def __init__(self):
        nn.Module.__init__(self)
        self.first, self.second = Row(), Row()


@pytest.mark.parametrize(
    "copy_model",
    [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))],
    ids=["deepcopy", "pickle"],
)
def test_children_in_a_row_are_a_flow_that_is_copied_and_pickled(copy_model):
    torch.manual_seed(0)
    model, x = Rows().double(), torch.randn(3, 6).double()
    converted = convert(model, gamma=0.7)
    assert isinstance(converted, Rows) and [n for n, _ in converted.named_children()] == [
        "first",
        "second",
    ]
    v = 0.3 * (model.first(x) - x)
    y = x + v
    expected = y + 0.7 * v + 0.3 * (model.second(y) - y)
    torch.testing.assert_close(copy_model(converted)(x), expected)
    converted.float()(x.float()).sum().backward()
    assert all(p.dtype == torch.float32 and p.grad is not None for p in converted.parameters())
