"""Memory that conversion saves for models of other libraries: measured, and predicted by `advise`.

    python bench/conversion.py [TEXT]

prints the table of docs/conversion.md, or the rows with TEXT in their titles. Each model is
measured in a process of its own, as it is, checkpointed and converted: the most that the allocator
holds during a training step beyond the weights, that is activations, gradients of the weights and
working memory; and the same when SGD updates the weights within the backward pass. The relative
error of the prediction by `odenet.advise` follows in brackets. The last column is the CPU time of a
step of the checkpointed and the converted model, relative to the original.
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

# Settings of models of transformers that make them small.
SIZES = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512}
TOKENS = {"vocab_size": 100, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
LAYERS = 16


def token_ids():
    """A batch of random token ids, as the only argument of a model."""
    return (torch.randint(0, 100, (4, 128)),)


def gpt2(layers=LAYERS, width=128):
    """GPT-2 of transformers, and a batch."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": width, "n_layer": layers, "n_head": 4, "n_positions": 128}
    return GPT2LMHeadModel(GPT2Config(**sizes, **TOKENS, use_cache=False)), token_ids()


def llama():
    """Llama of transformers, and a batch."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**SIZES, **TOKENS, num_hidden_layers=LAYERS, use_cache=False)
    return LlamaForCausalLM(config), token_ids()


def bert():
    """BERT of transformers, and a batch."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(**SIZES, vocab_size=100, num_hidden_layers=8)
    return BertForMaskedLM(config), token_ids()


def decoder():
    """The `nn.TransformerDecoder` of torch, and a batch with its memory."""
    layer = nn.TransformerDecoderLayer(d_model=128, nhead=4, dim_feedforward=512, batch_first=True)
    target, memory = torch.randn(2, 4, 128, 128)
    return nn.TransformerDecoder(layer, LAYERS), (target, memory)


def timm_model(name, size=64, batch=8, **options):
    """A model of timm, and a batch of pictures."""
    from timm import create_model

    return create_model(name, num_classes=10, **options), (torch.randn(batch, 3, size, size),)


def torchvision_model(name, size=64, batch=8):
    """A model of torchvision, and a batch of pictures."""
    from torchvision.models import get_model

    return get_model(name, weights=None), (torch.randn(batch, 3, size, size),)


def vit_b():
    """A ViT-B of torchvision with two of its layers, and a batch of pictures."""
    from torchvision.models import VisionTransformer

    sizes = {"num_layers": 2, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072}
    model = VisionTransformer(image_size=96, patch_size=16, **sizes)
    return model, (torch.randn(4, 3, 96, 96),)


VIT_SIZES = {"img_size": 64, "patch_size": 4, "embed_dim": 128, "num_heads": 4, "depth": LAYERS}
MODELS = {  # functions that give a model and its positional arguments, by titles of rows
    "GPT-2 (transformers), 16 layers": gpt2,
    "GPT-2, 6 layers, 256 wide": partial(gpt2, layers=6, width=256),
    "Llama (transformers), 16 layers": llama,
    "BERT (transformers), 8 layers": bert,
    "`nn.TransformerDecoder`, 16 layers": decoder,
    "ViT (timm), 16 layers": partial(timm_model, "vit_tiny_patch16_224", **VIT_SIZES),
    "ViT-B (torchvision), 2 layers": vit_b,
    "ConvNeXt-atto (timm)": partial(timm_model, "convnext_atto"),
    "ConvNeXt-tiny (torchvision)": partial(torchvision_model, "convnext_tiny"),
    "RegNetY-400MF (torchvision)": partial(torchvision_model, "regnet_y_400mf"),
    "MobileNetV3-small (torchvision)": partial(torchvision_model, "mobilenet_v3_small"),
    "EfficientNet-B0 (timm)": partial(timm_model, "efficientnet_b0"),
    "Swin-T (torchvision)": partial(torchvision_model, "swin_t", batch=4),
    "ResNet-18 (torchvision), batch 16": partial(torchvision_model, "resnet18", batch=16),
    "ResNet-50 (torchvision)": partial(torchvision_model, "resnet50"),
    "ResNet-50 (torchvision), 96×96": partial(torchvision_model, "resnet50", size=96),
    "ResNet-50 (torchvision), batch 32 of 224×224": partial(
        torchvision_model, "resnet50", size=224, batch=32
    ),
    "DenseNet-121 (torchvision)": partial(torchvision_model, "densenet121"),
}


def checkpointed_by_library(model):
    """The model with its library's own checkpointing turned on; None if it has none."""
    if hasattr(model, "set_grad_checkpointing"):
        model.set_grad_checkpointing(True)
    elif hasattr(model, "gradient_checkpointing_enable"):
        model.gradient_checkpointing_enable()
    else:
        return None
    return model


def checkpointed(model):
    """The model with a checkpoint around each block of its stages.

    The stages are the containers in which odenet finds residual blocks, or else `model.features`;
    a block is a child of one that has children of its own, and weights of two axes or more.
    """
    paths = list(odenet.conversion.find_blocks(model).runs)
    stages = [model.get_submodule(path) for path in paths] or [model.features]
    for block in (block for stage in stages for block in stage.children()):
        if any(p.ndim > 1 for p in block.parameters()) and list(block.children()):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    return model


def converted(model, checkpoints_rest=False):
    """The model converted by odenet; None if nothing in it can be converted."""
    try:
        return odenet.convert(model, checkpoint=checkpoints_rest)
    except ValueError:
        return None


PEAK, PEAK_IN_BACKWARD, SECONDS = range(3)  # places in what `measure` and `predict` give

METHODS = {  # functions that change a model in place or give None, by titles of columns
    "original": lambda model: model,
    "the library's checkpointing": checkpointed_by_library,
    "checkpointed": checkpointed,
    "converted": converted,
    "converted, the rest checkpointed": partial(converted, checkpoints_rest=True),
}


def loss(output):
    """The mean square of a model's output, or of its logits."""
    return getattr(output, "logits", output).square().mean()


def measure_step(model, arguments):
    """The peak of a training step in bytes, and its CPU seconds, the lower of two measurements."""
    seconds, highest = [], 0
    for _ in range(2):  # the second peak counts: a first step may allocate what stays
        model.zero_grad(set_to_none=True)
        with Peak("cpu") as peak:
            loss(model(*arguments)).backward()
        highest = peak.highest
    for _ in range(2):
        model.zero_grad(set_to_none=True)
        start = time.process_time()
        loss(model(*arguments)).backward()
        seconds.append(time.process_time() - start)
    return highest, min(seconds)


def measure(name: str) -> dict:
    """For each method: the peak of a step, that with the update in the backward pass, seconds.

    Methods that cannot be applied to the model are left out.
    """
    results = {}
    for method, change in METHODS.items():
        original, arguments = MODELS[name]()
        model = change(original.train())
        if model is None:
            continue
        peak, seconds = measure_step(model, arguments)
        model.zero_grad(set_to_none=True)
        odenet.OptimizerInBackward(model, torch.optim.SGD(model.parameters(), lr=1e-6))
        peak_in_backward, _ = measure_step(model, arguments)
        results[method] = peak, peak_in_backward, seconds
        del original, model
        gc.collect()
    return results


def predict(name: str) -> dict:
    """For each method: both peaks of `measure`, as `odenet.advise` predicts them."""
    model, arguments = MODELS[name]()
    advice = odenet.advise(model, arguments, loss=loss)
    return {way.name: (way.peak, way.in_backward) for way in advice.ways}


def cell(measured, predicted, index: int) -> str:
    """A measured peak in MiB, and the relative error of its prediction.

    Args:
        measured: the result of `measure` for one method; None if it was not measured.
        predicted: that of `predict` for the method; None if there is no prediction.
        index: PEAK or PEAK_IN_BACKWARD.
    """
    if measured is None:
        return "–"
    error = f" ({predicted[index] / measured[index] - 1:+.0%})" if predicted else ""
    return f"{measured[index] / 2**20:.0f}{error}"


def main(names) -> None:
    """Prints the table: for each model, a row without and one with the update in backward."""
    print(
        f"| MiB | {' | '.join(METHODS)} | time |\n|---|{'---:|' * (len(METHODS) + 1)}", flush=True
    )
    for name in names:
        command = [sys.executable, __file__, "measure", name]
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        predicted, measured = json.loads(child.stdout.splitlines()[-1])
        steps = [measured.get(method) for method in ("checkpointed", "converted")]
        original_seconds = measured["original"][SECONDS]
        times = [f"{s[SECONDS] / original_seconds:.2f}" if s else "–" for s in steps]
        rows = ((name, PEAK, " / ".join(times)), ("update in backward", PEAK_IN_BACKWARD, ""))
        for title, index, time_cell in rows:
            cells = [cell(measured.get(m), predicted.get(m), index) for m in METHODS]
            print(f"| {title} | {' | '.join(cells)} | {time_cell} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:  # measure NAME: a process that `main` has started
        torch.manual_seed(0)
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        print(json.dumps((predict(sys.argv[2]), measure(sys.argv[2]))))
    else:
        main([name for name in MODELS if len(sys.argv) < 2 or sys.argv[1] in name])
