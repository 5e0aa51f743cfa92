"""Peak memory of a training step of models of other libraries, by mode, beside what is predicted.

Each model is measured in a process of its own: the most that the allocator held during a training
step beyond the weights, that is activations, gradients of the weights and working memory; and the
same where SGD acts in the backward pass. Behind each is by how much `odenet.advise` is off. The
last column is CPU time of a step, of checkpointed and converted networks beside the original. It
prints the table of docs/conversion.md:

    python bench/conversion.py
"""

import gc
import json
import subprocess
import sys
import time
import warnings
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import odenet
from odenet.footprint.allocator import Peak

WIDE = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512}
WORDS = {"vocab_size": 100, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
LAYERS = 16


def words():
    """A batch of token ids."""
    return (torch.randint(0, 100, (4, 128)),)


def gpt2(layers=LAYERS, width=128):
    """Of transformers."""
    from transformers import GPT2Config, GPT2LMHeadModel

    size = {"n_embd": width, "n_layer": layers, "n_head": 4, "n_positions": 128}
    return GPT2LMHeadModel(GPT2Config(**size, **WORDS, use_cache=False)), words()


def llama():
    """Of transformers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**WIDE, **WORDS, num_hidden_layers=LAYERS, use_cache=False)
    return LlamaForCausalLM(config), words()


def bert():
    """Of transformers."""
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(BertConfig(**WIDE, vocab_size=100, num_hidden_layers=8)), words()


def decoder():
    """Of torch."""
    layer = nn.TransformerDecoderLayer(128, 4, 512, batch_first=True)
    return nn.TransformerDecoder(layer, LAYERS), tuple(torch.randn(2, 4, 128, 128))


def of_timm(name, size=64, batch=8, **options):
    """Any of timm."""
    from timm import create_model

    return create_model(name, num_classes=10, **options), (torch.randn(batch, 3, size, size),)


def of_torchvision(name, size=64, batch=8):
    """Any of torchvision."""
    from torchvision.models import get_model

    return get_model(name, weights=None), (torch.randn(batch, 3, size, size),)


def vit_b():
    """Of torchvision, two layers of it."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(96, 16, 2, 12, 768, 3072), (torch.randn(4, 3, 96, 96),)


VIT = {"img_size": 64, "patch_size": 4, "embed_dim": 128, "num_heads": 4, "depth": LAYERS}
MODELS = {
    "GPT-2 (transformers), 16 layers": gpt2,
    "GPT-2, 6 layers, 256 wide": partial(gpt2, 6, 256),
    "Llama (transformers), 16 layers": llama,
    "BERT (transformers), 8 layers": bert,
    "`nn.TransformerDecoder`, 16 layers": decoder,
    "ViT (timm), 16 layers": partial(of_timm, "vit_tiny_patch16_224", **VIT),
    "ViT-B (torchvision), 2 layers": vit_b,
    "ConvNeXt-atto (timm)": partial(of_timm, "convnext_atto"),
    "ConvNeXt-tiny (torchvision)": partial(of_torchvision, "convnext_tiny"),
    "RegNetY-400MF (torchvision)": partial(of_torchvision, "regnet_y_400mf"),
    "MobileNetV3-small (torchvision)": partial(of_torchvision, "mobilenet_v3_small"),
    "EfficientNet-B0 (timm)": partial(of_timm, "efficientnet_b0"),
    "Swin-T (torchvision)": partial(of_torchvision, "swin_t", batch=4),
    "ResNet-18 (torchvision), batch 16": partial(of_torchvision, "resnet18", batch=16),
    "ResNet-50 (torchvision)": partial(of_torchvision, "resnet50"),
    "ResNet-50 (torchvision), 96×96": partial(of_torchvision, "resnet50", 96),
    "ResNet-50 (torchvision), batch 32 of 224×224": partial(of_torchvision, "resnet50", 224, 32),
    "DenseNet-121 (torchvision)": partial(of_torchvision, "densenet121"),
}


def by_the_library(model):
    """The library's own switch; None where it has none."""
    if hasattr(model, "set_grad_checkpointing"):
        model.set_grad_checkpointing(True)
    elif hasattr(model, "gradient_checkpointing_enable"):
        model.gradient_checkpointing_enable()
    else:
        return None
    return model


def checkpointed(model):
    """Each block of a list or stage that a flow would take a block of; else of all lists."""
    paths = list(odenet.conversion.find_blocks(model).runs)
    holders = [model.get_submodule(path) for path in paths] or [model.features]
    for block in (block for holder in holders for block in holder.children()):
        if any(p.ndim > 1 for p in block.parameters()) and list(block.children()):
            forward = block.forward
            block.forward = partial(checkpoint, forward, use_reentrant=False)
    return model


def converted(model, rest=False):
    """None where nothing can be."""
    try:
        return odenet.convert(model, checkpoint=rest)
    except ValueError:
        return None


LIBRARY = "the library's checkpointing"
MODES = {
    "original": lambda model: model,
    LIBRARY: by_the_library,
    "checkpointed": checkpointed,
    "converted": converted,
    "converted, the rest checkpointed": partial(converted, rest=True),
}


def loss(out):
    """Of what any of them gives."""
    return getattr(out, "logits", out).square().mean()


def step(model, given):
    """The peak of a training step in bytes, and its CPU time; the less of two."""
    seconds, highest = [], 0
    for _ in range(2):  # what a first step makes once is not counted
        model.zero_grad(set_to_none=True)
        with Peak("cpu") as peak:
            loss(model(*given)).backward()
        highest = peak.highest
    for _ in range(2):
        model.zero_grad(set_to_none=True)
        begun = time.process_time()
        loss(model(*given)).backward()
        seconds.append(time.process_time() - begun)
    return highest, min(seconds)


def measure(name: str) -> dict:
    """By mode: peaks of a step, plain and with the update in the backward pass, and seconds."""
    found = {}
    for mode, change in MODES.items():
        made, given = MODELS[name]()
        model = change(made.train())
        if model is None:
            continue
        plain, seconds = step(model, given)
        model.zero_grad(set_to_none=True)
        odenet.OptimizerInBackward(model, torch.optim.SGD(model.parameters(), lr=1e-6))
        found[mode] = plain, step(model, given)[0], seconds
        del made, model
        gc.collect()
    return found


def predict(name: str) -> dict:
    """The same peaks by way, as they are predicted."""
    model, given = MODELS[name]()
    advice = odenet.advise(model, given, loss=loss)
    return {way.name: (way.peak, way.in_backward) for way in advice.ways}


def cell(found, known, place: int) -> str:
    """MiB, and by how much the prediction is off."""
    if found is None:
        return "–"
    off = f" ({known[place] / found[place] - 1:+.0%})" if known else ""
    return f"{found[place] / 2**20:.0f}{off}"


def main(names) -> None:
    """The table, two rows for each model as it is measured."""
    print(f"| MiB | {' | '.join(MODES)} | time |\n|---|{'---:|' * (len(MODES) + 1)}", flush=True)
    for name in names:
        command = [sys.executable, __file__, "measure", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        known, found = json.loads(done.stdout.splitlines()[-1])
        steps = [found.get(mode) for mode in ("checkpointed", "converted")]
        times = [f"{s[2] / found['original'][2]:.2f}" if s else "–" for s in steps]
        for place, kind in enumerate((f"{' / '.join(times)}", "")):
            cells = [cell(found.get(mode), known.get(mode), place) for mode in MODES]
            label = "update in backward" if place else name
            print(f"| {label} | {' | '.join(cells)} | {kind} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        print(json.dumps((predict(sys.argv[2]), measure(sys.argv[2]))))
    else:
        main([name for name in MODELS if len(sys.argv) < 2 or sys.argv[1] in name])
