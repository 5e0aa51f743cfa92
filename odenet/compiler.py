"""The compiler: from a file to a `Program`, which keeps the result of every stage.

text ─ language ─► tree ─ model ─► Model ─ derive ─► Derivation ─ analyse ─► Certificate
                                                          └─ emit ─► torch source ─► module

A Derivation holds the forward and inverse steps of a scheme; a Certificate says where the spectrum
of the dynamics lies. Both are compared with numerical experiments first (odenet/confirm).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import odenet
from odenet import analyse
from odenet.analyse import Certificate
from odenet.analyse.claims import ClaimResult, check_claims
from odenet.analyse.density import density_error
from odenet.analyse.export import certificate_json
from odenet.analyse.facts import Facts
from odenet.analyse.scheme_on_dynamics import exact_error
from odenet.analyse.step_constants import constant_errors, has_exponentials
from odenet.confirm import confirmed_certificate, confirmed_derivation
from odenet.derive import Derivation, derive, inverse_lines
from odenet.derive.times import with_times
from odenet.diagnostics import Diagnostic, Report, Source, SpecError
from odenet.emit import notation
from odenet.emit.given_modules import given_modules
from odenet.emit.module import module_source
from odenet.emit.names import class_name
from odenet.emit.notebook import as_html
from odenet.emit.printing import as_latex
from odenet.language.source_files import read
from odenet.language.specs import parse_spec, used_files
from odenet.language.tree import Discretise, File
from odenet.model.reading.build import DEFAULT_SPACE, build
from odenet.model.tables.given_modules import ModuleFactory
from odenet.model.tables.layers import LAYERS
from odenet.model.tables.losses import loss_kind
from odenet.model.tables.recipe import Recipe
from odenet.model.typed.frozen_time import freeze_time
from odenet.model.typed.program import Model, ends_in_classes, flows_of
from odenet.model.typed.spatial_axes import with_spatial_axes

if TYPE_CHECKING:
    from torch import nn

    from odenet.runtime import Flow


def load(path: str | Path, set: Mapping[str, Any] | None = None) -> "Program":
    """Compile a file.

    Args:
        path: the specification.
        set: values that override the file's: `let`s, constants of the scheme, keys of the recipe.

    Raises:
        SpecError: lists all errors in `.diagnostics`.
    """
    return _compile(read(Path(path)), set or {})


def loads(text: str, set: Mapping[str, Any] | None = None, name: str = "model.ode") -> "Program":
    """Compile a text, as `load`; `name` is the file name in messages."""
    return _compile(Source(name, text), set or {})


def _compile(source: Source, settings: Mapping[str, Any]) -> "Program":
    """Run the stages that can refuse a spec; a `Program` runs the other stages on demand."""
    report = Report()
    try:
        file = parse_spec(source, report)
        model = build(file, used_files(file, report), settings, inverse_lines, report)
    except RecursionError:
        message = "a formula of this file is nested too deeply"
        raise SpecError.of("too-large", message, file=source.name) from None
    program = Program(file, with_times(model))
    if program.discretised:
        if model.discretisation.varying or has_exponentials(model.scheme):
            _raise_if_any(*constant_errors(model, program.derivation))
        if model.discretisation.exact:
            _raise_if_any(exact_error(model, program.derivation))
    if loss_kind(model.recipe.loss).needs_density and model.net:
        derivation = program.derivation if program.discretised else None
        _raise_if_any(density_error(model, derivation))
    return program


def _raise_if_any(*diagnostics: Diagnostic | None) -> None:
    """Raise SpecError with the diagnostics that are not None, if there are any."""
    if errors := [diagnostic for diagnostic in diagnostics if diagnostic is not None]:
        raise SpecError(errors)


@dataclass(frozen=True)
class Program:
    """A compiled specification; each stage's result is an attribute, which `print` shows as text.

    Attributes:
        tree: the syntax tree.
        model: the typed program.
    """

    tree: File = field(repr=False)
    model: Model

    @cached_property
    def derivation(self) -> Derivation:
        """What follows from the scheme's text: forward, inverse, order, symmetry, volume.

        Raises:
            SpecError: the file has no `discretise` line.
        """
        discretisation = self.model.discretisation
        derivation = derive(self.model.scheme, discretisation.numbers, discretisation.varying)
        return confirmed_derivation(self.model, derivation)

    @cached_property
    def certificate(self) -> Certificate:
        """The verdict on the spectrum of the dynamics: proved, refuted, or open."""
        return self.decide()

    def decide(self, trials: int = analyse.TRIALS, seed: int = 0) -> Certificate:
        """The certificate with a longer or shorter search for a counterexample.

        Args:
            trials: random starts of the search, which is made where nothing is proved.
            seed: the seed of the random numbers that the search draws.
        """
        return confirmed_certificate(self.frozen, analyse.decide(self.frozen, trials, seed))

    @cached_property
    def frozen(self) -> Model:
        """The model at a fixed time, t as a constant; certificates are about its spectrum."""
        return freeze_time(self.model)

    def source(self, space: int | None = None) -> str:
        """The text of the generated torch module; the same bytes for the same input and version.

        Args:
            space: number of spatial axes of the maps; by default that of the flows of the `net`.

        Raises:
            SpecError: a layer or a parameter does not exist on that many axes.
        """
        default_space = DEFAULT_SPACE if self.model.axes is None else self.model.axes
        space = default_space if space is None else space
        model = self.model if space == default_space else with_spatial_axes(self.model, space)
        return module_source(replace(self.facts, model=model), odenet.__version__, space)

    @cached_property
    def facts(self) -> Facts:
        """Model, derivation and certificate of the file; the equations may depend on t."""
        return replace(self._facts(self.certificate), model=self.model)

    def _facts(self, certificate: Certificate) -> Facts:
        """The facts that claims and advice depend on, with the equations at a fixed time."""
        derived = self.derivation if self.discretised else None
        return Facts(model=self.frozen, derivation_or_none=derived, certificate=certificate)

    @cached_property
    def claims(self) -> list[ClaimResult]:
        """The result of each `require`: proved, refuted or open."""
        return self.judge(self.certificate)

    def judge(
        self, certificate: Certificate, trials: int = analyse.TRIALS, seed: int = 0
    ) -> list[ClaimResult]:
        """The result of each `require` under a certificate that `decide(trials, seed)` gave."""
        return check_claims(self._facts(certificate), trials, seed)

    @cached_property
    def warnings(self) -> list[Diagnostic]:
        """Notes on the file, and advice if its scheme does not suit the spectrum."""
        advice = analyse.advise(self._facts(self.certificate)) if self.discretised else []
        return [*self.model.warnings, *advice]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.model.name

    @property
    def text(self) -> str:
        """The source text of the specification."""
        return self.model.source.text

    @property
    def recipe(self) -> Recipe:
        """The recipe of training."""
        return self.model.recipe

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of one sample, (C, H, W), (D,) or, of tokens, (T,); None without a `net`."""
        shape = self.model.input_shape
        if shape is None:
            return None
        return shape.space if shape.token_ids else (int(shape.channels.constant), *shape.space)

    @property
    def vocabulary(self) -> int | None:
        """The number of different tokens that the `net` reads; None if it reads no tokens."""
        shape = self.model.input_shape
        return shape.vocabulary if shape is not None and shape.token_ids else None

    @property
    def classes(self) -> int | None:
        """The width of the last layer of the `net`; None if that is not a dense layer."""
        net = self.model.net
        return int(net[-1].shape_out.channels.constant) if ends_in_classes(self.model) else None

    @property
    def discretised(self) -> bool:
        """Whether the file has a `discretise` line; without one there is no derivation."""
        return self.model.discretisation_or_none is not None

    def certificate_json(self) -> str:
        """The certificate as JSON, for `odenet verify` or an independent checker."""
        return certificate_json(self.frozen, self.certificate, odenet.__version__)

    def module(self, space: int | None = None) -> ModuleType:
        """The generated module, loaded from its text; debuggers and tracebacks show its lines."""
        from odenet.runtime.generated import load_generated

        return load_generated(class_name(self.name), self.source(space))

    def flow(
        self,
        channels: int,
        steps: int,
        *,
        h: Any = None,
        T: Any = None,
        space: int | None = None,
        **constants: Any,
    ) -> "Flow":
        """The flow without the network, as a torch module on (batch, channels, *space).

        Args:
            channels: channels of its input.
            steps: number of steps.
            h: the step size, in place of the file's; see `constants`.
            T: the final time, h = T / steps, where the file gives it in place of a step size.
            space: number of spatial axes: 2 for images, 1 for sequences (batch, channels, length),
                0 for vectors (batch, channels). By default that of the `net`, and 2 without one.
            constants: constants of the scheme, in place of the file's. One that differs from step
                to step there, `h` too, takes a sequence, or a `Uniform`, `Geometric`, `Learned` or
                `Ramp` of `odenet.runtime`. Also, for each map that is `given`, a function of the
                channels that makes its module for a step.

        Raises:
            ValueError: a sequence does not have one value for each step.
            SpecError: nothing is given for a map.
        """
        constants |= {n: value for n, value in (("h", h), ("T", T)) if value is not None}
        given, constants = given_modules(self.model, constants)
        flow_class = getattr(self.module(space), f"{class_name(self.name)}Flow")
        for name, value in constants.items():
            if not isinstance(value, int | float) and name not in flow_class.varying:
                message = f"{name} is one number in {self.name}, and here it is {value!r}; "
                raise ValueError(f"{message}write one for each step, or learned(…), in the file")
        return flow_class(channels, steps, **given, **constants)

    def network(self, classes: int | None = None, **modules: ModuleFactory) -> "nn.Module":
        """The whole `net`, as a torch module.

        Args:
            classes: the width of a dense last layer, in place of the file's.
            modules: for each map that is `given`, a function of the channels that makes a module.

        Raises:
            SpecError: the file has no `net`, or nothing is given for a map.
        """
        self.require_network()
        self._refuse_unused_starts()
        has_flows = any(flows_of(self.model.net))
        given, unmatched = given_modules(self.model, modules) if has_flows else ({}, modules)
        if unmatched:
            message = f"{self.name} has no map `{next(iter(unmatched))}` that is given"
            raise SpecError.of("missing-module", message, self.model.end_span)
        network = getattr(self.module(), f"{class_name(self.name)}Network")
        sizes = {} if classes is None or self.classes is None else {"classes": classes}
        return network(**sizes, **given)

    def _refuse_unused_starts(self) -> None:
        """Refuse `start` clauses in a file with a layer `existing`, whose flows do not use them."""
        lines = [start for line in self.tree.statements_of(Discretise) for start in line.starts]
        if lines and any(LAYERS[n.name].is_network for n in self.model.net if n.name in LAYERS):
            message = "the flows of `existing` start as their scheme says"
            help_ = "leave this out, or convert the network in Python, odenet.convert(…, v0=…)"
            raise SpecError.of("scheme-start", message, lines[0].span, help_)

    def require_network(self) -> None:
        """Raise SpecError in a file without a `net`."""
        if not self.model.net:
            message = f"{self.name} has no network"
            help_ = (
                "add, say, `net = input(1, 8, 8) -> conv(3, 32) -> flow(6) -> mean -> dense(10)`"
            )
            raise SpecError.of("missing-net", message, self.model.end_span, help_)

    def __repr__(self) -> str:
        scheme = f"; {notation.discretisation(self.model)}" if self.discretised else ""
        return f"<program {self.name}: {', '.join(notation.equations(self.model))}{scheme}>"

    def _repr_html_(self) -> str | None:
        """What a notebook shows; None without the library for MathML: it then shows the LaTeX."""
        return as_html(self.facts, self.claims) if find_spec("latex2mathml") else None

    def _repr_latex_(self) -> str:
        return as_latex(self.facts)

    def __str__(self) -> str:
        parts = [self.derivation, self.certificate] if self.discretised else [self.certificate]
        return "\n\n".join(map(str, parts))
