"""The class of a unit's first step, whose maps change the shape (odenet/model/typed/entry.py).

The author's lines are those of any other step. Values from before it have the old shape, and the
result of a right-hand side the new one; in a sum with new values, or beside them in the arguments
of a right-hand side, an old value goes through the shortcut.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from odenet.derive import Derivation
from odenet.emit.constructors import constants, layer_code, let_numbers, parameter
from odenet.emit.expressions import Code
from odenet.emit.frame import Frame, Value
from odenet.emit.layout import docstring, lay_out, strings
from odenet.emit.step_printer import StepPrinter
from odenet.model.expressions import expr
from odenet.model.tables.layers import Layer
from odenet.model.typed.entry import EntryMap, entry_maps, is_new, maps_used, renewed


class EntryWriter:
    """Writes the class.

    Args:
        frame: the names; also those of the flow's class, which is written before.
        derivation: of the scheme.
        stem: of the names of the classes.
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
        same = [*rates, "initial"]
        return [
            f"class {self.stem}Entry(Entry):",
            *docstring([text], 4),
            "",
            f"    slots = {strings(frame.slots)}",
            f"    states = {strings(tuple(frame.state(state) for state in model.system))}",
            *(f"    {name} = {self.stem}Flow.{name}" for name in same),
            "",
            *self._init(),
            "",
            "    def forward(self, u):",
            '        """The state after the step, in the new shape."""',
            *(part for line in self._forward() for part in lay_out(line, 8)),
        ]

    def _init(self) -> list[str]:
        """`__init__`: numbers as in the flow, and the weights of one step."""
        frame, model = self.frame, self.frame.model
        parts = model.dynamics.parts
        sizes = f"parts={parts}, space={self.space}"
        keywords, numbers = constants(frame, self.derivation, "T")
        shape = ["channels", "into", "*", "stride=1", 'shortcut="stride"', *keywords]
        body = [
            f"super().__init__(channels, into, stride, shortcut, {sizes})",
            f"c, c_new = {'channels' if parts == 1 else f'channels // {parts}'}, into",
            *numbers,
            *let_numbers(frame),
        ]
        body += [
            parameter(frame, replace(learned, shared=True), self.space)
            for learned in model.parameters.values()
        ]
        for name, enters in maps_used(model):
            if enters:
                attribute, layers = self.entered(name), _strided(self.maps[name])
            else:
                attribute = frame.names("spec", name)
                layers = [renewed(layer) for layer in model.maps[name].layers]
            inner = ", ".join(layer_code(layer) for layer in layers)
            body.append(f"self.{attribute} = layers(1, lambda: nn.Sequential({inner}))")
        head = lay_out(f"def __init__({', '.join(['self', *shape])}):", 4)
        return head + [part for line in body for part in lay_out(line, 8)]

    def entered(self, name: str) -> str:
        """The attribute of a map that changes the shape."""
        return self.frame.names("entered", name, f"{self.frame.names('spec', name)}_in")

    def uses_maps(self, node: expr.Rate, component: int) -> bool:
        """Whether a right-hand side can change the shape."""
        return not self.maps.keys().isdisjoint(self.frame.rate_method(node, component).params)

    def _forward(self) -> list[str]:
        """The lines of the step."""
        frame = self.frame
        registers = frame.registers()
        printer = _EntryPrinter(self, registers)
        names = list(registers.values())
        left = f"({names[0]},)" if len(names) == 1 else ", ".join(names)
        lines = [f"{left} = self.initial(u)"]
        for update in frame.scheme.updates:
            target = update.target
            offset = target.offset if isinstance(target, expr.Slot) else 0
            for i in range(len(frame.components(target.name))):
                key = (target.name, offset, i)
                name = frame.value(*key)
                lines.append(f"{name} = {printer.line(update.value, i).text}")
                printer.names[key] = name
            if is_new(update.value, printer.new):
                printer.new.add(target)
        values = [printer.after(expr.Slot(name, k + 1), i) for name, k, i in registers]
        return [*lines, f"return State({', '.join(values)})"]


class _EntryPrinter(StepPrinter):
    """Prints the lines of a step in which some values have the new shape already.

    Attributes:
        new: the slots and stages that have it.
        names: the variable of each value.
    """

    def __init__(self, writer: EntryWriter, current: dict[Value, str]):
        super().__init__(writer.frame, current, "0")
        self.writer = writer
        self.new: set[expr.Node] = set()
        self.names = dict(current)
        self._enters = False

    def line(self, value: expr.Node, component: int) -> Code:
        """The code of a formula."""
        with self._shortened(is_new(value, self.new)):
            return self(value, component)

    def after(self, slot: expr.Slot, component: int) -> str:
        """A value after the step, in the new shape."""
        name = self.names[slot.name, slot.offset, component]
        return name if slot in self.new else f"self.shortcut({name})"

    def rate(self, node: expr.Rate, component: int) -> Code:
        """A right-hand side, whose maps change the shape unless an argument has the new one.

        One without maps, as the first of `Y' = V`, `V' = f(Y)`, is evaluated at the new shape.
        """
        before = self._enters
        new = any(is_new(argument, self.new) for argument in node.arguments)
        self._enters = not new and self.writer.uses_maps(node, component)
        with self._shortened(not self._enters):
            code = super().rate(node, component)
        self._enters = before
        return code

    def param(self, name: str) -> str:
        """A map of the step, by its part in it."""
        if self._enters and name in self.writer.maps:
            return f"self.{self.writer.entered(name)}[0]"
        return super().param(name)

    @contextmanager
    def _shortened(self, yes: bool) -> Generator[None]:
        """Within, old values go through the shortcut, or are as they were."""
        before = self.current
        self.current = {
            key: name if not yes or self._has_new(key) else f"self.shortcut({name})"
            for key, name in self.names.items()
        }
        yield
        self.current = before

    def _has_new(self, key: Value) -> bool:
        name, offset, _ = key
        return expr.Slot(name, offset) in self.new or expr.Stage(name) in self.new


def _strided(entry: EntryMap) -> list[Layer]:
    """The layers of a map that changes the shape, with the stride where it belongs."""
    found = list(entry.layers)
    if entry.strided is not None:
        layer = found[entry.strided]
        found[entry.strided] = replace(layer, arguments={**layer.arguments, "stride": "stride"})
    return found
