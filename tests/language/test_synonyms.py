"""Spellings from PyTorch, JAX, NumPy, Julia and LaTeX are refused with the spelling of this language.

Help must not suggest a text that compiles to another model than the one that was meant.
"""

import pytest

from odenet.compiler import loads
from odenet.diagnostics import SpecError
from odenet.model.tables.data_sets import DATA_SETS
from odenet.model.tables.losses import LOSSES
from odenet.model.tables.parameters import PARAMETER_TYPES
from odenet.model.tables.recipe import AUGMENTATIONS, OPTIMIZERS, SCHEDULES, recipe_keys
from odenet.model.tables.synonyms import _ADVICE, _SYNONYMS, help_for_synonym

DECLARATIONS = "state Y\nparam K1 : conv(3)\n"
EQUATION = "Y' = relu(K1 Y)\n"
DISCRETISATION = "discretise euler(h = 0.1)\n"
NETWORK = "net = input(1, 8, 8) -> conv(3, 8) -> flow(3) -> mean -> dense(10)\n"
COMPLETE = f"{DECLARATIONS}{EQUATION}{DISCRETISATION}"
SPEC_WITH = {  # a specification with a text in one kind of place
    "equation": lambda text: f"{DECLARATIONS}{text}\n{DISCRETISATION}",
    "formula": lambda text: f"{DECLARATIONS}Y' = {text}\n{DISCRETISATION}",
    "line": lambda text: f"{DECLARATIONS}{text}\n{EQUATION}{DISCRETISATION}",
    "type": lambda text: f"state Y\nparam K : {text}\nY' = relu(K Y)\n{DISCRETISATION}",
    "scheme": lambda text: f"{DECLARATIONS}{EQUATION}discretise {text}\n",
    "layer": lambda text: (
        f"{COMPLETE}net = input(1, 8, 8) -> conv(3, 8) -> {text} -> flow(3) -> mean -> dense(10)\n"
    ),
    "claim": lambda text: f"{COMPLETE}require {text}\n",
    "train": lambda text: f"{COMPLETE}{NETWORK}train {{\n{text}\n}}\n",
}
MISTAKES = [
    # activations and functions in formulas
    ("formula", "ReLU(K1 Y)", "write `relu`"),
    ("formula", "GELU(K1 Y)", "write `gelu`"),
    ("formula", "SiLU(K1 Y)", "write `silu`"),
    ("formula", "swish(K1 Y)", "write `silu`"),
    ("formula", "LeakyReLU(0.1)(K1 Y)", "write `leaky_relu`"),
    ("formula", "Tanh(K1 Y)", "write `tanh`"),
    ("formula", "logistic(K1 Y)", "write `sigmoid`"),
    ("formula", "soft_threshold(0.1)(K1 Y)", "write `shrink`"),
    ("formula", "softmax(K1 Y)", "acts on each value by itself"),
    ("formula", "exp(K1 Y)", "no activation is called so"),
    ("formula", "abs(K1 Y)", "acts on each value by itself"),
    ("formula", "sqrt(K1 Y)", "acts on each value by itself"),
    # operators
    ("formula", "K1T relu(K1 Y)", "the transpose is written `K1^T`"),
    ("formula", "K1_T relu(K1 Y)", "the transpose is written `K1^T`"),
    ("formula", "K1.T relu(K1 Y)", "a transpose is written `K^T`"),
    ("formula", "K1.t() relu(K1 Y)", "a transpose is written `K^T`"),
    ("formula", "transpose(K1) relu(K1 Y)", "the transpose is written `K^T`"),
    ("formula", "K1' relu(K1 Y)", "the transpose is written `K1^T`"),
    ("formula", "K1^\\top relu(K1 Y)", "write `^T`"),
    ("formula", "K1^{T} relu(K1 Y)", "write `^T`"),
    ("formula", "K1 @ Y", "by writing it before: `K Y`"),
    ("formula", "matmul(K1, Y)", "before what it acts on: `K Y`"),
    ("formula", "K1 * Y", "by writing it before"),
    ("formula", "K1 · Y", "by writing it before: `K Y`"),
    ("formula", "K2 Y", "write `param K2 : …`"),
    ("formula", "conv(3) Y", "`param K : conv(3)`, and write `K Y`"),
    ("formula", "Conv2d(K1 Y)", "`param K : conv(3)`"),
    ("formula", "Linear(K1 Y)", "`param K : dense`"),
    ("formula", "batchnorm(K1 Y)", "`param N : norm(batch)`, and write `N(Y)`"),
    ("formula", "LayerNorm(K1 Y)", "`param N : norm(layer)`"),
    ("formula", "dropout(K1 Y)", "a layer belongs in a map"),
    ("formula", "eye Y", "write `I`"),
    # values
    ("formula", "K1 x", "write `u`"),
    ("formula", "K1 inputs", "write `u`"),
    ("formula", "time * K1 Y", "write `t`"),
    ("formula", "K1 Y(t)", "write `Y`"),
    ("formula", "dt * K1 Y", "an equation has no step size"),
    ("formula", "|K1 Y|", "has no sign"),
    ("formula", "‖K1 Y‖", "has no sign"),
    ("formula", "torch.relu(K1 Y)", "a function by its name alone"),
    ("formula", "K1 Y ** 2", "a power is written `^`"),
    ("formula", "-\\gamma K1 Y", "write the name alone: `gamma`"),
    ("formula", "grad(K1 Y)", "nothing is differentiated"),
    ("formula", "∇Y", "nothing is differentiated"),
    # equations
    ("equation", "dY/dt = K1 Y", "write `Y' = …`"),
    ("equation", "\\dot{Y} = K1 Y", "a derivative is written `Y'`"),
    ("equation", "Ẏ = K1 Y", "a derivative is written `Y'`"),
    ("equation", "∂Y = K1 Y", "a derivative is written `Y'`"),
    ("equation", "Y'(t) = K1 Y", "write `Y' = …`"),
    ("equation", "Y' := K1 Y", "write `=`"),
    ("equation", "Y' == K1 Y", "write `=`"),
    ("equation", "Y += K1 Y", "write `Y' = …`"),
    ("line", "Y(0) = conv(3) u", "`param K : conv(3)`, and write `K Y`"),
    # statements
    ("line", "Let a = 2", "write `let`"),
    ("line", "LET a = 2", "write `let`"),
    ("line", "var a = 2", "write `let a = 0.5`"),
    ("line", "const a = 2", "write `let a = 0.5`"),
    ("line", "parameter b : bias", "write `param K : conv(3)`"),
    ("line", "weights b : bias", "write `param K : conv(3)`"),
    ("line", "def f(x) = 2", "write `map f ="),
    ("line", "import mine", 'write `use "mine.ode"`'),
    ("line", "solver rk4(h = 0.1)", "write `discretise verlet(h = 0.1)`"),
    ("line", "assert reversible", "write `require reversible`"),
    ("line", "network = input(1, 8, 8)", "write `net = "),
    ("line", "return Y", "write `output concat(Y, Z)`"),
    # types
    ("type", "Conv2d(3)", "write `conv`"),
    ("type", "Linear", "write `dense`"),
    ("type", "matrix", "write `dense`"),
    ("type", "conv1x1", "write `pointwise`"),
    ("type", "BatchNorm2d", "write `norm(batch)`"),
    ("type", "conv(kernel_size = 3)", "write `k`"),
    ("type", "conv(3, out_channels = c)", "write `out`"),
    ("type", "conv(3, init = kaiming)", "write `he`"),
    ("type", "conv(3, init = glorot)", "write `xavier`"),
    # schemes
    ("scheme", "RK4(h = 0.1)", "write `rk4`"),
    ("scheme", "RK45(h = 0.1)", "write `dopri5`"),
    ("scheme", "ode45(h = 0.1)", "write `dopri5`"),
    ("scheme", "forward_euler(h = 0.1)", "write `euler`"),
    ("scheme", "backward_euler(h = 0.1)", "schemes are explicit"),
    ("scheme", "euler(dt = 0.1)", "write `h`"),
    ("scheme", "euler(step_size = 0.1)", "write `h`"),
    # layers
    ("layer", "batchnorm", "write `bn`"),
    ("layer", "BatchNorm2d", "write `bn`"),
    ("layer", "LayerNorm", "write `layernorm`"),
    ("layer", "ReLU", "write `relu`"),
    ("layer", "Conv2d(3, 8)", "write `conv`"),
    ("layer", "Linear(10)", "write `dense`"),
    ("layer", "AvgPool2d(2)", "write `pool`"),
    ("layer", "MaxPool2d(2)", "write `maxpool`"),
    ("layer", "Flatten", "write `flatten`"),
    ("layer", "softmax", "the loss takes the scores themselves"),
    ("layer", "conv(3, padding = 1)", "leave it out"),
    # claims
    ("claim", "invertible", "write `reversible`"),
    ("claim", "symplectic", "which is less"),
    # recipes
    ("train", "epoch = 3", "write `epochs`"),
    ("train", "batch_size = 3", "write `batch`"),
    ("train", "lr = 0.1", "write `optimizer = adamw(lr = …)`"),
    ("train", "learning_rate = 0.1", "write `optimizer = adamw(lr = …)`"),
    ("train", "weight_decay = 0.1", "write `optimizer = adamw(decay = …)`"),
    ("train", "momentum = 0.9", "write `optimizer = sgd(momentum = …)`"),
    ("train", "warmup = 5", "write `schedule = cosine(warmup = …)`"),
    ("train", "criterion = mse", "write `loss`"),
    ("train", "scheduler = cosine", "write `schedule`"),
    ("train", "device = 2", "an option of the command"),
    ("train", "optimizer = AdamW(lr = 0.1)", "write `adamw`"),
    ("train", "optimizer = momentum_sgd", "write `sgd`"),
    ("train", "optimizer = SGD", "write `sgd`"),
    ("train", "optimizer = adamw(learning_rate = 0.1)", "write `lr`"),
    ("train", "optimizer = adamw(weight_decay = 0.1)", "write `decay`"),
    ("train", "schedule = CosineAnnealingLR", "write `cosine`"),
    ("train", "schedule = MultiStepLR", "write `steps`"),
    ("train", "loss = CrossEntropyLoss", "write `cross_entropy`"),
    ("train", "loss = l2", "write `mse`"),
    ("train", "augment = [hflip]", "write `flip`"),
    ("train", "data = imagenet", 'write `folder("PATH")`'),
    ("train", "data = mnist", "are other data"),
    ("train", "data = CIFAR10", "write `cifar10`"),
    ("train", "data = npz", 'write `arrays("FILE.npz")`'),
    ("train", "data = folder(my/pics)", "in quotes"),
    ("train", "data = folder(pics)", "a quoted text"),
]


@pytest.mark.parametrize(("place", "text", "help_"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_spelling_from_elsewhere_is_refused_with_the_spelling_of_the_language(place, text, help_):
    with pytest.raises(SpecError) as caught:
        loads(SPEC_WITH[place](text))
    messages = [f"{d.message} {d.label} {d.help}" for d in caught.value.diagnostics]
    assert any(help_ in message for message in messages), messages


def test_every_name_that_a_synonym_leads_to_exists():
    tables = {
        "type of parameter": PARAMETER_TYPES.forms, "optimizer": OPTIMIZERS.forms, "loss": LOSSES,
        "schedule": SCHEDULES.forms, "augmentation": AUGMENTATIONS.forms, "data set": DATA_SETS,
        "key": recipe_keys(),
    }  # fmt: skip
    for kind, names in tables.items():
        written_names = [
            written.partition("(")[0].partition(" =")[0] for written in _SYNONYMS[kind]
        ]
        assert set(written_names) <= set(names), kind


@pytest.mark.parametrize("kind", _SYNONYMS)
def test_a_name_is_listed_once_among_the_synonyms_and_the_advice_of_a_kind(kind):
    if kind == "argument":  # a word such as `filters` means different arguments in different calls
        return
    names = " ".join([*_SYNONYMS[kind].values(), *_ADVICE.get(kind, {})]).split()
    assert len(names) == len(set(names))
    assert all(help_for_synonym(kind, name, [*_SYNONYMS[kind]]) for name in names)
