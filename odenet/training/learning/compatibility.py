"""Do the network, the loss and the data fit together? Asked before a network is made."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from torch import Tensor

from odenet.compiler import Program
from odenet.diagnostics import Span, SpecError
from odenet.language.tree import Net
from odenet.model.tables.losses import loss_kind
from odenet.model.typed.program import ends_in_classes
from odenet.training.data.samples import DataSet, Split, label_counts, renumbered
from odenet.training.data.single_precision import require_single_precision
from odenet.training.data.transforms import mismatched_shape, standardise_over
from odenet.training.errors import DataMisfit, UnreadableData
from odenet.training.learning.text_compatibility import require_text

NUMBERS = "`loss = mse` (or mae, huber)"


def agreed(program: Program, data: DataSet, known: Sequence[str] = ()) -> DataSet:
    """The data set with labels as the loss of a program takes them.

    Args:
        program: gives network and loss.
        data: what was read.
        known: the classes of a trained network, of which data to measure it on may have a few.

    Raises:
        SpecError: a sample does not fit into the network, the labels are none of the loss's, or
            the network does not give what the loss takes; at the line of the spec to change.
    """
    if require_text(program, data):
        return data
    _require_input(program, data)
    kind = loss_kind(program.recipe.loss)
    if data.unlabelled and kind.labels != "none":
        raise UnreadableData(*data.unlabelled)
    match kind.labels:
        case "class":
            data = _classes(program, data, known)
            wanted = (len(data.classes), *data.train.labels.shape[1:])
            what = f"a score for each of {len(data.classes)} classes"
        case "several":
            data = _several(program, data)
            wanted, what = _of_label(data), "a score for each label"
        case "numbers":
            data = _numbers(program, data)
            wanted, what = _of_label(data), "a number for each of a label"
        case "tokens":
            return data
        case "none":
            _require_whole(program)
            return data
    _require_output(program, data, wanted, what)
    return data


def _require_whole(program: Program) -> None:
    """Refuse to take out of each picture, by itself, what its likelihood depends on."""
    for call in program.recipe.augment:
        if standardise_over([call]) == "image":
            message = (
                f"{program.recipe.loss} needs pictures that can be told from what the net gets"
            )
            help_ = "write `standardise(data)`, or leave it out"
            raise SpecError.of("data-misfit", message, call.span, help_)


def widened(program: Program, data: DataSet) -> str:
    """What to say where the last layer takes the width that the classes want; else empty."""
    width, classes = program.classes, len(data.classes)
    if loss_kind(program.recipe.loss).labels != "class" or width in (None, classes):
        return ""
    return f"the last layer gives {classes} scores, for the classes of {data.name}, not {width}"


def _classes(program: Program, data: DataSet, known: Sequence[str]) -> DataSet:
    if _real(data.train) or _real(data.test):
        if program.recipe.loss is None:
            _refuse_loss(program, f"the labels of {data.name} are numbers: which loss?", NUMBERS)
        message = f"the labels of {data.name} are numbers, and cross_entropy takes classes"
        _refuse_loss(program, message, f"{NUMBERS}, or make the labels whole numbers")
    if data.classes:
        return data
    width = _gives(program)[0]
    if (
        not data.labels_are_pixel_values
        and data.train.labels.shape[1:] == (1,)
        and not _gives(program)[1:]
    ):
        train, test = (replace(s, labels=s.label_tensor[:, 0]) for s in (data.train, data.test))
        data = replace(data, train=train, test=test)
    train, test = label_counts(data.train.labels), label_counts(data.test.labels)
    if data.labels_are_pixel_values and known and all(map(str.isdecimal, known)):
        return _ranked(data, list(map(int, known)), [*train, *test])
    if data.labels_are_pixel_values and max(*train, *test) >= width:
        return _ranked(data, list(train), list(test))
    shape = data.train.labels.shape[1:]
    for name, found in (("train", train), ("test", test)):
        _require_range(program, data.name, name, found, width)
    if len(shape) == 1 and not _gives(program)[1:]:
        help_ = "`loss = bce` for several classes of a sample, or one number a sample"
        _refuse_loss(program, f"{data.name} has {shape[0]} labels for a sample", help_)
    return replace(data, classes=tuple(map(str, range(width))))


def _ranked(data: DataSet, values: list[int], found: list[int]) -> DataSet:
    """Classes for the values of class maps that were trained on, in order.

    Args:
        data: whose labels are the values.
        values: of the classes.
        found: that occur in what is measured.
    """
    if unknown := [value for value in found if value not in values]:
        raise DataMisfit(
            f"the class maps of {data.name} have the value {unknown[0]}, which is not in those "
            "of the training split",
            f"these have {_listed(values)}",
        )
    ranks = {value: rank for rank, value in enumerate(values)}
    train, test = (replace(s, labels=renumbered(s.labels, ranks)) for s in (data.train, data.test))
    return replace(data, train=train, test=test, classes=tuple(map(str, values)))


def _require_range(
    program: Program, name: str, split: str, found: Mapping[int, int], width: int
) -> None:
    """Refuse labels that are not numbers of classes.

    Args:
        program: its network is.
        name: of the data.
        split: in words.
        found: how often each label occurs, in order.
        width: of the network.
    """
    wrong = sum(count for label, count in found.items() if not 0 <= label < width)
    if not wrong:
        return
    least, needed = min(found), max(found) + 1
    help_ = "classes are counted from 0"
    if least >= 0:
        help_ += f"; {needed} of them need {_written(program, needed)}"
    if program.recipe.loss is None:
        help_ += f"; for numbers write {NUMBERS}"
    scores = "1 score" if width == 1 else f"{width} scores, of classes 0 to {width - 1}"
    message = (
        f"the labels of {name} go from {least} to {needed - 1}: {wrong} of the "
        f"{sum(found.values())} in the {split} split are out of range for a network of {width} "
        f"{'class' if width == 1 else 'classes'}"
    )
    raise SpecError.of("data-misfit", message, _last(program), help_, label=f"gives {scores}")


def _real(split: Split) -> bool:
    """Whether labels are numbers, and no classes."""
    return isinstance(split.labels, Tensor) and split.labels.is_floating_point()


def _several(program: Program, data: DataSet) -> DataSet:
    """Labels that are 0 or 1."""
    _refuse_maps(program, data)
    if len(data.classes) > 2:
        help_ = "`loss = cross_entropy`, or leave it out"
        _refuse_loss(
            program, f"a sample of {data.name} has one class, and bce takes several", help_
        )
    splits: list[Split] = []
    for name, split in (("train", data.train), ("test", data.test)):
        labels = split.label_tensor
        wrong = (labels != 0) & (labels != 1)
        if wrong.any():
            place = tuple(wrong.nonzero()[0].tolist())
            raise DataMisfit(
                f"label {labels[place].item():g} of {data.name}, in the {name} split at "
                f"{list(place)}, is neither 0 nor 1",
                "bce takes 1 for a class that holds and 0 for one that does not",
            )
        splits.append(replace(split, labels=labels.byte()))
    count = (splits[0].labels.shape[1:] or (1,))[0]
    names = data.classes[1:] or tuple(map(str, range(count)))
    return replace(data, train=splits[0], test=splits[1], classes=names)


def _refuse_maps(program: Program, data: DataSet) -> None:
    """Refuse class maps under a loss of other labels."""
    if data.labels_are_pixel_values:
        loss = loss_kind(program.recipe.loss).name
        message = f"{data.name} has a class for every pixel, and {loss} takes other labels"
        _refuse_loss(program, message, "`loss = cross_entropy`, or leave it out")


def _numbers(program: Program, data: DataSet) -> DataSet:
    _refuse_maps(program, data)
    if data.classes:
        loss = loss_kind(program.recipe.loss).name
        message = f"the labels of {data.name} are classes, and {loss} takes numbers"
        _refuse_loss(program, message, "`loss = cross_entropy`, or leave it out")
    for name, split in (("train", data.train), ("test", data.test)):
        require_single_precision(
            f"the {name} split of the labels of {data.name}", split.label_tensor
        )
    train, test = (
        replace(split, labels=split.label_tensor.float()) for split in (data.train, data.test)
    )
    return replace(data, train=train, test=test)


def _of_label(data: DataSet) -> tuple[int, ...]:
    """What the last layer gives for labels that it gives one by one."""
    return tuple(data.train.labels.shape[1:]) or (1,)


def _require_output(program: Program, data: DataSet, wanted: Sequence[int], what: str) -> None:
    gives, name = _gives(program), loss_kind(program.recipe.loss).name
    if gives == tuple(wanted):
        return
    adapts = name == "cross_entropy" and ends_in_classes(program.model) and gives != (1,)
    if adapts and len(wanted) == 1:  # it takes the width that is wanted
        return
    written = _written(program, wanted[0]) if len(wanted) == len(gives) else ""
    if written and gives[1:] != tuple(wanted[1:]):
        written = f"{written}, on places {_shown(wanted[1:])}"
    help_ = f"write {written}" if written else f"let it end at the shape {_shown(wanted)}"
    raise SpecError.of(
        "data-misfit",
        f"{name} on {data.name} takes {_shown(wanted)} of a sample, {what}, "
        f"and the network gives {_shown(gives)}",
        _last(program),
        help_,
        label=f"gives {_shown(gives)}",
    )


def _require_input(program: Program, data: DataSet) -> None:
    takes = tuple(program.input_shape or ())
    for split in (data.train, data.test):
        has = mismatched_shape(split, takes)
        if has is None:
            continue
        message = (
            f"the network takes {_shown(takes)}, and a sample of {data.name} has {_shown(has)}"
        )
        first = program.tree.of(Net)[0].layers.layers[0]
        channels_last = len(has) > 1 and (has[-1], *has[:-1]) == takes
        order = "; channels come first: move the last axis of the data to the front"
        help_ = f"write `input({_listed(has)})`, or take other data"
        raise SpecError.of(
            "data-misfit", message, first.span, help_ + (order if channels_last else "")
        )


def _gives(program: Program) -> tuple[int, ...]:
    """The shape that the network gives for a sample."""
    after = program.model.net[-1].after
    return (int(after.channels.constant), *after.space)


def _last(program: Program) -> Span | None:
    return program.model.net[-1].span


def _written(program: Program, width: int) -> str:
    """The last layer with another width, as it would be written."""
    layer = program.model.net[-1]
    if layer.name == "dense":
        return f"`dense({width})`"
    if layer.name == "conv":
        return f"`conv({layer.arguments['k']}, {width})`"
    return f"a last layer of {width} channels, such as " + (
        f"`conv(1, {width})`" if layer.after.space else f"`dense({width})`"
    )


def _refuse_loss(program: Program, message: str, write: str) -> NoReturn:
    loss = program.recipe.loss
    help_ = f"write {write}" if loss is not None else f"write {write} in `train {{ … }}`"
    raise SpecError.of("data-misfit", message, loss.span if loss else None, help_)


def _shown(sizes: Sequence[int]) -> str:
    return f"({_listed(sizes)})"


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
