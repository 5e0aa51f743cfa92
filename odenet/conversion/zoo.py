"""Networks of torchvision and timm by name, their weights, and saving of converted networks."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from odenet.conversion.call_recorder import first_line
from odenet.conversion.model import convert
from odenet.conversion.schemes import choose_scheme
from odenet.extras import require
from odenet.files import atomic_writer


class ZooError(ValueError):
    """A network or its weights are not available; the text says why and what to do."""


@dataclass(frozen=True)
class Conversion:
    """How a network of a zoo was converted.

    Attributes:
        name: the network's name in torchvision or timm.
        scheme: a name of the library, or the text of a scheme.
        v0: the initial speed, as `convert` takes it.
        constants: the constants of the scheme.
        exact: whether steps are taken in fixed-point arithmetic.
    """

    name: str
    scheme: str = "momentum"
    v0: str | int | None = None
    constants: dict[str, Any] = field(default_factory=dict)
    exact: bool = False

    @classmethod
    def with_scheme(cls, name: str, scheme: str, v0: str | int | None, given: dict, exact: bool):
        """A conversion by a scheme as `convert` takes it; keeps the text of a file's scheme."""
        chosen = choose_scheme(scheme)
        text = chosen.text or chosen.scheme.name
        constants = {k: float(v) for k, v in chosen.merge_constants(given).items()}
        return cls(name, text, v0, constants, exact)

    @property
    def scheme_name(self) -> str:
        """The scheme's name."""
        return choose_scheme(self.scheme).scheme.name

    def apply(self, model: nn.Module) -> nn.Module:
        """Convert a network in this way."""
        return convert(model, self.scheme, v0=self.v0, exact=self.exact, **self.constants)


def build(
    name: str, weights: str | Path | None = "default", outputs: int | None = None
) -> nn.Module:
    """A network of torchvision, or of timm where that is installed.

    Args:
        name: the network's name there, such as resnet101, wide_resnet50_2 or resnext50_32x4d.
        weights: "default" for the library's best, a file with a state_dict, or None for random.
        outputs: outputs of the last layer; by default those of the library.

    Raises:
        ZooError: if there is no such network, or no such weights.
    """
    if weights is None or weights == "default":
        return _make(name, weights == "default", outputs)
    model, loaded = _make(name, pretrained=False, outputs=outputs), stored_weights(name, weights)
    expected = model.state_dict()
    mismatched = [n for n in expected if n in loaded and expected[n].shape != loaded[n].shape]
    if why := difference(expected, loaded, mismatched):
        raise ZooError(f"{weights} does not hold weights of {name}: {why}")
    model.load_state_dict(loaded)
    return model


def stored_weights(name: str, weights: str | Path) -> dict[str, Tensor]:
    """The weights of a network, "default" for the library's best, or those in a file.

    Raises:
        ZooError: if there are none.
    """
    if weights == "default":
        return build(name).state_dict()
    try:
        return _read_state_dict(weights)
    except (OSError, ValueError) as error:
        raise ZooError(f"{weights} does not hold weights of {name}: {first_line(error)}") from None


def difference(
    expected: Mapping[str, Tensor], loaded: Mapping[str, Tensor], mismatched: Iterable[str]
) -> str | None:
    """The first difference between the weights of a network and of a file, in words; None if none.

    Args:
        expected: the weights of the network.
        loaded: the weights of the file.
        mismatched: names of weights whose shapes differ and should not.
    """
    for name in loaded:
        if name not in expected:
            return f"it has {name}, which this network does not have"
    for name in expected:
        if name not in loaded:
            return f"it has no {name}"
    for name in mismatched:
        return f"its {name} is {tuple(loaded[name].shape)} and not {tuple(expected[name].shape)}"
    return None


def _read_state_dict(weights: str | Path) -> dict[str, Tensor]:
    """The state_dict in a file of torch or of safetensors, alone or within a checkpoint.

    Raises:
        OSError: if there is no such file.
        ValueError: if it holds none.
    """
    try:
        if Path(weights).suffix == ".safetensors":
            return load_file(weights)
        loaded: Any = torch.load(weights, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of any type: a file may hold anything
        if "GLOBAL" in str(error):
            raise ValueError(
                "it holds more than tensors, such as a whole model: write "
                "torch.save(model.state_dict(), FILE)"
            ) from None
        raise ValueError("it cannot be read: damaged, or not a file of torch.save") from None
    for entry in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(entry), Mapping):
            loaded = loaded[entry]
    if not isinstance(loaded, Mapping) or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise ValueError("it holds no state_dict, which has a tensor for each name")
    prefix = "module."  # of a network that was wrapped for several devices
    if loaded and all(name.startswith(prefix) for name in loaded):
        return {name.removeprefix(prefix): tensor for name, tensor in loaded.items()}
    return dict(loaded)


def save(model: nn.Module, conversion: Conversion, file: str | Path) -> None:
    """Write the weights of a converted network, and how it was converted.

    Raises:
        OSError: if the file cannot be written.
    """
    saved = {"converted": asdict(conversion), "state_dict": model.state_dict()}
    with atomic_writer(file) as stream:
        torch.save(saved, stream)


def restore(file: str | Path) -> nn.Module:
    """The network that `save` or ``odenet convert -o`` wrote.

    Raises:
        ZooError: if the file is not one of these.
    """
    try:
        saved: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        conversion = Conversion(**saved["converted"])
    except Exception as error:
        raise ZooError(f"{file} is not a converted network: {first_line(error)}") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were shown when it was converted
        model = conversion.apply(build(conversion.name, weights=None))
    model.load_state_dict(saved["state_dict"])
    return model


def _make(name: str, pretrained: bool, outputs: int | None = None) -> nn.Module:
    """A network of torchvision or timm, with the library's best weights or with random ones."""
    require("train", f"the network `{name}`", "torchvision")
    from torchvision import models

    known = models.list_models()
    if name not in known:
        return _make_timm(name, pretrained, known, outputs)
    sizes: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
    weights: dict[str, Any] = {"weights": "DEFAULT" if pretrained else None}
    if "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters:
        weights["weights_backbone"] = None  # by default those of ImageNet are fetched
    return _quietly(
        lambda: models.get_model(name, **weights, **sizes), name, "torchvision", pretrained
    )


def _make_timm(name: str, pretrained: bool, known: list[str], outputs: int | None) -> nn.Module:
    try:
        import timm
    except ImportError:
        hint = _suggestion(name, known) or "; timm is not installed"
        raise ZooError(f"torchvision does not have a model `{name}`{hint}") from None
    if not timm.is_model(name):
        hint = _suggestion(name, known)
        raise ZooError(f"neither torchvision nor timm has a model `{name}`{hint}")
    sizes: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
    return _quietly(
        lambda: timm.create_model(name, pretrained=pretrained, **sizes), name, "timm", pretrained
    )


def _quietly(make: Callable[[], nn.Module], name: str, library: str, pretrained: bool) -> nn.Module:
    """A network that a library makes, without its warnings; its errors become ZooErrors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()
    except Exception as error:  # of any type: it is the library's code
        if pretrained:
            raise _no_weights(name, library, error) from None
        raise ZooError(f"{library} cannot make {name}: {first_line(error)}") from None


def _suggestion(name: str, known: list[str]) -> str:
    similar = difflib.get_close_matches(name, known, 3)
    return f"; did you mean {' or '.join(similar)}?" if similar else ""


def _no_weights(name: str, library: str, error: Exception) -> ZooError:
    return ZooError(
        f"{library}'s weights of {name} cannot be loaded: {first_line(error)}\n"
        "  = help: fetch them where there is a network and give the file, --weights FILE.pth; "
        "or --weights none for random ones"
    )
