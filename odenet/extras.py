"""Libraries beyond the base installation: which extra has them, and the line that installs it.

`pip install odenet` is enough to compile, check and run generated modules. Code that needs more
libraries calls `require` before it does any work.
"""

from importlib.util import find_spec

# For each extra of pyproject.toml: the modules that odenet imports, with their names for pip.
EXTRAS = {
    "train": {
        "lightning": "lightning",
        "matplotlib": "matplotlib",
        "PIL": "pillow",
        "safetensors": "safetensors",
        "scipy": "scipy",
        "sklearn": "scikit-learn",
        "torchmetrics": "torchmetrics",
        "torchvision": "torchvision",
    },
    "adaptive": {"torchdiffeq": "torchdiffeq"},
    "export": {"onnx": "onnx", "onnxruntime": "onnxruntime", "onnxscript": "onnxscript"},
    "text": {"tokenizers": "tokenizers"},
    "report": {
        "jinja2": "jinja2",
        "latex2mathml": "latex2mathml",
        "matplotlib": "matplotlib",
        "pygments": "pygments",
    },
    "editor": {"lsprotocol": "lsprotocol", "pygls": "pygls"},
    "tensorboard": {"tensorboard": "tensorboard"},
    "wandb": {"wandb": "wandb"},
    "mlflow": {"mlflow": "mlflow-skinny"},
    "bench": {"matplotlib": "matplotlib"},  # libraries to compare with are optional
    "test": {"hypothesis": "hypothesis"},
}


class MissingLibraries(ImportError):
    """Something needs libraries that are not installed.

    Attributes:
        message: what needs which.
        help: the line that installs them.
    """

    def __init__(self, message: str, help: str):
        self.message = message
        self.help = help
        super().__init__(f"{message}: {help}")


def require(extra: str, feature: str, *modules: str) -> None:
    """Raise unless the libraries of an extra are installed; none of them is imported.

    Args:
        extra: a key of `EXTRAS`.
        feature: what needs them, in the words of a message.
        modules: those of the extra that it needs; all, if none is named.

    Raises:
        MissingLibraries: names those that are not installed, and how to install them.
    """
    known = EXTRAS[extra]
    missing = [known[module] for module in modules or known if find_spec(module) is None]
    if missing:
        several = f"{', '.join(missing[:-1])} and {missing[-1]}, which are not"
        which = several if len(missing) > 1 else f"{missing[0]}, which is not"
        raise MissingLibraries(
            f"{feature} needs {which} installed", f"pip install '.[{extra}]' in a clone of odenet"
        )
