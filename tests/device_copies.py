"""Records copies between host and device, each of which would make the host wait for a GPU.

The tests use the device `meta` in place of a GPU. Reading a value of a `meta` tensor raises by itself;
copies from and to it do not, so they are recorded here.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

CONSTRUCTORS = (torch.tensor, torch.as_tensor, torch.asarray)


class DeviceCopies(TorchDispatchMode):
    """Records copies between the host and `meta` while it is entered.

    Attributes:
        descriptions: one text for each copy.
    """

    def __init__(self):
        super().__init__()
        self.descriptions = []
        self._constructors = _HostConstructors(self.descriptions)

    def __enter__(self):
        self._constructors.__enter__()
        return super().__enter__()

    def __exit__(self, *reason):
        super().__exit__(*reason)
        self._constructors.__exit__(*reason)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._schema.name in ("aten::_to_copy", "aten::copy_"):
            source = args[1] if func._schema.name == "aten::copy_" else args[0]
            if source.device != out.device:
                self.descriptions.append(f"{func} of {tuple(source.shape)}")
        if func._schema.name == "aten::index" and out.is_meta:  # copies indices from the host
            host_indices = [i for i in args[1] if i is not None and i.device.type == "cpu"]
            self.descriptions.extend(f"{func} by {i}" for i in host_indices)
        return out


class _HostConstructors(TorchFunctionMode):
    """Records calls such as `torch.tensor(…, device="meta")`: the dispatcher does not see their copy."""

    def __init__(self, descriptions):
        super().__init__()
        self._descriptions = descriptions

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        device = kwargs.get("device")
        if func in CONSTRUCTORS and device is not None and torch.device(device).type == "meta":
            if not (isinstance(args[0], torch.Tensor) and args[0].is_meta):
                self._descriptions.append(f"{func.__name__}({args[0]})")
        return func(*args, **kwargs)
