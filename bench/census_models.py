"""Small networks of timm, torchvision and transformers with random weights, and their inputs."""

import inspect

import torch

MAX_PARAMETERS = 45e6  # a larger network is not tried


def random_tensor(*shape):
    """A tensor of normal numbers, the same at each call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def parameter_count(make_model):
    """The parameters of the model that a function makes, found on the device "meta".

    0 if the function reads values of tensors, which have none there.
    """
    try:
        with torch.device("meta"):
            return sum(p.numel() for p in make_model().parameters())
    except NotImplementedError:
        return 0


def first_that_runs(trials):
    """The first model that runs on one of its inputs, and that input.

    Args:
        trials: pairs of functions: one makes a model, the other lists inputs for it; an input is a
            tuple of arguments or a dictionary of keyword arguments.

    Raises:
        ValueError: if no model runs; it has the reasons of the first and the last failure.
    """
    reasons = []
    for make_model, list_inputs in trials:
        try:
            if parameter_count(make_model) > MAX_PARAMETERS:
                raise ValueError("too large")
            model = make_model().eval()
        except Exception as error:  # the network is foreign code, which may raise anything
            reasons.append(str(error)[:100])
            continue
        for inputs in list_inputs(model):
            try:
                with torch.no_grad():
                    model(**inputs) if isinstance(inputs, dict) else model(*inputs)
                return model, inputs
            except Exception as error:
                reasons.append(str(error)[:100])
    raise ValueError(f"not made small: {reasons[:1]} … {reasons[-1:]}")


def timm_names():
    """The modules of timm; each holds a family of networks."""
    import timm

    return timm.list_modules()


def timm_model(module):
    """A small network of a module of timm, of three blocks if that is an option, and an input."""
    import timm

    names = timm.list_models(module=module)
    small = [
        n for part in ("test_", "atto", "nano", "tiny", "18", "b0") for n in names if part in n
    ]
    sizes = {}
    for name in dict.fromkeys([*small[:5], names[0]]):  # a few candidates for the smallest
        try:
            sizes[name] = parameter_count(lambda name=name: timm.create_model(name))
        except Exception:  # some cannot be made on "meta"
            continue
    name = min(sizes, key=sizes.get)
    options_to_try = [{"img_size": 32, "depth": 3}, {"img_size": 64, "depth": 3}]
    options_to_try += [{"img_size": 32}, {"img_size": 64}, {"img_size": 128}, {}]

    def pictures(model):
        default_size = model.pretrained_cfg["input_size"][-1]
        return [(random_tensor(2, 3, size, size),) for size in (32, 64, 128, default_size)]

    return first_that_runs(
        (lambda options=options: timm.create_model(name, num_classes=5, **options), pictures)
        for options in options_to_try
    )


def torchvision_names():
    """The networks of torchvision that take one tensor: classifiers, segmentation, video."""
    from torchvision import models

    excluded = ("rcnn", "fcos", "retinanet", "ssd", "quantized", "raft")
    return [name for name in models.list_models() if not any(part in name for part in excluded)]


def torchvision_model(name):
    """A network of torchvision, and a picture or video of 64×64, or of the size that it needs."""
    from torchvision import models

    options = {"weights_backbone": None} if "_resnet" in name or "lraspp" in name else {}
    if name.startswith("vit"):  # a multiple of the patch size, which is 14, 16 or 32
        options["image_size"] = 28 if "14" in name else 32
    shapes = [(2, 3, size, size) for size in (options.get("image_size", 64), 96, 224)]
    shapes += [(2, 3, 8, 64, 64), (2, 3, 16, 64, 64), (1, 3, 16, 224, 224)]

    def make_model():
        return models.get_model(name, weights=None, **options)

    return first_that_runs(
        [(make_model, lambda model: [(random_tensor(*shape),) for shape in shapes])]
    )


# Names that configurations of transformers have for sizes, and the small values that they get here.
WIDTHS = "hidden_size d_model n_embd dim embed_dim embedding_size word_embed_proj_dim hidden_dim"
DEPTHS = "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers"
HEADS = "num_attention_heads n_head n_heads num_heads encoder_attention_heads"
MLP_WIDTHS = "intermediate_size ffn_dim encoder_ffn_dim decoder_ffn_dim d_ff d_inner"
SMALL_SIZES = {
    **dict.fromkeys(WIDTHS.split(), 32),
    **dict.fromkeys(DEPTHS.split(), 4),
    **dict.fromkeys([*HEADS.split(), "decoder_attention_heads"], 4),
    **dict.fromkeys(MLP_WIDTHS.split(), 48),
    **dict.fromkeys(("head_dim", "d_kv", "v_head_dim", "qk_nope_head_dim", "patch_size"), 8),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "num_frames"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok", "num_input_channels"), 2),
    **{"vocab_size": 99, "image_size": 32, "moe_intermediate_size": 16, "num_mel_bins": 16},
    **{"q_lora_rank": 16, "kv_lora_rank": 16, "context_length": 16, "max_position_embeddings": 64},
}


def transformers_names():
    """The families of transformers, as its configurations call them."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return list(MODEL_MAPPING_NAMES)


def small_settings(config, shrinks_stages):
    """Settings of a configuration that make its model small.

    Args:
        config: the default one.
        shrinks_stages: whether lists of the depths of stages are replaced, too.
    """
    settings = {}
    for name, value in vars(config).items():
        if hasattr(value, "model_type"):
            nested = small_settings(value, shrinks_stages)
            settings[name] = {**nested, "model_type": value.model_type}
        elif isinstance(value, int) and not isinstance(value, bool):
            if name in SMALL_SIZES:
                settings[name] = min(SMALL_SIZES[name], value)
            elif name.endswith("_token_id") and value >= SMALL_SIZES["vocab_size"]:
                # One of the last ids of the vocabulary, by a hash of the name that is always equal.
                settings[name] = 90 + sum(map(ord, name)) % 9
        elif (
            name in ("depths", "num_layers") and shrinks_stages and isinstance(value, list | tuple)
        ):
            settings[name] = [2] * len(value)
    return settings


def transformers_model(name):
    """A small model of a family of transformers, without a head, and an input."""
    from transformers import AutoConfig, AutoModel

    default = AutoConfig.for_model(name)

    def make_model(shrinks_stages):
        config = AutoConfig.for_model(name, **small_settings(default, shrinks_stages))
        config._experts_implementation = "eager"  # the others compute in single precision
        return AutoModel.from_config(config)

    return first_that_runs(
        (lambda shrinks=shrinks: make_model(shrinks), transformers_inputs)
        for shrinks in (True, False)
    )


def transformers_inputs(model):
    """Inputs that a model may take: padded texts, pictures, videos, sounds, time series."""
    parameters, config = inspect.signature(model.forward).parameters, model.config
    size, bins = getattr(config, "image_size", 32), getattr(config, "num_mel_bins", 80)
    # Ids of no special tokens: those are the first few, or from 90 on (`small_settings`).
    ids = torch.randint(3, 88, (2, 8), generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[1] * 8, [1] * 6 + [0] * 2])  # the second text is padded
    texts = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": ids[:, :6]}
    text_inputs = {key: value for key, value in texts.items() if key in parameters}
    decoder_ids = {key: value for key, value in text_inputs.items() if key == "decoder_input_ids"}
    shapes = {  # to try one after another, for each keyword argument
        "pixel_values": [(2, 3, size, size), (2, 4, 3, size, size), (2, 3, 64, 64)],
        "input_values": [(2, 400), (2, 4000), (2, getattr(config, "max_length", 64), bins)],
        "input_features": [(2, bins, 128), (2, 64, bins), (2, bins, 3000)],
        "past_values": [(2, 16, 2)],
    }
    inputs = [text_inputs] if "input_ids" in parameters else []
    for key, shapes_of_key in shapes.items():
        if key in parameters:
            inputs += [{key: random_tensor(*shape), **decoder_ids} for shape in shapes_of_key]
    return inputs


LIBRARIES = {  # two functions: one lists names, the other gives the model of a name, and an input
    "timm": (timm_names, timm_model),
    "torchvision": (torchvision_names, torchvision_model),
    "transformers": (transformers_names, transformers_model),
}
