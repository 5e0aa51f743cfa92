"""Names that other libraries and languages have for layers, optimizers, keys and so on.

They are looked up before names are compared by spelling: `mnist` is similar to `fashion_mnist`, but
is another data set. A synonym is listed only if it means the same; for things that odenet does not
have, `_ADVICE` has a sentence. Names are compared without case, `_` and `-`.
"""

from collections.abc import Iterable

from odenet.diagnostics import suggest

# By kind of thing, as messages name it: name in this language -> its synonyms elsewhere.
_SYNONYMS: dict[str, dict[str, str]] = {
    "activation": {
        "sigmoid": "logistic expit",
        "silu": "swish",
        "identity": "id",
        "shrink": "softshrink softthreshold softthresholding",
        "sin": "sine",
    },
    "layer": {
        "conv": "conv1d conv2d conv3d convolution",
        "dense": "linear fc fullyconnected",
        "bn": "batchnorm batchnorm1d batchnorm2d batchnorm3d batchnormalization",
        "gn": "groupnorm groupnormalization",
        "layernorm": "ln layernormalization",
        "attention": "multiheadattention selfattention mha",
        "embed": "embedding",
        "position": "positionalencoding positionalembedding positionembedding",
        "head": "lmhead",
        "pool": "avgpool avgpool2d averagepool averagepooling averagepooling2d",
        "maxpool": "maxpool2d maxpooling maxpooling2d",
        "mean": "gap globalavgpool globalaveragepooling globalaveragepooling2d adaptiveavgpool2d",
        "flatten": "ravel",
        "squeeze": "pixelunshuffle spacetodepth",
        "flow": "ode odeblock neuralode odeint",
        "residual": "skip resblock basicblock",
    },
    "type of parameter": {
        "conv": "conv1d conv2d conv3d convolution",
        "dense": "linear fc fullyconnected matrix",
        "depthwise": "depthwiseconv depthwiseconv2d dwconv",
        "pointwise": "conv1x1 pointwiseconv",
        "diag": "diagonal",
        "scalar": "number float",
        "norm(batch)": "bn batchnorm batchnorm1d batchnorm2d batchnorm3d",
        "norm(layer)": "ln layernorm",
        "norm(group = 8)": "gn groupnorm",
    },
    "initialisation": {
        "he": "kaiming kaimingnormal henormal",
        "xavier": "glorot glorotnormal xaviernormal",
        "zeros": "zero",
        "ones": "one",
        "normal": "gaussian randn",
    },
    "optimizer": {
        "sgd": "momentum momentumsgd sgdmomentum sgdm",
        "sgd(nesterov = yes)": "nesterov nag",
    },
    "schedule": {
        "cosine": "cosineannealing cosineannealinglr cosinedecay",
        "steps": "step steplr multistep multisteplr piecewiseconstant",
        "constant": "none constantlr",
    },
    "augmentation": {
        "flip": "hflip horizontalflip randomhorizontalflip",
        "cutout": "randomerasing",
        "standardise": "normalize normalise normalization standardize",
    },
    "loss": {
        "cross_entropy": "crossentropyloss ce softmaxcrossentropy categoricalcrossentropy "
        "sparsecategoricalcrossentropy",
        "bce": "bceloss bcewithlogits bcewithlogitsloss binarycrossentropy",
        "mse": "mseloss meansquarederror l2 l2loss",
        "mae": "maeloss l1 l1loss meanabsoluteerror",
        "huber": "huberloss",
        "next_token": "lm causallm",
        "likelihood": "nll nllloss negativeloglikelihood maximumlikelihood",
    },
    "data set": {
        'folder("PATH")': "imagefolder images pictures imagenet imagenet1k tinyimagenet",
        'arrays("FILE.npz")': "npz npy numpy array",
        'table("FILE.csv")': "csv tsv dataframe pandas",
        'masks("PATH")': "segmentation",
        'text("FILE.txt")': "txt corpus",
        "moons": "twomoons makemoons",
    },
    "claim": {
        "reversible": "invertible bijective",
        "order(2)": "order2 secondorder accuracy",
        "volume_preserving": "volume measurepreserving",
    },
    "scheme": {
        "euler": "forwardeuler expliciteuler",
        "verlet": "symplecticeuler semiimpliciteuler",
        "stormer_verlet": "velocityverlet stoermerverlet",
        "heun": "explicittrapezoid explicittrapezium",
        "rk4": "rungekutta rungekutta4 classicalrk4 classicrk4",
        "dopri5": "rk45 ode45 dormandprince dopri",
        "bosh3": "rk23 ode23 bogackishampine",
        "yoshida4": "yoshida",
    },
    "kind of constant": {"learned": "learnable learnt trainable parameter"},
    "argument": {
        "lr": "learningrate rate stepsize",
        "decay": "weightdecay wd l2",
        "k": "kernelsize kernel ksize size",
        "C": "out outchannels channels filters features width",
        "D": "out outfeatures features units",
        "out": "outchannels outfeatures filters features C D",
        "in": "inchannels infeatures",
        "stride": "strides",
        "groups": "group numgroups ngroups",
        "g": "groups numgroups ngroups",
        "bias": "usebias",
        "init": "initializer initialization initialisation",
        "p": "rate prob probability",
        "s": "kernelsize size",
        "a": "negativeslope slope alpha",
        "heads": "numheads nheads nhead",
        "causal": "iscausal",
        "ratio": "mlpratio expansion",
        "tied": "tie tieweights",
        "vocabulary": "vocab vocabsize",
        "N": "steps numsteps nsteps depth layers",
        "h": "dt deltat step stepsize tau",
        "T": "tend t1 tfinal time",
        "γ": "momentum mu beta",
        "gamma": "momentum mu beta",
        "rtol": "tol tolerance reltol",
        "atol": "abstol",
        "at": "milestones",
        "factor": "gamma",
        "to": "etamin minlr",
        "shortcut": "downsample",
    },
    "key": {
        "epochs": "epoch numepochs nepochs maxepochs",
        "steps": "maxsteps iterations numsteps",
        "batch": "batchsize bs",
        "optimizer": "optim opt optimiser",
        "schedule": "scheduler lrscheduler lrschedule",
        "loss": "criterion lossfn lossfunction objective",
        "augment": "augmentation augmentations transform transforms",
        "data": "dataset",
        "seed": "randomseed manualseed",
        "precision": "dtype amp",
        "clip": "gradclip gradientclip clipgradnorm maxgradnorm gradientclipval",
        "accumulate": "accumulation gradaccum accumulategradbatches gradientaccumulationsteps",
        "holdout": "val valsplit validation validationsplit",
        "patience": "earlystopping",
        "label_smoothing": "smoothing",
        "optimizer = adamw(lr = …)": "lr learningrate",
        "optimizer = adamw(decay = …)": "wd weightdecay decay",
        "optimizer = sgd(momentum = …)": "momentum",
        "schedule = cosine(warmup = …)": "warmup warmupepochs",
        "schedule = cosine(warmup_steps = …)": "warmupsteps",
    },
    "name": {
        "u": "x x0 input inputs",
        "t": "time",
        "I": "eye identitymatrix",
        "concat(Y, Z)": "cat concatenate stack hstack vstack",
        "split(u)": "chunk",
    },
}

# By kind of thing: names of things that the language does not have -> what to do.
_ADVICE: dict[str, dict[str, str]] = {
    "layer": {
        "softmax logsoftmax": "leave it out: the loss takes the scores themselves",
        "sequential": "write the layers with `->` between them",
        "reshape view permute": "write `flatten` for a plain vector",
    },
    "argument": {
        "padding pad": "leave it out: a convolution keeps the size, or divides it by its stride",
        "inchannels infeatures inplanes": "leave it out: what comes before it says how many",
    },
    "data set": {
        "mnist": 'download it and write `folder("PATH")` or `arrays("FILE.npz")`; '
        "`digits` and `fashion_mnist` are other data",
        "cifar": "write `cifar10` or `cifar100`",
    },
    "key": {
        "devices numworkers device gpus": "it is an option of the command, as in "
        "`odenet train --devices 2`",
        "model net network": "write `net = …` in a line of its own",
    },
    "claim": {
        "symplectic": "what is judged is `volume_preserving`, which is less",
    },
    "scheme": {
        "backwardeuler impliciteuler implicitmidpoint cranknicolson bdf adams radau": "schemes are "
        "explicit, so that a step is a formula; `odenet schemes` lists them",
    },
    "name": {
        "dt h stepsize": "an equation has no step size: it belongs in `discretise euler(h = 0.1)`",
        "softmax": "an activation acts on each value by itself; `attention` in a `map` "
        "has a softmax",
        "exp": "no activation is called so; `softplus`, `elu` and `sigmoid` are made of "
        "exponentials, and in a scheme `exp` is that of a number",
        "abs norm cos log sqrt square pow max min sum maximum minimum": "an activation acts on "
        "each value by itself: relu, tanh, sigmoid, softplus, elu, gelu, silu, sin, …",
        "matmul dot mm einsum": "an operator is written before what it acts on: `K Y`",
        "inv inverse pinv solve linsolve": "the language has no inverse of an operator, `K^T` "
        "is the transpose",
        "transpose adjoint": "the transpose is written `K^T`",
        "grad gradient jvp div laplacian": "nothing is differentiated: write the "
        "right-hand side itself",
        "pi": "write it as a number: `let pi = 3.14159`",
        "e": "write it as a number: `let e = 2.71828`",
        "torch np jnp jax nn f tf math": "write the name alone, as in `relu(K Y)`",
    },
}  # fmt: skip


def help_for_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Help for an unknown name: what a synonym is called here, else the name of similar spelling.

    Empty if no name is similar.
    """
    known = list(known)
    return help_for_synonym(kind, name, known) or suggest(name, known)


def help_for_synonym(kind: str, name: str, known: Iterable[str]) -> str:
    """Help for an unknown name that is a synonym, or has advice; empty for other names.

    Args:
        kind: the kind of thing, as messages name it: "layer", "optimizer", "argument", …
        name: as it was written.
        known: the names that are possible there.
    """
    known = list(known)
    normalised = _normalised(name)
    alike = [other for other in known if _normalised(other) == normalised]
    if alike:
        return f"write `{alike[0]}`"
    for names, sentence in _ADVICE.get(kind, {}).items():
        if normalised in names.split():
            return sentence
    for own_name, names in _SYNONYMS.get(kind, {}).items():
        usable = not own_name.isidentifier() or own_name in known
        if usable and normalised in names.split():
            return f"write `{own_name}`"
    return ""


def _normalised(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()
