"""Models of transformers, timm and torch, whose blocks `convert` finds by running them.

The oracle is the momentum iteration on plain autograd, put in the place of each block's `forward`.
"""

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_small
from torchvision.models.maxvit import MaxVit
from torchvision.models.regnet import BlockParams, RegNet

from odenet.conversion import convert, find_blocks
from odenet.runtime import Flow, Ramp
from tests.conversion.oracles import assert_all_close
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
    depths=[1, 3, 2, 1],
    widths=[8, 16, 24, 32],
    group_widths=[8] * 4,
    bottleneck_multipliers=[1.0] * 4,
    strides=[2] * 4,
    se_ratio=0.25,
)


def torchvision_model(name):
    torch.manual_seed(0)
    builders = {
        "regnet": lambda: RegNet(SMALL_REGNET, num_classes=5, stem_width=8),
        "mobilenet_v3": lambda: mobilenet_v3_small(num_classes=5),
        "maxvit": lambda: MaxVit(
            input_size=(32, 32),
            stem_channels=8,
            partition_size=4,
            block_channels=[8, 8],
            block_layers=[2, 1],
            head_dim=4,
            stochastic_depth_prob=0.0,
            num_classes=5,
        ),
    }
    return randomise_norms(builders[name]()), {"x": random_images(32)}


STEP_COUNTS = {  # how many blocks of each model become steps
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
    ("transformers", "qwen2"): 3,  # of which two attend within a window, by another mask
    ("transformers", "bert"): 3,
    ("transformers", "vit"): 3,
    # Three in the encoder and in the decoder, whose first layers make the position bias for all.
    ("transformers", "t5"): 6,
}


def build_model(library, name):
    """A small model of a library, and the keyword arguments that it is called with."""
    if library != "torchvision":
        pytest.importorskip(library)
    builders = {"timm": timm_model, "transformers": transformers_model}
    return builders.get(library, torchvision_model)(name)


def flows_of(model):
    return [module for module in model.modules() if isinstance(module, Flow)]


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
def test_checkpointing_by_timm_does_not_change_a_converted_network(name):
    model, inputs = to_double(*build_model("timm", name))
    converted = convert(model, gamma=0.7)
    expected = logits_and_gradients(converted, inputs)
    converted.set_grad_checkpointing(True)
    assert_all_close(logits_and_gradients(converted, inputs), expected)


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_checkpointing_by_transformers_does_not_change_a_converted_network(name):
    model, inputs = to_double(*build_model("transformers", name))
    converted = convert(model, gamma=0.7)
    expected = logits_and_gradients(converted, inputs)
    newer_method = getattr(converted, "activation_checkpointing_enable", None)
    (newer_method or converted.gradient_checkpointing_enable)()
    converted.train()
    assert_all_close(logits_and_gradients(converted, inputs), expected)
    path_of_blocks = next(iter(find_blocks(model).runs))
    assert not converted.get_submodule(path_of_blocks)[0].gradient_checkpointing


@pytest.mark.filterwarnings("ignore:a forward hook on")  # which transformers leaves behind
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_cache": True}, "takes no cache of keys and values: say use_cache=False"),
        ({"output_hidden_states": True}, "output_hidden_states cannot be recorded"),
        ({"output_attentions": True}, "output_attentions cannot be recorded"),
    ],
)
def test_options_that_need_values_between_layers_are_refused(options, message):
    model, inputs = build_model("transformers", "llama")
    converted = convert(model)
    expected = logits(converted, inputs)
    with pytest.raises(RuntimeError, match=message):
        converted(**inputs, **options)
    torch.testing.assert_close(logits(converted, inputs), expected)


def test_a_cache_that_the_config_asks_for_is_turned_off_with_a_warning():
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


def test_a_converted_decoder_gives_the_gradient_of_the_output_of_the_encoder():
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


@pytest.mark.parametrize("scheme", [DAMPED, "leapfrog", "mine.ode"])
def test_the_layers_of_a_model_may_be_steps_of_any_scheme(scheme, tmp_path):
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
    if scheme == "leapfrog":
        _use_two_step_rule(model, current=2, previous=-1, rate=0.5**2)
    else:
        _use_two_step_rule(model, current=0.5, previous=0.5, rate=0.5)
    torch.testing.assert_close(actual[0], logits(model, inputs))


def _use_two_step_rule(model, current, previous, rate):
    """Makes each layer compute x[n+1] = current x[n] + previous x[n-1] + rate f(x[n]), from rest."""
    values = []
    for number, layer in enumerate(model.model.layers):

        def step(x, *args, forward=layer.forward, number=number, **kwargs):
            f_x = forward(x, *args, **kwargs) - x
            values[number:] = [x]
            return current * x + previous * values[max(number - 1, 0)] + rate * f_x

        layer.forward = step


def test_blocks_that_stay_are_listed_with_the_reason():
    pytest.importorskip("timm")
    plan = str(find_blocks(timm_model("resnet18")[0]))
    assert "layer1: 0 to 1 become 2 steps" in plan
    assert "layer2.0 stays: it changes the shape, (1, 64, 16, 16) to (1, 32, 8, 8)" in plan
    plain = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(2)))
    with pytest.raises(ValueError, match="0 stays: it adds to no skip connection"):
        convert(plain)
    assert len(convert(plain, blocks="").flows[0].f) == 2  # the caller knows better
