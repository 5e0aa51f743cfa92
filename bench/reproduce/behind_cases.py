"""What behind.py runs: changes of a base, and recipes for the networks that matter."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from runs import SPECS

IMAGE = "[pad_crop(2), flip, standardise(image)]"


@dataclass(frozen=True)
class Case:
    """A network and a recipe.

    Args:
        name: in the records and tables.
        spec: of specs/behind.
        settings: what differs from the spec.
    """

    name: str
    spec: str
    settings: Mapping[str, object]

    def identity(self, seed: int) -> dict[str, object]:
        """What tells a run from others, in its record."""
        content = (SPECS / "behind" / f"{self.spec}.ode").read_bytes()
        settings = {key: str(value) for key, value in self.settings.items()}
        spec = sha256(content).hexdigest()[:12]
        return {"case": self.name, "seed": seed, "spec": spec, "settings": settings}


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
NETWORKS = ("base", "h × 2.5", "h × 2.5, batch norm inside", "ResNet")
WIDE = {"hamiltonian": 32, "norm_inside": 32, "resnet": 16}  # twice the w of these specs
FASHION = {"data": "fashion_mnist", "colours": 1, "size": 14, "fraction": 1, "augment": "[]"}
ENDS = ("base", "ResNet")
RIVALS = ("base", "h × 2.5, batch norm inside", "ResNet")
RECIPES: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "rate × 3": ({"rate": 0.3}, RIVALS),
    "rate × 1/3": ({"rate": 0.03}, ("ResNet",)),
    "steps × 2": ({"repeat": 16}, ENDS),
    "standardised image by image": ({"augment": IMAGE}, ENDS),
    "no augmentation": ({"augment": "[]"}, ENDS),
    "Fashion-MNIST at 14 × 14, 1,200 steps": ({**FASHION, "repeat": 2}, RIVALS),
    "w × 2, all 10,000 pictures, 800 steps": ({"fraction": 1, "w": WIDE}, NETWORKS),
}


def _by(recipe: str, settings: Mapping[str, object], network: str) -> Case:
    """A network by a recipe; where the recipe widens, each by its own width."""
    case = next(case for case in CHANGES if case.name == network)
    wide = {"w": WIDE[case.spec]} if "w" in settings else {}
    return Case(f"{network}, {recipe}", case.spec, {**case.settings, **settings, **wide})


PAIRS = tuple(
    _by(recipe, settings, network)
    for recipe, (settings, networks) in RECIPES.items()
    for network in networks
)
CASES = {case.name: case for case in (*CHANGES, *PAIRS)}
