"""Small models of transformers and timm with random weights, and the oracle of their conversion.

The oracle replaces the `forward` of every residual block by a step of the momentum iteration
(Sander et al. 2021, Eq. 2), written out on plain autograd.
"""

from __future__ import annotations

import warnings
from functools import partial

import torch
from torch import nn

from odenet.conversion import find_blocks

LANGUAGE_SIZES = dict(
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=24,
    vocab_size=20,
    max_position_embeddings=32,
)
TOKEN_IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
ATTENTION_MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]])


def transformers_model(name: str, **options):
    """A model of transformers without dropout, and the keyword arguments that it is called with."""
    import transformers as hf

    special_tokens = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    decoder = {**LANGUAGE_SIZES, **special_tokens, "num_key_value_heads": 1, "use_cache": False}
    text = {"input_ids": TOKEN_IDS, "attention_mask": ATTENTION_MASK}
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    images = {"image_size": 16, "patch_size": 4, **no_dropout}
    vit = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    gpt2 = {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 32, "vocab_size": 20}
    gpt2 |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "use_cache": False}
    t5 = {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 3,
        "num_heads": 2,
        "vocab_size": 20,
        "dropout_rate": 0.0,
    }
    windows = {"use_sliding_window": True, "sliding_window": 2, "max_window_layers": 1}
    builders = {
        "gpt2": lambda: (hf.GPT2LMHeadModel(hf.GPT2Config(**gpt2, **special_tokens)), text),
        "llama": lambda: (hf.LlamaForCausalLM(hf.LlamaConfig(**{**decoder, **options})), text),
        "qwen2": lambda: (hf.Qwen2ForCausalLM(hf.Qwen2Config(**decoder, **windows)), text),
        "bert": lambda: (
            hf.BertForMaskedLM(hf.BertConfig(**LANGUAGE_SIZES, **no_dropout, use_cache=False)),
            text,
        ),
        "t5": lambda: (
            hf.T5ForConditionalGeneration(hf.T5Config(**t5, **special_tokens, use_cache=False)),
            {**text, "decoder_input_ids": TOKEN_IDS[:, :4]},
        ),
        "vit": lambda: (
            hf.ViTForImageClassification(hf.ViTConfig(**vit, intermediate_size=24, **images)),
            {"pixel_values": random_images(16)},
        ),
    }
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, inputs = builders[name]()
    return randomise_norms(model), inputs


def timm_model(name: str):
    """A model of timm, and the keyword arguments that it is called with."""
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
    build = MlpMixer if name == "mixer" else partial(timm.create_model, name)
    model = build(num_classes=5, **options[name])
    return randomise_norms(model), {"x": random_images(options[name].get("img_size", 32))}


def randomise_norms(model: nn.Module) -> nn.Module:
    """Draws the scales of norms at random: where the last one is zero, blocks add nothing."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and not name.endswith("bias"):
            parameter.data.uniform_(0.2, 0.6)
    return model.eval()


def random_images(size: int) -> torch.Tensor:
    """A batch of two, always the same."""
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def to_double(model: nn.Module, inputs: dict) -> tuple[nn.Module, dict]:
    """A model and its inputs in float64."""
    return model.double(), {
        k: v.double() if v.is_floating_point() else v for k, v in inputs.items()
    }


def logits(model: nn.Module, inputs: dict) -> torch.Tensor:
    """The logits of a model for some inputs: what a loss is computed from."""
    out = model(*inputs.values()) if "x" in inputs else model(**inputs)
    return getattr(out, "logits", out)


def use_momentum(model: nn.Module, gamma: float) -> None:
    """Makes each block of a model, when it is called, do a momentum step on plain autograd."""
    for path, runs in find_blocks(model).runs.items():
        for run in runs:
            velocities: list[torch.Tensor] = []
            for index, name in enumerate(run):
                block = model.get_submodule(f"{path}.{name}" if path else name)
                block.forward = _momentum_forward(block.forward, velocities, index == 0, gamma)


def _momentum_forward(forward, velocities: list, is_first: bool, gamma: float):
    """A momentum step by the `forward` of a block; all blocks of a run share the velocities."""

    def step(x, *args, **kwargs):
        result = forward(x, *args, **kwargs)
        y = result[0] if isinstance(result, tuple) else result
        v = gamma * (0 if is_first else velocities[-1]) + (1 - gamma) * (y - x)
        velocities.append(v)
        return (x + v, *result[1:]) if isinstance(result, tuple) else x + v

    return step
