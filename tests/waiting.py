"""Finds what would make the host wait for a GPU, on the device `meta`.

There reading a value raises by itself. Copies to the device do not, and from ordinary memory they
wait as well, also those that `torch.tensor` and its like hide from the dispatcher.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

MAKERS = (torch.tensor, torch.as_tensor, torch.asarray)


class Copies(TorchDispatchMode):
    """Counts the copies between the host and `meta`."""

    def __init__(self):
        super().__init__()
        self.found = []
        self._makers = _Makers(self.found)

    def __enter__(self):
        self._makers.__enter__()
        return super().__enter__()

    def __exit__(self, *reason):
        super().__exit__(*reason)
        self._makers.__exit__(*reason)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._schema.name in ("aten::_to_copy", "aten::copy_"):
            source = args[1] if func._schema.name == "aten::copy_" else args[0]
            if source.device != out.device:
                self.found.append(f"{func} of {tuple(source.shape)}")
        if func._schema.name == "aten::index" and out.is_meta:
            hosts = [i for i in args[1] if i is not None and i.device.type == "cpu"]
            self.found.extend(f"{func} by {i}" for i in hosts)
        return out


class _Makers(TorchFunctionMode):
    def __init__(self, found):
        super().__init__()
        self._found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        device = kwargs.get("device")
        if func in MAKERS and device is not None and torch.device(device).type == "meta":
            if not (isinstance(args[0], torch.Tensor) and args[0].is_meta):
                self._found.append(f"{func.__name__}({args[0]})")
        return func(*args, **kwargs)
