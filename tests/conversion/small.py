"""Small models of other libraries with random weights, and the momentum iteration on them."""

from __future__ import annotations

import warnings
from functools import partial

import torch
from torch import nn

from odenet.conversion import find_blocks

LANGUAGE = dict(
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=24,
    vocab_size=20,
    max_position_embeddings=32,
)
IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
PADDING = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]])


def transformers_model(name: str, **options):
    """A model of transformers without dropout, and what it is called with."""
    import transformers as hf

    words = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    heads = {**LANGUAGE, **words, "num_key_value_heads": 1, "use_cache": False}
    text = {"input_ids": IDS, "attention_mask": PADDING}
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    picture = {"image_size": 16, "patch_size": 4, **no_dropout}
    width = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    gpt = {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 32, "vocab_size": 20}
    drop = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "use_cache": False}
    t5 = {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 3,
        "num_heads": 2,
        "vocab_size": 20,
        "dropout_rate": 0.0,
    }
    layers = {"use_sliding_window": True, "sliding_window": 2, "max_window_layers": 1}
    make = {
        "gpt2": lambda: (hf.GPT2LMHeadModel(hf.GPT2Config(**gpt, **drop, **words)), text),
        "llama": lambda: (hf.LlamaForCausalLM(hf.LlamaConfig(**{**heads, **options})), text),
        "qwen2": lambda: (hf.Qwen2ForCausalLM(hf.Qwen2Config(**heads, **layers)), text),
        "bert": lambda: (
            hf.BertForMaskedLM(hf.BertConfig(**LANGUAGE, **no_dropout, use_cache=False)),
            text,
        ),
        "t5": lambda: (
            hf.T5ForConditionalGeneration(hf.T5Config(**t5, **words, use_cache=False)),
            {**text, "decoder_input_ids": IDS[:, :4]},
        ),
        "vit": lambda: (
            hf.ViTForImageClassification(hf.ViTConfig(**width, intermediate_size=24, **picture)),
            {"pixel_values": pictures(16)},
        ),
    }
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, given = make[name]()
    return randomised(model), given


def timm_model(name: str):
    """A model of timm, and what it is called with."""
    import timm
    from timm.models.mlp_mixer import MlpMixer

    options = {
        "vit_tiny_patch16_224": dict(img_size=16, patch_size=4, depth=3, embed_dim=16, num_heads=2),
        "mixer": dict(img_size=16, patch_size=4, num_blocks=3, embed_dim=16),
        "swin_tiny_patch4_window7_224": dict(
            img_size=16, patch_size=2, window_size=4, embed_dim=8, depths=(2, 1), num_heads=(2, 2)
        ),
        "convnext_atto": dict(depths=(2, 1, 1, 1), dims=(8, 8, 8, 8)),
        "resnetv2_50": dict(layers=(2, 1, 1, 1), channels=(16, 16, 16, 16), stem_chs=8),
        "resnet18": dict(zero_init_last=False, channels=(64, 32, 32, 32)),
        "regnetx_002": dict(zero_init_last=False),
        "resnext26ts": {},
    }
    torch.manual_seed(0)
    make = MlpMixer if name == "mixer" else partial(timm.create_model, name)
    model = make(num_classes=5, **options[name])
    return randomised(model), {"x": pictures(options[name].get("img_size", 32))}


def randomised(model: nn.Module) -> nn.Module:
    """With scales of norms at random: where the last one is zero, blocks add nothing."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and not name.endswith("bias"):
            parameter.data.uniform_(0.2, 0.6)
    return model.eval()


def pictures(size: int) -> torch.Tensor:
    """Two of them."""
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def in_double(model: nn.Module, given: dict) -> tuple[nn.Module, dict]:
    """A model and its input in float64."""
    return model.double(), {k: v.double() if v.is_floating_point() else v for k, v in given.items()}


def output(model: nn.Module, given: dict) -> torch.Tensor:
    """Of a model, what a loss is made of."""
    out = model(*given.values()) if "x" in given else model(**given)
    return getattr(out, "logits", out)


def with_momentum(model: nn.Module, gamma: float) -> None:
    """Has each block of a model do a step of momentum when it is called, on plain autograd."""
    for path, runs in find_blocks(model).runs.items():
        for run in runs:
            speed: list[torch.Tensor] = []
            for index, name in enumerate(run):
                block = model.get_submodule(f"{path}.{name}" if path else name)
                block.forward = _stepping(block.forward, speed, index == 0, gamma)


def _stepping(forward, speed: list, first: bool, gamma: float):
    def step(x, *args, **kwargs):
        result = forward(x, *args, **kwargs)
        y = result[0] if isinstance(result, tuple) else result
        v = gamma * (0 if first else speed[-1]) + (1 - gamma) * (y - x)
        speed.append(v)
        return (x + v, *result[1:]) if isinstance(result, tuple) else x + v

    return step
