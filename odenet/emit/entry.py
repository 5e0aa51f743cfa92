"""The class of a unit's first step, whose maps change the shape (odenet/model/typed/unit_entry.py).

A unit is a flow whose first step changes channels or resolution, as a stage of a ResNet does. That
step has the scheme's lines. The values before it have the old shape, and results of right-hand
sides the new one. An old value that meets new ones, in a sum or in the arguments of a right-hand
side, goes through the shortcut.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from odenet.derive import Derivation
from odenet.emit.constructors import constant_lines, layer_code, let_lines, parameter_line
from odenet.emit.expressions import Code
from odenet.emit.layout import docstring, lay_out, string_tuple
from odenet.emit.step_printer import StepPrinter
from odenet.emit.symbols import SymbolTable, ValueKey
from odenet.model.expressions import expr
from odenet.model.tables.layers import Layer
from odenet.model.typed.unit_entry import (
    EntryMap,
    entry_maps,
    has_new_shape,
    maps_in_first_step,
    with_new_width,
)


class EntryWriter:
    """Writes the class of the first step, a subclass of `odenet.runtime.Entry`.

    Args:
        symbols: the Python names, shared with the flow's class, which is written before.
        derivation: the derivation of the scheme.
        stem: the beginning of the class names, `Digits` of `DigitsFlow`.
        space: number of spatial axes.
    """

    def __init__(self, symbols: SymbolTable, derivation: Derivation, stem: str, space: int):
        model = symbols.model
        maps = entry_maps(model.dynamics, model.parameters, model.maps, model.discretisation)
        assert maps is not None
        self.symbols, self.derivation, self.stem = symbols, derivation, stem
        self.space, self.maps = space, maps

    def write(self) -> list[str]:
        """The lines of the class."""
        symbols, model = self.symbols, self.symbols.model
        rates = [method.name for method in symbols.rate_methods.values()]
        text = "The first step of a unit: its right-hand sides give the new shape."
        inherited = [*rates, "initial"]
        return [
            f"class {self.stem}Entry(Entry):",
            *docstring([text], 4),
            "",
            f"    slots = {string_tuple(symbols.slots)}",
            f"    states = {string_tuple(tuple(symbols.state(state) for state in model.system))}",
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
        symbols, model = self.symbols, self.symbols.model
        parts = model.dynamics.input_parts
        sizes = f"parts={parts}, space={self.space}"
        keywords, constants = constant_lines(symbols, self.derivation, h="T")
        arguments = ["channels", "into", "*", "stride=1", 'shortcut="stride"', *keywords]
        body = [
            f"super().__init__(channels, into, stride, shortcut, {sizes})",
            f"c, c_new = {'channels' if parts == 1 else f'channels // {parts}'}, into",
            *constants,
            *let_lines(symbols),
        ]
        body += [
            parameter_line(symbols, replace(parameter, shared=True), self.space)
            for parameter in model.parameters.values()
        ]
        for name, changes_shape in maps_in_first_step(model):
            if changes_shape:
                attribute, layers = self.entry_attribute(name), _entry_layers(self.maps[name])
            else:
                attribute = symbols.spec_name(name)
                layers = [with_new_width(layer) for layer in model.maps[name].layers]
            inner = ", ".join(layer_code(layer) for layer in layers)
            body.append(f"self.{attribute} = layers(1, lambda: nn.Sequential({inner}))")
        head = lay_out(f"def __init__({', '.join(['self', *arguments])}):", 4)
        return head + [part for line in body for part in lay_out(line, 8)]

    def entry_attribute(self, name: str) -> str:
        """The attribute of a map in its version that changes the shape."""
        return self.symbols.python_name("entered", name, f"{self.symbols.spec_name(name)}_in")

    def uses_maps(self, node: expr.Rate, component: int) -> bool:
        """Whether a right-hand side uses maps, which can change the shape."""
        return not self.maps.keys().isdisjoint(self.symbols.rate_method(node, component).params)

    def _forward(self) -> list[str]:
        """The lines of `forward`."""
        symbols = self.symbols
        registers = symbols.registers()
        printer = _EntryPrinter(self, registers)
        names = list(registers.values())
        target_names = f"({names[0]},)" if len(names) == 1 else ", ".join(names)
        lines = [f"{target_names} = self.initial(u)"]
        for update in symbols.scheme.updates:
            target = update.target
            offset = target.offset if isinstance(target, expr.Slot) else 0
            for i in range(len(symbols.components(target.name))):
                key = (target.name, offset, i)
                name = symbols.variable(*key)
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
        names: the variable of each value, before a shortcut.
    """

    def __init__(self, writer: EntryWriter, current: dict[ValueKey, str]):
        super().__init__(writer.symbols, current, step="0")
        self.writer = writer
        self.new: set[expr.Node] = set()
        self.names = dict(current)
        self._changes_shape = False

    def line(self, value: expr.Node, component: int) -> Code:
        """The code of the formula on the right of a line of the scheme."""
        with self._with_shortcuts(has_new_shape(value, self.new)):
            return self(value, component)

    def value_after(self, slot: expr.Slot, component: int) -> str:
        """A value after the step, in the new shape."""
        name = self.names[slot.name, slot.offset, component]
        return name if slot in self.new else f"self.shortcut({name})"

    def rate(self, node: expr.Rate, component: int) -> Code:
        """A right-hand side, whose maps change the shape unless an argument has the new one.

        A right-hand side without maps, as that of `Y' = V`, is evaluated at the new shape.
        """
        outer = self._changes_shape
        has_new = any(has_new_shape(argument, self.new) for argument in node.arguments)
        self._changes_shape = not has_new and self.writer.uses_maps(node, component)
        with self._with_shortcuts(not self._changes_shape):
            code = super().rate(node, component)
        self._changes_shape = outer
        return code

    def parameter(self, name: str) -> str:
        """The step's parameter or map; of a map in `maps` the version that changes the shape."""
        if self._changes_shape and name in self.writer.maps:
            return f"self.{self.writer.entry_attribute(name)}[0]"
        return super().parameter(name)

    @contextmanager
    def _with_shortcuts(self, enabled: bool) -> Generator[None]:
        """A context in which old values go through the shortcut, if that is enabled."""
        outer = self.current
        self.current = {
            key: name if not enabled or self._has_new(key) else f"self.shortcut({name})"
            for key, name in self.names.items()
        }
        yield
        self.current = outer

    def _has_new(self, key: ValueKey) -> bool:
        name, offset, _ = key
        return expr.Slot(name, offset) in self.new or expr.Stage(name) in self.new


def _entry_layers(entry: EntryMap) -> list[Layer]:
    """The layers of a map that changes the shape; one of them has the argument `stride`."""
    layers = list(entry.layers)
    if (index := entry.stride_index) is not None:
        arguments = {**layers[index].arguments, "stride": "stride"}
        layers[index] = replace(layers[index], arguments=arguments)
    return layers
