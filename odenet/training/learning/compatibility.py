"""Whether network, loss and data go together, checked before a network is built."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from torch import Tensor

from odenet.compiler import Program
from odenet.diagnostics import SpecError
from odenet.language.tree import Net
from odenet.model.tables.losses import loss_kind
from odenet.model.typed.program import ends_in_classes
from odenet.training.data.samples import DataSet, Split, label_counts, renumbered
from odenet.training.data.single_precision import require_single_precision
from odenet.training.data.transforms import mismatched_shape, standardise_over
from odenet.training.errors import DataMisfit, UnreadableData
from odenet.training.learning.text_compatibility import require_text

NUMBER_LOSSES = "`loss = mse` (or mae, huber)"


def with_matching_labels(program: Program, data: DataSet, known: Sequence[str] = ()) -> DataSet:
    """The data set with its labels converted to what the loss of a program takes.

    Args:
        program: gives network and loss.
        data: the data set as it was read.
        known: the classes of a trained network; data to measure it on may have fewer of them.
            Empty before training.

    Raises:
        SpecError: the network does not take such samples, the loss does not take such labels, or
            the network's output is not what the loss takes; at the line of the spec to change.
    """
    if require_text(program, data):
        return data
    _require_input(program, data)
    kind = loss_kind(program.recipe.loss)
    if data.unlabelled and kind.labels != "none":
        raise UnreadableData(*data.unlabelled)
    match kind.labels:
        case "class":
            data = _with_classes(program, data, known)
            wanted = (len(data.classes), *data.train.labels.shape[1:])
            description = f"a score for each of {len(data.classes)} classes"
        case "several":
            data = _with_binary_labels(program, data)
            wanted, description = _label_shape(data), "a score for each label"
        case "numbers":
            data = _with_numbers(program, data)
            wanted, description = _label_shape(data), "one for each number of a label"
        case "tokens":
            return data
        case "none":
            _require_invertible_scaling(program)
            return data
    _require_output(program, data, wanted, description)
    return data


def _require_invertible_scaling(program: Program) -> None:
    """Refuse `standardise(image)`, after which the pixels' likelihood cannot be computed."""
    for call in program.recipe.augment:
        if standardise_over([call]) == "image":
            loss, help_ = program.recipe.loss, "write `standardise(data)`, or leave it out"
            message = f"{loss} needs a scaling of the pictures that can be undone"
            raise SpecError.of("data-misfit", message, call.span, help_)


def output_width_note(program: Program, data: DataSet) -> str:
    """A note, where the last layer is given the number of classes as its width; else empty."""
    width, classes = program.classes, len(data.classes)
    if loss_kind(program.recipe.loss).labels != "class" or width in (None, classes):
        return ""
    return f"the last layer gives {classes} scores, for the classes of {data.name}, not {width}"


def _with_classes(program: Program, data: DataSet, known: Sequence[str]) -> DataSet:
    """A data set whose labels are classes; arguments as for `with_matching_labels`."""
    if _has_real_labels(data.train) or _has_real_labels(data.test):
        message = f"the labels of {data.name} are numbers"
        if program.recipe.loss is None:
            _refuse_loss(program, f"{message}: which loss?", NUMBER_LOSSES)
        help_ = f"{NUMBER_LOSSES}, or make the labels whole numbers"
        _refuse_loss(program, f"{message}, and cross_entropy takes classes", help_)
    if data.classes:
        return data
    width, *space = _output_shape(program)
    are_values = data.labels_are_pixel_values
    if not are_values and data.train.labels.shape[1:] == (1,) and not space:
        # A column of labels becomes a vector.
        train, test = (replace(s, labels=s.label_tensor[:, 0]) for s in (data.train, data.test))
        data = replace(data, train=train, test=test)
    train, test = label_counts(data.train.labels), label_counts(data.test.labels)
    # Pixel values are the classes where those of a trained network are, or where they exceed the
    # scores of the network, such as 0 and 255.
    if are_values and known and all(map(str.isdecimal, known)):
        return _with_value_classes(data, list(map(int, known)), [*train, *test])
    if are_values and max(*train, *test) >= width:
        return _with_value_classes(data, list(train), list(test))
    shape = data.train.labels.shape[1:]
    for name, counts in (("train", train), ("test", test)):
        _require_range(program, data.name, name, counts, width)
    if len(shape) == 1 and not space:
        help_ = "`loss = bce` for several classes of a sample, or one number a sample"
        _refuse_loss(program, f"{data.name} has {shape[0]} labels for a sample", help_)
    return replace(data, classes=tuple(map(str, range(width))))


def _with_value_classes(data: DataSet, values: list[int], occurring: list[int]) -> DataSet:
    """A data set of class maps whose labels are ranks of pixel values instead of the values.

    Args:
        data: the data set, whose labels are pixel values.
        values: the pixel values of the classes, in order.
        occurring: the values that occur in the data.
    """
    if unknown := [value for value in occurring if value not in values]:
        problem = f"have the value {unknown[0]}, which those of the training split do not have"
        raise DataMisfit(f"the class maps of {data.name} {problem}", f"known: {_listed(values)}")
    ranks = {value: rank for rank, value in enumerate(values)}
    train, test = (replace(s, labels=renumbered(s.labels, ranks)) for s in (data.train, data.test))
    return replace(data, train=train, test=test, classes=tuple(map(str, values)))


def _require_range(
    program: Program, name: str, split: str, counts: Mapping[int, int], width: int
) -> None:
    """Refuse labels that are not among 0 … width - 1.

    Args:
        program: gives the place in the spec.
        name: the name of the data, for messages.
        split: "train" or "test", for messages.
        counts: how often each label occurs, sorted by label.
        width: how many scores the network gives.
    """
    wrong_count = sum(count for label, count in counts.items() if not 0 <= label < width)
    if not wrong_count:
        return
    least, needed = min(counts), max(counts) + 1
    help_ = "classes are counted from 0"
    if least >= 0:
        help_ += f"; {needed} of them need {_last_layer_source(program, needed)}"
    if program.recipe.loss is None:
        help_ += f"; for numbers write {NUMBER_LOSSES}"
    scores = "1 score" if width == 1 else f"{width} scores, of classes 0 to {width - 1}"
    share = f"{wrong_count} of the {sum(counts.values())} in the {split} split"
    network = f"a network of {width} {'class' if width == 1 else 'classes'}"
    message = f"the labels of {name} go from {least} to {needed - 1}: {share} are out of range for"
    _refuse_output(program, f"{message} {network}", help_, scores)


def _has_real_labels(split: Split) -> bool:
    """Whether labels are real numbers instead of classes."""
    return isinstance(split.labels, Tensor) and split.labels.is_floating_point()


def _with_binary_labels(program: Program, data: DataSet) -> DataSet:
    """A data set whose labels are 0 or 1, one for each class."""
    _refuse_class_maps(program, data)
    if len(data.classes) > 2:
        help_ = "`loss = cross_entropy`, or leave it out"
        message = f"a sample of {data.name} has one class, and bce takes several"
        _refuse_loss(program, message, help_)
    splits: list[Split] = []
    for name, split in (("train", data.train), ("test", data.test)):
        labels = split.label_tensor
        wrong = (labels != 0) & (labels != 1)
        if wrong.any():
            place = tuple(wrong.nonzero()[0].tolist())
            where = f"in the {name} split at {list(place)}"
            message = f"label {labels[place].item():g} of {data.name}, {where}, is neither 0 nor 1"
            help_ = "bce takes 1 for a class that holds and 0 for one that does not"
            raise DataMisfit(message, help_)
        splits.append(replace(split, labels=labels.byte()))
    count = (splits[0].labels.shape[1:] or (1,))[0]
    names = data.classes[1:] or tuple(map(str, range(count)))  # of two classes, the second
    return replace(data, train=splits[0], test=splits[1], classes=names)


def _refuse_class_maps(program: Program, data: DataSet) -> None:
    """Refuse class maps where the loss takes other labels."""
    if data.labels_are_pixel_values:
        loss = loss_kind(program.recipe.loss).name
        message = f"{data.name} has a class for every pixel, and {loss} takes other labels"
        _refuse_loss(program, message, "`loss = cross_entropy`, or leave it out")


def _with_numbers(program: Program, data: DataSet) -> DataSet:
    """A data set whose labels are real numbers, float32."""
    _refuse_class_maps(program, data)
    if data.classes:
        loss = loss_kind(program.recipe.loss).name
        message = f"the labels of {data.name} are classes, and {loss} takes numbers"
        _refuse_loss(program, message, "`loss = cross_entropy`, or leave it out")
    for name, split in (("train", data.train), ("test", data.test)):
        description = f"the {name} split of the labels of {data.name}"
        require_single_precision(description, split.label_tensor)
    train, test = (replace(s, labels=s.label_tensor.float()) for s in (data.train, data.test))
    return replace(data, train=train, test=test)


def _label_shape(data: DataSet) -> tuple[int, ...]:
    """The shape of a label, which is that of the network's output too; (1,) of a single number."""
    return tuple(data.train.labels.shape[1:]) or (1,)


def _require_output(program: Program, data: DataSet, wanted: Sequence[int], meaning: str) -> None:
    """Refuse a network whose output does not have the wanted shape; `meaning` is that in words."""
    shape, name = _output_shape(program), loss_kind(program.recipe.loss).name
    if shape == tuple(wanted):
        return
    adapts = name == "cross_entropy" and ends_in_classes(program.model) and shape != (1,)
    if adapts and len(wanted) == 1:  # the network is built with the width that is wanted
        return
    written = _last_layer_source(program, wanted[0]) if len(wanted) == len(shape) else ""
    if written and shape[1:] != tuple(wanted[1:]):
        written = f"{written}, at the size {_shown(wanted[1:])}"
    help_ = f"write {written}" if written else f"let it end at the shape {_shown(wanted)}"
    takes, output = f"takes {_shown(wanted)} of a sample, {meaning}", _shown(shape)
    message = f"{name} on {data.name} {takes}, and the network gives {output}"
    _refuse_output(program, message, help_, output)


def _require_input(program: Program, data: DataSet) -> None:
    """Refuse data whose samples do not have, and cannot be converted to, the input's shape."""
    input_shape = tuple(program.input_shape or ())
    for split in (data.train, data.test):
        shape = mismatched_shape(split, input_shape)
        if shape is None:
            continue
        sample = f"a sample of {data.name} has {_shown(shape)}"
        first = program.tree.statements_of(Net)[0].layers.layers[0]
        help_ = f"write `input({_listed(shape)})`, or take other data"
        if len(shape) > 1 and (shape[-1], *shape[:-1]) == input_shape:
            help_ += "; channels come first: move the last axis of the data to the front"
        message = f"the network takes {_shown(input_shape)}, and {sample}"
        raise SpecError.of("data-misfit", message, first.span, help_)


def _output_shape(program: Program) -> tuple[int, ...]:
    """The shape of the network's output for one sample."""
    shape = program.model.net[-1].shape_out
    return (int(shape.channels.constant), *shape.space)


def _refuse_output(program: Program, message: str, help_: str, output: str) -> NoReturn:
    """Raise an error at the last layer, which gives `output`, in words."""
    span = program.model.net[-1].span
    raise SpecError.of("data-misfit", message, span, help_, label=f"gives {output}")


def _last_layer_source(program: Program, width: int) -> str:
    """How a spec would write the last layer with another width."""
    layer = program.model.net[-1]
    if layer.name == "dense":
        return f"`dense({width})`"
    if layer.name == "conv":
        return f"`conv({layer.arguments['k']}, {width})`"
    example = f"conv(1, {width})" if layer.shape_out.space else f"dense({width})"
    return f"a last layer of {width} channels, such as `{example}`"


def _refuse_loss(program: Program, message: str, write: str) -> NoReturn:
    """Raise an error at the loss in the spec; `write` says what to write instead."""
    loss = program.recipe.loss
    help_ = f"write {write}" if loss is not None else f"write {write} in `train {{ … }}`"
    raise SpecError.of("data-misfit", message, loss.span if loss else None, help_)


def _shown(sizes: Sequence[int]) -> str:
    return f"({_listed(sizes)})"


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
