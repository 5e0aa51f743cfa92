"""What a net keeps under a name, and where it is joined again."""

from dataclasses import dataclass

from odenet.diagnostics import Rejected, Report, Span, nearest, suggest
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.layers import LayerError, Shape


@dataclass(frozen=True)
class _Place:
    """A `keep` or a `join`; its shape is None after an error."""

    name: str
    span: Span
    shape: Shape | None


class Skips:
    """The skips of one net, told of them in order.

    Args:
        report: takes what is wrong.
    """

    def __init__(self, report: Report):
        self.report = report
        self._kept: dict[str, _Place] = {}
        self._joined: set[str] = set()
        self._unknown: list[_Place] = []
        self._again: list[_Place] = []

    def note(self, call: Call, shape: Shape | None) -> None:
        """Take note of a `keep` or a `join`, which is given a shape; what is wrong, `check` says.

        Raises:
            Rejected: nothing is kept by the name that is joined, so that the shape is unknown.
        """
        place = _Place(call["name"], call.span, shape)
        if call.name == "join":
            self._joined.add(place.name)
            if place.name not in self._kept:
                self._unknown.append(place)
                raise Rejected
        elif place.name in self._kept:
            self._again.append(place)
        else:
            self._kept[place.name] = place

    def joined(self, call: Call, here: Shape) -> Shape:
        """The shape after a join; raises LayerError where the two do not fit."""
        place = self._kept[call["name"]]
        kept = place.shape
        assert kept is not None  # it comes before, and the shape here is known
        which = f'"{place.name}", kept in line {place.span.line}, is {kept}'
        if kept.space != here.space:
            help_ = "sizes that s divides are the same after `pool(s)` and `upsample(s)`"
            raise LayerError(f"{which}, and cannot be joined to {here}: their sizes differ", help_)
        if call["add"] == "yes":
            if kept.channels != here.channels:
                message = f"{which}, and cannot be added to {here}: their channels differ"
                help_ = f"write `conv(1, {kept.channels})` before it, or leave out `add`"
                raise LayerError(message, help_)
            return here
        return Shape(kept.channels + here.channels, here.space)

    def check(self) -> None:
        """Report what is joined and was not kept, kept twice, or kept and not joined."""
        for place in self._again:
            line = self._kept[place.name].span.line
            message = f'"{place.name}" is kept already, in line {line}'
            self.report.error("misplaced-layer", message, place.span, "give each a name of its own")
        near: set[str] = set()
        for place in self._unknown:
            if place.name in self._kept:
                line = self._kept[place.name].span.line
                message = f'"{place.name}" is joined before it is kept, in line {line}'
                help_ = "`keep` comes before `join`"
            else:
                message = f'nothing is kept as "{place.name}"'
                open_ = [name for name in self._kept if name not in self._joined]
                near.add(nearest(place.name, open_))
                help_ = suggest(place.name, open_) or f'write `keep("{place.name}")` before it'
            self.report.error("misplaced-layer", message, place.span, help_)
        for name, place in self._kept.items():
            if name not in self._joined | near:
                help_ = f'write `join("{name}")` where it is wanted, or remove it'
                message = f'"{name}" is kept and never joined'
                self.report.error("misplaced-layer", message, place.span, help_)
