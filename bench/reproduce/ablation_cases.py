"""What ablation.py runs: changes of the base network, and other recipes for some networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from runs import SPECS

IMAGE_BY_IMAGE = "[pad_crop(2), flip, standardise(image)]"


@dataclass(frozen=True)
class Case:
    """A network and how it is trained.

    Args:
        name: how the records and tables call it.
        spec: the name of a file in specs/ablation.
        settings: values that are set in that spec.
    """

    name: str
    spec: str
    settings: Mapping[str, object]

    def identity(self, seed: int) -> dict[str, object]:
        """The part of a record that identifies its run: the case, the seed, a hash of the spec."""
        content = (SPECS / "ablation" / f"{self.spec}.ode").read_bytes()
        settings = {key: str(value) for key, value in self.settings.items()}
        spec_hash = sha256(content).hexdigest()[:12]
        return {"case": self.name, "seed": seed, "spec": spec_hash, "settings": settings}


# The base has n = 3 steps in each of its two flows, h = 0.2, width w = 16 and learning rate 0.1. In
# names, "K × 2" says that the initial kernels are twice as large, and "equal hω" that the factors
# of h and K cancel in h times the frequency ω, which is quadratic in K.
CHANGES = (
    Case("base", "hamiltonian", {}),
    Case("ResNet", "resnet", {}),
    Case("ResNet without norms inside", "resnet_plain", {}),
    Case("batch norm inside: K^T σ(N(K Z) + b)", "norm_inside", {}),
    Case("batch norm outside: N(K^T σ(K Z + b))", "norm_outside", {}),
    Case("batch norm between units", "norm_units", {}),
    Case("Y and Z both start as u", "both", {}),
    Case("smooth = 2e-4", "hamiltonian", {"smooth": 2e-4}),
    Case("K × 1/2", "init_half", {}),
    Case("K × 2", "init_double", {}),
    Case("h × 1/4", "hamiltonian", {"h": 0.05}),
    Case("h × 2.5", "hamiltonian", {"h": 0.5}),
    Case("h × 5", "hamiltonian", {"h": 1}),
    Case("h × 2, K × 0.71: equal hω", "init_xavier", {"h": 0.4}),
    Case("h × 4, K × 1/2: equal hω", "init_half", {"h": 0.8}),
    Case("n × 2, h × 1/2", "hamiltonian", {"n": 6, "h": 0.1}),
    Case("h × 2.5, Y and Z both start as u", "both", {"h": 0.5}),
    Case("h × 2.5, batch norm inside", "norm_inside", {"h": 0.5}),
    Case("h × 5, batch norm inside", "norm_inside", {"h": 1}),
    Case("n × 2, h × 1.25, batch norm inside", "norm_inside", {"n": 6, "h": 0.25}),
)
# The cases that other recipes are tried on: all of them, and subsets.
NETWORKS = ("base", "h × 2.5", "h × 2.5, batch norm inside", "ResNet")
BASE_AND_RESNET = ("base", "ResNet")
BASE_BEST_AND_RESNET = ("base", "h × 2.5, batch norm inside", "ResNet")
DOUBLE_WIDTHS = {"hamiltonian": 32, "norm_inside": 32, "resnet": 16}  # twice the w of each spec
FASHION = {"data": "fashion_mnist", "colours": 1, "size": 14, "fraction": 1, "augment": "[]"}
# For each recipe, its settings and the networks that are trained by it. The base passes over its
# pictures 8 times (repeat = 8).
RECIPES: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "rate × 3": ({"rate": 0.3}, BASE_BEST_AND_RESNET),
    "rate × 1/3": ({"rate": 0.03}, ("ResNet",)),
    "steps × 2": ({"repeat": 16}, BASE_AND_RESNET),
    "standardised image by image": ({"augment": IMAGE_BY_IMAGE}, BASE_AND_RESNET),
    "no augmentation": ({"augment": "[]"}, BASE_AND_RESNET),
    "Fashion-MNIST at 14 × 14, 1,200 steps": ({**FASHION, "repeat": 2}, BASE_BEST_AND_RESNET),
    "w × 2, all 10,000 pictures, 800 steps": ({"fraction": 1, "w": DOUBLE_WIDTHS}, NETWORKS),
}


def _recipe_case(recipe: str, settings: Mapping[str, object], network: str) -> Case:
    """The case of a network and a recipe; if the recipe sets w, it is twice the network's own."""
    case = next(case for case in CHANGES if case.name == network)
    width = {"w": DOUBLE_WIDTHS[case.spec]} if "w" in settings else {}
    return Case(f"{network}, {recipe}", case.spec, {**case.settings, **settings, **width})


RECIPE_CASES = tuple(
    _recipe_case(recipe, settings, network)
    for recipe, (settings, networks) in RECIPES.items()
    for network in networks
)
CASES = {case.name: case for case in (*CHANGES, *RECIPE_CASES)}
