"""Peak memory of a training step of small models of other libraries, by mode.

Each number is of a process of its own: the most that the allocator held during a training step
beyond the weights, that is activations, gradients of the weights and working memory. It prints the
table of docs/conversion.md:

    python bench/conversion.py
"""

import subprocess
import sys
import warnings

import torch
from torch import nn

import odenet
from odenet.footprint.allocator import Peak

WIDE = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512}
WORDS = {"vocab_size": 100, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
LAYERS = 16


def gpt2():
    """Of transformers."""
    from transformers import GPT2Config, GPT2LMHeadModel

    size = {"n_embd": 128, "n_layer": LAYERS, "n_head": 4, "n_positions": 128, "use_cache": False}
    return GPT2LMHeadModel(GPT2Config(**size, **WORDS)), (torch.randint(0, 100, (4, 128)),)


def llama():
    """Of transformers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**WIDE, **WORDS, num_hidden_layers=LAYERS, use_cache=False)
    return LlamaForCausalLM(config), (torch.randint(0, 100, (4, 128)),)


def decoder():
    """Of torch."""
    layer = nn.TransformerDecoderLayer(128, 4, 512, batch_first=True)
    return nn.TransformerDecoder(layer, LAYERS), tuple(torch.randn(2, 4, 128, 128))


def of_timm(name, **options):
    """Any of timm."""
    from timm import create_model

    return create_model(name, num_classes=10, **options), (torch.randn(8, 3, 64, 64),)


def of_torchvision(name):
    """Any of torchvision."""
    from torchvision.models import get_model

    return get_model(name, weights=None), (torch.randn(8, 3, 64, 64),)


VIT = {"img_size": 64, "patch_size": 4, "embed_dim": 128, "num_heads": 4, "depth": LAYERS}
MODELS = {
    "GPT-2 (transformers), 16 layers": gpt2,
    "Llama (transformers), 16 layers": llama,
    "`nn.TransformerDecoder`, 16 layers": decoder,
    "ViT (timm), 16 layers": lambda: of_timm("vit_tiny_patch16_224", **VIT),
    "ConvNeXt-atto (timm)": lambda: of_timm("convnext_atto"),
    "RegNetY-400MF (torchvision)": lambda: of_torchvision("regnet_y_400mf"),
    "ResNet-50 (torchvision)": lambda: of_torchvision("resnet50"),
}


def checkpointed(model):
    """The library's own switch; None where it has none."""
    if hasattr(model, "set_grad_checkpointing"):
        model.set_grad_checkpointing(True)
    elif hasattr(model, "gradient_checkpointing_enable"):
        model.gradient_checkpointing_enable()
    else:
        return None
    return model


MODES = {
    "original": lambda model: model,
    "the library's checkpointing": checkpointed,
    "converted, γ = 0.9": lambda model: odenet.convert(model, checkpoint=True),
}


def measure(name: str, mode: str) -> str:
    """MiB of a training step; nothing where there is no such mode."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    made, given = MODELS[name]()
    model = MODES[mode](made.train())
    if model is None:
        return "–"
    for _ in range(2):  # what a first step makes once is not counted
        model.zero_grad(set_to_none=True)
        with Peak("cpu") as peak:
            out = model(*given)
            out = getattr(out, "logits", out)
            out.square().mean().backward()
        del out
    return f"{peak.highest / 2**20:.0f}"


def main() -> None:
    """The table, row by row."""
    print(f"| MiB | {' | '.join(MODES)} |\n|---|{'---:|' * len(MODES)}", flush=True)
    for name in MODELS:
        cells = []
        for mode in MODES:
            command = [sys.executable, __file__, name, mode]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            cells.append(done.stdout.strip().splitlines()[-1] if done.returncode == 0 else "failed")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(measure(*sys.argv[1:]))
    else:
        main()
