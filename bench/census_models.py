"""Small networks of timm, torchvision and transformers with random weights, and their inputs."""

import inspect

import torch

MOST = 45e6  # weights, of what is tried


def drawn(*shape):
    """The same numbers for every network."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def weights(make):
    """How many a network would have; none is made. 0 where its making reads numbers."""
    try:
        with torch.device("meta"):
            return sum(p.numel() for p in make().parameters())
    except NotImplementedError:
        return 0


def first_that_runs(trials):
    """The first pair of a model and an input that run.

    Raises:
        ValueError: if none does; it says what the first and the last one lack.
    """
    why = []
    for make, inputs in trials:
        try:
            if weights(make) > MOST:
                raise ValueError("too large")
            model = make().eval()
        except Exception as error:  # of any kind: the code is not ours
            why.append(str(error)[:100])
            continue
        for given in inputs(model):
            try:
                with torch.no_grad():
                    model(**given) if isinstance(given, dict) else model(*given)
                return model, given
            except Exception as error:
                why.append(str(error)[:100])
    raise ValueError(f"not made small: {why[:1]} … {why[-1:]}")


def timm_names():
    """Its families."""
    import timm

    return timm.list_modules()


def of_timm(module):
    """The smallest of some of a family, cut to three blocks where that is an option."""
    import timm

    known = timm.list_models(module=module)
    small = [
        n for part in ("test_", "atto", "nano", "tiny", "18", "b0") for n in known if part in n
    ]
    sizes = {}
    for name in dict.fromkeys([*small[:5], known[0]]):
        try:
            sizes[name] = weights(lambda name=name: timm.create_model(name))
        except Exception:  # some cannot be made without memory
            continue
    name = min(sizes, key=sizes.get)
    fixed = [{"img_size": 32, "depth": 3}, {"img_size": 64, "depth": 3}, {"img_size": 32}]
    fixed += [{"img_size": 64}, {"img_size": 128}, {}]

    def pictures(model):
        own = model.pretrained_cfg["input_size"][-1]
        return [(drawn(2, 3, size, size),) for size in (32, 64, 128, own)]

    return first_that_runs(
        (lambda options=options: timm.create_model(name, num_classes=5, **options), pictures)
        for options in fixed
    )


def torchvision_names():
    """Classifiers, segmentation, video: what takes one tensor."""
    from torchvision import models

    others = ("rcnn", "fcos", "retinanet", "ssd", "quantized", "raft")
    return [name for name in models.list_models() if not any(part in name for part in others)]


def of_torchvision(name):
    """With pictures or videos of 64×64, or of the size that a network has."""
    from torchvision import models

    options = {"weights_backbone": None} if "_resnet" in name or "lraspp" in name else {}
    options |= {"image_size": 32 if "14" not in name else 28} if name.startswith("vit") else {}
    shapes = [(2, 3, size, size) for size in (options.get("image_size", 64), 96, 224)]
    shapes += [(2, 3, 8, 64, 64), (2, 3, 16, 64, 64), (1, 3, 16, 224, 224)]

    def make():
        return models.get_model(name, weights=None, **options)

    return first_that_runs([(make, lambda model: [(drawn(*shape),) for shape in shapes])])


WIDE = "hidden_size d_model n_embd dim embed_dim embedding_size word_embed_proj_dim hidden_dim"
DEEP = "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers"
HEADS = "num_attention_heads n_head n_heads num_heads encoder_attention_heads"
INNER = "intermediate_size ffn_dim encoder_ffn_dim decoder_ffn_dim d_ff d_inner"
SMALL = {
    **dict.fromkeys(WIDE.split(), 32),
    **dict.fromkeys(DEEP.split(), 4),
    **dict.fromkeys([*HEADS.split(), "decoder_attention_heads"], 4),
    **dict.fromkeys(INNER.split(), 48),
    **dict.fromkeys(("head_dim", "d_kv", "v_head_dim", "qk_nope_head_dim", "patch_size"), 8),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "num_frames"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok", "num_input_channels"), 2),
    **{"vocab_size": 99, "image_size": 32, "moe_intermediate_size": 16, "num_mel_bins": 16},
    **{"q_lora_rank": 16, "kv_lora_rank": 16, "context_length": 16, "max_position_embeddings": 64},
}


def transformers_names():
    """Its families, as configurations call them."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return list(MODEL_MAPPING_NAMES)


def shrunk(config, lists):
    """What to say in the place of a configuration's sizes; `lists` are of layers of stages."""
    found = {}
    for name, value in vars(config).items():
        if hasattr(value, "model_type"):
            found[name] = {**shrunk(value, lists), "model_type": value.model_type}
        elif isinstance(value, int) and not isinstance(value, bool):
            if name in SMALL:
                found[name] = min(SMALL[name], value)
            elif name.endswith("_token_id") and value > 98:
                found[name] = 90 + sum(map(ord, name)) % 9
        elif name in ("depths", "num_layers") and lists and isinstance(value, list | tuple):
            found[name] = [2] * len(value)
    return found


def of_transformers(name):
    """A family's model without a head."""
    from transformers import AutoConfig, AutoModel

    default = AutoConfig.for_model(name)

    def make(lists):
        config = AutoConfig.for_model(name, **shrunk(default, lists))
        config._experts_implementation = "eager"  # the others are of single precision
        return AutoModel.from_config(config)

    return first_that_runs((lambda lists=lists: make(lists), inputs) for lists in (True, False))


def inputs(model):
    """Texts with padding, pictures, videos, sounds and series, as far as a model takes them."""
    takes, config = inspect.signature(model.forward).parameters, model.config
    size, bins = getattr(config, "image_size", 32), getattr(config, "num_mel_bins", 80)
    ids = torch.randint(3, 88, (2, 8), generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[1] * 8, [1] * 6 + [0] * 2])
    texts = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": ids[:, :6]}
    known = {key: value for key, value in texts.items() if key in takes}
    decoder = {key: value for key, value in known.items() if key == "decoder_input_ids"}
    shapes = {
        "pixel_values": [(2, 3, size, size), (2, 4, 3, size, size), (2, 3, 64, 64)],
        "input_values": [(2, 400), (2, 4000), (2, getattr(config, "max_length", 64), bins)],
        "input_features": [(2, bins, 128), (2, 64, bins), (2, bins, 3000)],
        "past_values": [(2, 16, 2)],
    }
    trials = [known] if "input_ids" in takes else []
    for key, several in shapes.items():
        trials += [{key: drawn(*shape), **decoder} for shape in several if key in takes]
    return trials


LIBRARIES = {
    "timm": (timm_names, of_timm),
    "torchvision": (torchvision_names, of_torchvision),
    "transformers": (transformers_names, of_transformers),
}
