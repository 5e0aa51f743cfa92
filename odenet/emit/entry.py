"""The class of a unit's first step, whose maps change the shape (odenet/model/typed/unit_entry.py).

The lines of the scheme are those of any other step. Values from before it have the old shape, and
the result of a right-hand side the new one. Where an old value meets new ones, in a sum or in the
arguments of a right-hand side, it goes through the shortcut.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from odenet.derive import Derivation
from odenet.emit.constructors import layer_code, let_lines, number_lines, parameter_line
from odenet.emit.expressions import Code
from odenet.emit.frame import Frame, ValueKey
from odenet.emit.layout import docstring, lay_out, string_tuple
from odenet.emit.step_printer import StepPrinter
from odenet.model.expressions import expr
from odenet.model.tables.layers import Layer
from odenet.model.typed.unit_entry import (
    EntryMap,
    entry_maps,
    has_new_shape,
    maps_in_first_step,
    with_new_shape,
)


class EntryWriter:
    """Writes the class.

    Args:
        frame: the names, shared with the flow's class, which is written before.
        derivation: the derivation of the scheme.
        stem: the stem of the class names, as in `DigitsFlow`.
        space: number of spatial axes.
    """

    def __init__(self, frame: Frame, derivation: Derivation, stem: str, space: int):
        model = frame.model
        maps = entry_maps(model.dynamics, model.parameters, model.maps, model.discretisation)
        assert maps is not None
        self.frame, self.derivation, self.stem = frame, derivation, stem
        self.space, self.maps = space, maps

    def write(self) -> list[str]:
        """The lines of the class."""
        frame, model = self.frame, self.frame.model
        rates = [method.name for method in frame.rates.values()]
        text = "The first step of a unit: its right-hand sides give the new shape."
        inherited = [*rates, "initial"]
        return [
            f"class {self.stem}Entry(Entry):",
            *docstring([text], 4),
            "",
            f"    slots = {string_tuple(frame.slots)}",
            f"    states = {string_tuple(tuple(frame.state(state) for state in model.system))}",
            *(f"    {name} = {self.stem}Flow.{name}" for name in inherited),
            "",
            *self._init(),
            "",
            "    def forward(self, u):",
            '        """The state after the step, in the new shape."""',
            *(part for line in self._forward() for part in lay_out(line, 8)),
        ]

    def _init(self) -> list[str]:
        """The lines of `__init__`: constants as in the flow, and the weights of one step."""
        frame, model = self.frame, self.frame.model
        parts = model.dynamics.input_parts
        sizes = f"parts={parts}, space={self.space}"
        keywords, numbers = number_lines(frame, self.derivation, "T")
        shape = ["channels", "into", "*", "stride=1", 'shortcut="stride"', *keywords]
        body = [
            f"super().__init__(channels, into, stride, shortcut, {sizes})",
            f"c, c_new = {'channels' if parts == 1 else f'channels // {parts}'}, into",
            *numbers,
            *let_lines(frame),
        ]
        body += [
            parameter_line(frame, replace(parameter, shared=True), self.space)
            for parameter in model.parameters.values()
        ]
        for name, changes_shape in maps_in_first_step(model):
            if changes_shape:
                attribute, layers = self.entry_attribute(name), _entry_layers(self.maps[name])
            else:
                attribute = frame.names("spec", name)
                layers = [with_new_shape(layer) for layer in model.maps[name].layers]
            inner = ", ".join(layer_code(layer) for layer in layers)
            body.append(f"self.{attribute} = layers(1, lambda: nn.Sequential({inner}))")
        head = lay_out(f"def __init__({', '.join(['self', *shape])}):", 4)
        return head + [part for line in body for part in lay_out(line, 8)]

    def entry_attribute(self, name: str) -> str:
        """The attribute of a map in its version that changes the shape."""
        return self.frame.names("entered", name, f"{self.frame.names('spec', name)}_in")

    def uses_maps(self, node: expr.Rate, component: int) -> bool:
        """Whether a right-hand side uses maps, which can change the shape."""
        return not self.maps.keys().isdisjoint(self.frame.rate_method(node, component).params)

    def _forward(self) -> list[str]:
        """The lines of `forward`."""
        frame = self.frame
        registers = frame.registers()
        printer = _EntryPrinter(self, registers)
        names = list(registers.values())
        target_names = f"({names[0]},)" if len(names) == 1 else ", ".join(names)
        lines = [f"{target_names} = self.initial(u)"]
        for update in frame.scheme.updates:
            target = update.target
            offset = target.offset if isinstance(target, expr.Slot) else 0
            for i in range(len(frame.components(target.name))):
                key = (target.name, offset, i)
                name = frame.variable(*key)
                lines.append(f"{name} = {printer.line(update.value, i).text}")
                printer.names[key] = name
            if has_new_shape(update.value, printer.new):
                printer.new.add(target)
        values = [printer.value_after(expr.Slot(name, k + 1), i) for name, k, i in registers]
        return [*lines, f"return State({', '.join(values)})"]


class _EntryPrinter(StepPrinter):
    """Prints the lines of a step in which some values have the new shape already.

    Attributes:
        new: the slots and stages that have it.
        names: the variable of each value.
    """

    def __init__(self, writer: EntryWriter, current: dict[ValueKey, str]):
        super().__init__(writer.frame, current, "0")
        self.writer = writer
        self.new: set[expr.Node] = set()
        self.names = dict(current)
        self._changes_shape = False

    def line(self, value: expr.Node, component: int) -> Code:
        """The code of a formula."""
        with self._with_shortcuts(has_new_shape(value, self.new)):
            return self(value, component)

    def value_after(self, slot: expr.Slot, component: int) -> str:
        """A value after the step, in the new shape."""
        name = self.names[slot.name, slot.offset, component]
        return name if slot in self.new else f"self.shortcut({name})"

    def rate(self, node: expr.Rate, component: int) -> Code:
        """A right-hand side, whose maps change the shape unless an argument has the new one.

        One without maps, as the first of `Y' = V`, `V' = f(Y)`, is evaluated at the new shape.
        """
        outer = self._changes_shape
        new = any(has_new_shape(argument, self.new) for argument in node.arguments)
        self._changes_shape = not new and self.writer.uses_maps(node, component)
        with self._with_shortcuts(not self._changes_shape):
            code = super().rate(node, component)
        self._changes_shape = outer
        return code

    def parameter(self, name: str) -> str:
        """A parameter or map of the step, in the version that changes the shape where one does."""
        if self._changes_shape and name in self.writer.maps:
            return f"self.{self.writer.entry_attribute(name)}[0]"
        return super().parameter(name)

    @contextmanager
    def _with_shortcuts(self, apply: bool) -> Generator[None]:
        """A context in which old values go through the shortcut, if that is to apply."""
        outer = self.current
        self.current = {
            key: name if not apply or self._has_new(key) else f"self.shortcut({name})"
            for key, name in self.names.items()
        }
        yield
        self.current = outer

    def _has_new(self, key: ValueKey) -> bool:
        name, offset, _ = key
        return expr.Slot(name, offset) in self.new or expr.Stage(name) in self.new


def _entry_layers(entry: EntryMap) -> list[Layer]:
    """The layers of a map that changes the shape, with the stride in the strided one."""
    layers = list(entry.layers)
    if entry.stride_index is not None:
        layer = layers[entry.stride_index]
        layers[entry.stride_index] = replace(
            layer, arguments={**layer.arguments, "stride": "stride"}
        )
    return layers
