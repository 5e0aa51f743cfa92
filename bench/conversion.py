"""Peak memory and time of a training step of small models of other libraries, by mode.

Each number is of a process of its own. Memory is the most that the allocator held during a training
step beyond the weights: activations, gradients, working memory. It prints the table of
docs/conversion.md:

    python bench/conversion.py
"""

import subprocess
import sys
import time
import warnings
from functools import partial

import torch
from torch import nn

import odenet
from odenet.footprint.allocator import Peak

MODES = ("original", "checkpointed", "converted")


def models():
    """Name -> a function that makes a model, and what it is called with."""
    import timm
    import torchvision
    import transformers as hf

    ids = torch.randint(0, 100, (4, 128))
    words = {"vocab_size": 100, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    wide = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512}
    bert = {**wide, "num_hidden_layers": 16, "vocab_size": 100, "use_cache": False}
    llama = {**wide, **words, "num_hidden_layers": 16, "use_cache": False}
    gpt = {"n_embd": 128, "n_layer": 16, "n_head": 4, "n_positions": 128, "use_cache": False}
    vit = {"img_size": 64, "patch_size": 4, "embed_dim": 128, "num_heads": 4, "depth": 16}
    picture = torch.randn(8, 3, 64, 64)
    of_timm = partial(timm.create_model, num_classes=10)
    layer = partial(nn.TransformerDecoderLayer, 128, 4, 512, batch_first=True)
    two = torch.randn(4, 128, 128), torch.randn(4, 128, 128)
    return {
        "transformers GPT-2, 16 layers": lambda: (
            hf.GPT2LMHeadModel(hf.GPT2Config(**gpt, **words)),
            (ids,),
        ),
        "transformers Llama, 16 layers": lambda: (
            hf.LlamaForCausalLM(hf.LlamaConfig(**llama)),
            (ids,),
        ),
        "transformers BERT, 16 layers": lambda: (hf.BertModel(hf.BertConfig(**bert)), (ids,)),
        "nn.TransformerDecoder, 16 layers": lambda: (nn.TransformerDecoder(layer(), 16), two),
        "timm ViT, 16 layers": lambda: (of_timm("vit_tiny_patch16_224", **vit), (picture,)),
        "timm ConvNeXt-atto": lambda: (of_timm("convnext_atto"), (picture,)),
        "timm ResNetV2-50": lambda: (of_timm("resnetv2_50"), (picture,)),
        "torchvision RegNetY-400MF": lambda: (torchvision.models.regnet_y_400mf(), (picture,)),
        "torchvision ResNet-50": lambda: (torchvision.models.resnet50(), (picture,)),
    }


def prepared(model: nn.Module, mode: str) -> nn.Module | None:
    """The model in a mode; None if it has no switch for that."""
    if mode == "checkpointed":
        if hasattr(model, "set_grad_checkpointing"):
            model.set_grad_checkpointing(True)
        elif hasattr(model, "gradient_checkpointing_enable"):
            model.gradient_checkpointing_enable()
        else:
            return None
    if mode == "converted":
        return odenet.convert(model, gamma=0.9, checkpoint=True)
    return model


def measure(name: str, mode: str) -> str:
    """MiB and seconds of a training step; nothing where the mode does not exist."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    made, given = models()[name]()
    model = prepared(made.train(), mode)
    if model is None:
        return "–"

    def step() -> None:
        out = model(*given)
        out = getattr(out, "logits", getattr(out, "last_hidden_state", out))
        out.square().mean().backward()

    step()
    model.zero_grad(set_to_none=True)
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
        model.zero_grad(set_to_none=True)
    with Peak("cpu") as peak:
        step()
    return f"{peak.highest / 2**20:.0f} MiB, {min(times):.2f} s"


def main() -> None:
    """The table, row by row."""
    print(f"| model | {' | '.join(MODES)} |\n|---|{'---:|' * len(MODES)}")
    for name in models():
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
