"""Networks of torchvision and timm by name, and converted ones in files."""

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
        name: of the network, as torchvision or timm has it.
        scheme: a name of the library, or the text of a scheme.
        v0: the initial speed, as `convert` takes it.
        constants: of the scheme.
        exact: whether its steps are taken in fixed point.
    """

    name: str
    scheme: str = "momentum"
    v0: str | int | None = None
    constants: dict[str, Any] = field(default_factory=dict)
    exact: bool = False

    @classmethod
    def by(cls, name: str, scheme: str, v0: str | int | None, given: dict, exact: bool):
        """A conversion by a scheme as `convert` takes it, which needs no file of it later on."""
        chosen = choose_scheme(scheme)
        text = chosen.text or chosen.scheme.name
        constants = {k: float(v) for k, v in chosen.merge_constants(given).items()}
        return cls(name, text, v0, constants, exact)

    @property
    def called(self) -> str:
        """The scheme's name."""
        return choose_scheme(self.scheme).scheme.name

    def apply(self, model: nn.Module) -> nn.Module:
        """A network, converted in this way."""
        return convert(model, self.scheme, v0=self.v0, exact=self.exact, **self.constants)


def build(
    name: str, weights: str | Path | None = "default", outputs: int | None = None
) -> nn.Module:
    """A network of torchvision, or of timm where that is installed.

    Args:
        name: such as resnet101, wide_resnet50_2 or resnext50_32x4d.
        weights: "default" for the library's best, a file with a state_dict, or None for random.
        outputs: numbers that the last layer gives; by default as many as the library's.

    Raises:
        ZooError: if there is no such network, or no such weights.
    """
    if weights is None or weights == "default":
        return _make(name, weights == "default", outputs)
    model, found = _make(name, False, outputs), stored_weights(name, weights)
    own = model.state_dict()
    other = [n for n in own if n in found and own[n].shape != found[n].shape]
    if why := difference(own, found, other):
        raise ZooError(f"{weights} does not hold weights of {name}: {why}")
    model.load_state_dict(found)
    return model


def stored_weights(name: str, weights: str | Path) -> dict[str, Tensor]:
    """The weights of a network, "default" for the library's best, or those in a file.

    Raises:
        ZooError: if there are none.
    """
    if weights == "default":
        return build(name).state_dict()
    try:
        return _read(weights)
    except (OSError, ValueError) as error:
        raise ZooError(f"{weights} does not hold weights of {name}: {_first_line(error)}") from None


def difference(
    own: Mapping[str, Tensor], found: Mapping[str, Tensor], other: Iterable[str]
) -> str | None:
    """The first difference of a network's weights to those of a file, in words; None for none.

    Args:
        own: of the network.
        found: of the file.
        other: names of those whose shapes differ and should not.
    """
    for name in found:
        if name not in own:
            return f"it has {name}, which this network has not"
    for name in own:
        if name not in found:
            return f"it has no {name}"
    for name in other:
        return f"its {name} is {tuple(found[name].shape)} and not {tuple(own[name].shape)}"
    return None


def _read(weights: str | Path) -> dict[str, Tensor]:
    """The state_dict in a file of torch or of safetensors, alone or within a checkpoint.

    Raises:
        OSError: if there is no such file.
        ValueError: if it holds none.
    """
    try:
        if Path(weights).suffix == ".safetensors":
            return load_file(weights)
        found: Any = torch.load(weights, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of any kind: a file may be anything
        if "GLOBAL" in str(error):
            raise ValueError(
                "it holds more than tensors, such as a whole model: write "
                "torch.save(model.state_dict(), FILE)"
            ) from None
        raise ValueError("it cannot be read: damaged, or no file of torch.save") from None
    for entry in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(entry), Mapping):
            found = found[entry]
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        raise ValueError("it holds no state_dict, which has a tensor for each name")
    within = "module."  # of a network that was wrapped for several devices
    if found and all(name.startswith(within) for name in found):
        return {name.removeprefix(within): tensor for name, tensor in found.items()}
    return dict(found)


def save(model: nn.Module, conversion: Conversion, file: str | Path) -> None:
    """Writes a converted network's weights and how to build it again.

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
        raise ZooError(f"{file} is not a converted network: {_first_line(error)}") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were given when it was converted
        model = conversion.apply(build(conversion.name, None))
    model.load_state_dict(saved["state_dict"])
    return model


def _make(name: str, pretrained: bool, outputs: int | None = None) -> nn.Module:
    require("train", f"the network `{name}`", "torchvision")
    from torchvision import models

    known = models.list_models()
    if name not in known:
        return _make_timm(name, pretrained, known, outputs)
    sized: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
    weights: dict[str, Any] = {"weights": "DEFAULT" if pretrained else None}
    if "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters:
        weights["weights_backbone"] = None  # by default those of ImageNet are fetched
    return _made(
        lambda: models.get_model(name, **weights, **sized), name, "torchvision", pretrained
    )


def _make_timm(name: str, pretrained: bool, known: list[str], outputs: int | None) -> nn.Module:
    try:
        import timm
    except ImportError:
        hint = _near(name, known) or "; timm is not installed"
        raise ZooError(f"torchvision does not have a model `{name}`{hint}") from None
    if not timm.is_model(name):
        hint = _near(name, known)
        raise ZooError(f"neither torchvision nor timm has a model `{name}`{hint}")
    sized: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
    return _made(
        lambda: timm.create_model(name, pretrained=pretrained, **sized), name, "timm", pretrained
    )


def _made(make: Callable[[], nn.Module], name: str, library: str, pretrained: bool) -> nn.Module:
    """What a library makes, without its advice on arguments that are not the user's."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()
    except Exception as error:  # of any kind: the code is not ours
        if pretrained:
            raise _no_weights(name, library, error) from None
        raise ZooError(f"{library} does not make {name}: {_first_line(error)}") from None


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _no_weights(name: str, library: str, error: Exception) -> ZooError:
    return ZooError(
        f"{library}'s weights of {name} cannot be loaded: {_first_line(error)}\n"
        "  = help: fetch them where there is a network and give the file, --weights FILE.pth; "
        "or --weights none for random ones"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
