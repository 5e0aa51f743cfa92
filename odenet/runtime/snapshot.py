"""Modules as evaluations find them, to be taken before and repeated on after.

Most modules are at every evaluation what they were at the one before. So a likeness of a module is
made once, with replicas to repeat evaluations on, and serves for as long as a look at the module,
and at a replica that comes back, finds the same objects in the same places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import is_
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from odenet.runtime.attributes import Contents, own_attributes
from odenet.runtime.replica import HOOKS, Replica, parts
from odenet.runtime.watch import let_go

_HOLDERS = ("_parameters", "_buffers", "_modules", *HOOKS)
_SMALL = 4096  # entries of a tensor that is copied rather than watched

# Submodule -> (large buffer or tensor attribute, mode) -> whether evaluations change it.
_changing: WeakKeyDictionary[nn.Module, dict[tuple[str, bool], bool]] = WeakKeyDictionary()


class Look:
    """What the parts of a module hold at one moment, to see later whether they still do.

    Args:
        modules: the parts.

    Attributes:
        steady: whether that can be seen: none has a state of another kind, or keeps a tensor that
            is not registered, and may be a result.
    """

    def __init__(self, modules: Sequence[nn.Module]):
        self._modules = modules
        own = (value for module in modules for _, value in own_attributes(module))
        self._contents = Contents(own)
        compiled = any(isinstance(module, torch.jit.ScriptModule) for module in modules)
        self.steady = not compiled and self._contents.steady
        if not self.steady:
            return
        holders: list[dict] = [vars(module)[name] for module in modules for name in _HOLDERS]
        self._empty = [holder for holder in holders if not holder]
        self._filled = [holder for holder in holders if holder]
        self._kinds = list(map(type, modules))
        self._names, self._values = self._now()

    def holds(self) -> bool:
        """Whether nothing has been put in another's place, as far as one can tell."""
        if not self.steady or any(self._empty):
            return False
        names, values = self._now()
        return (
            names == self._names
            and all(map(is_, values, self._values))
            and all(map(is_, map(type, self._modules), self._kinds))
            and self._contents.same()
        )

    def _now(self) -> tuple[list, list]:
        held = [*map(vars, self._modules), *self._filled]
        return [*chain.from_iterable(held)], [*chain.from_iterable(map(dict.values, held))]


class Likeness:
    """A module as it was at one moment, and replicas of it.

    Args:
        module: is left alone.

    Attributes:
        module: the module.
        pristine: a replica that nothing is evaluated on.
        look: at the module at that moment.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        self.pristine = Replica(module)
        self.look = Look(parts(module))
        self._idle: list[tuple[Replica, Look]] = []  # replicas in which nothing is left

    def lend(self) -> Loan:
        """A replica for one repetition."""
        try:
            return Loan(self._idle, *self._idle.pop())
        except IndexError:
            replica = Replica(self.pristine.module)
            return Loan(self._idle, replica, Look(parts(replica.module)))


class Loan:
    """A replica for one repetition.

    Args:
        idle: where it goes back to.
        replica: the replica.
        look: at the replica as it was made.

    Attributes:
        replica: the replica.
    """

    def __init__(self, idle: list[tuple[Replica, Look]], replica: Replica, look: Look):
        self.replica = replica
        self._idle = idle
        self._look = look

    def give_back(self) -> None:
        """After the repetition: keeps the replica for another one if nothing is left in it."""
        if not self._look.steady:
            return
        self.replica.restore()
        if not self.replica.custom or self._look.holds():
            self._idle.append((self.replica, self._look))


class Likenesses:
    """The likenesses of a flow's modules, made anew where a module has changed."""

    def __init__(self) -> None:
        self._found: dict[int, Likeness] = {}

    def of(self, module: nn.Module) -> Likeness:
        """One that holds."""
        found = self._found.get(id(module))
        if found is None or found.module is not module or not found.look.holds():
            found = Likeness(module)
            self._found.pop(id(module), None)
            if found.look.steady:
                self._found[id(module)] = found
        return found

    def keep(self, modules: Iterable[nn.Module]) -> None:
        """Lets go of those of all modules but these."""
        for other in self._found.keys() - set(map(id, modules)):
            self._found.pop(other, None)


class Snapshot:
    """A module as an evaluation finds it, to be taken before the evaluation.

    Small tensors that are not parameters are copied; large ones are copied until an evaluation has
    shown that it does not change them, and watched from then on.

    Args:
        likeness: of the module; one that holds.
    """

    def __init__(self, likeness: Likeness):
        self._likeness = likeness
        self._watched: list[tuple[int, int]] = []  # index of a tensor, and its version
        held = likeness.pristine.tensors
        self._kept = [self._keep(index) for index in range(len(held))] if held else []
        graphs = ((one.tensor, one.tensor.grad_fn) for one in held)
        self._graphs = {id(tensor): graph for tensor, graph in graphs if graph is not None}

    def settle(self) -> None:
        """To be called after the evaluation: lets go of its results, and of copies of what it left.

        Raises:
            RuntimeError: if it changed a large tensor that it left alone before.
        """
        for index, version in self._watched:
            module, _, _, tensor, name = self._likeness.pristine.tensors[index]
            known, key = _changing.setdefault(module, {}), (name, module.training)
            changed = tensor._version != version
            if key not in known:  # `tensor.data.add_` and numpy change it past its version
                changed = changed or not _equal(self._kept[index], tensor)
            if not changed and not known.get(key):
                self._kept[index] = tensor
            elif changed and known.get(key) is False:
                raise RuntimeError(
                    f"{type(module).__name__} changed its tensor {name!r}, which it left alone in "
                    'earlier evaluations, so that no copy was kept; set flow.memory = "stored"'
                )
            known[key] = known.get(key, False) or changed
        let_go(self._likeness.pristine.custom, self._graphs)

    def replayed(self) -> Loan:
        """A copy as the evaluation found the module, for one repetition of it.

        Raises:
            RuntimeError: if a tensor that was watched has changed since.
        """
        shared = set()
        for index, version in self._watched:
            module, _, _, tensor, name = self._likeness.pristine.tensors[index]
            if self._kept[index] is not tensor:
                continue
            if tensor._version != version:
                raise RuntimeError(
                    f"the tensor {name!r} of {type(module).__name__} was changed between the "
                    "forward and the backward pass of rebuilt steps, which read it in both"
                )
            shared.add(index)
        loan = self._likeness.lend()
        with torch.enable_grad():  # so that a tensor that needs a gradient is found to be read
            for index, held in enumerate(loan.replica.tensors):
                kept = self._kept[index]
                held.holder[held.key] = kept if index in shared else kept.clone()
        return loan

    def _keep(self, index: int) -> Tensor:
        module, _, _, tensor, name = self._likeness.pristine.tensors[index]
        if tensor.numel() > _SMALL and not tensor.is_inference():
            self._watched.append((index, tensor._version))
            if _changing.get(module, {}).get((name, module.training)) is False:
                return tensor
        if not tensor.requires_grad:
            return tensor.clone()
        return tensor.detach().clone().requires_grad_()


def _equal(copy: Tensor, tensor: Tensor) -> bool:
    """Whether values are the same, as far as they can be read."""
    if copy.is_meta or torch._C._len_torch_dispatch_stack():
        return True
    return torch.equal(copy, tensor)
