"""`odenet export`: the network of a run as a file for other programs, compared with the original.

The exported network takes samples as data sets store them, uint8 pixels or float32 numbers, and
standardises them itself, so that other programs need no preprocessing.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from odenet.extras import require
from odenet.files import write_bytes
from odenet.training.console import quiet
from odenet.training.errors import NotPossible
from odenet.training.trained_runs.trained_run import TrainedRun

EXAMPLES = 4  # samples in the batch that the network is traced with
TOLERANCE = 1e-4  # for the difference of the outputs, relative to the largest output
EXPORTER_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")  # only their errors are shown


@dataclass(frozen=True)
class ExportedFile:
    """A file that was written.

    Args:
        path: the path of the file.
        input_text: the input of the network, such as `(batch, 1, 8, 8) uint8 pixels`; for a file
            of weights, words that say so.
        relative_difference: the largest difference between an output of the exported network and
            that of the original, divided by the largest output; None for a file of weights.
    """

    path: Path
    input_text: str
    relative_difference: float | None


def export_run(run: TrainedRun, path: str | Path) -> ExportedFile:
    """Write the network of a run as `.onnx`, `.pt2` (torch.export) or `.safetensors` (weights).

    Args:
        run: a run from `odenet.load_run`.
        path: the file, whose ending decides the format.

    Raises:
        TrainingError: the ending is unknown, the network cannot be exported, or the exported
            network gives other outputs. Nothing is written then.
        WriteError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        write_bytes(path, save({n: t.contiguous() for n, t in run.network.state_dict().items()}))
        return ExportedFile(path, "the weights alone, by their names in network.py", None)
    if path.suffix not in _FORMATS:
        help_ = "take .onnx, .pt2 (torch.export, in place of TorchScript) or .safetensors"
        raise NotPossible(f"{path} has no ending that says what to write", help_)
    example = _random_samples(run, EXAMPLES)
    with torch.no_grad(), quiet(EXPORTER_LOGGERS):
        content, exported = _FORMATS[path.suffix](run.model, example)
        inputs = _random_samples(run, EXAMPLES + 1)  # another batch size than that of the example
        expected, actual = run.model(inputs), exported(inputs)
    difference = float((actual - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
    if not difference <= TOLERANCE:
        problem = f"differ by {difference:.1e} of the largest, more than {TOLERANCE:g}"
        raise NotPossible(f"the exported network's scores {problem}: nothing was written")
    write_bytes(path, content)
    shape = ", ".join(map(str, example.shape[1:]))
    return ExportedFile(path, f"(batch, {shape}) {_dtype_text(example)}", difference)


def _exported_program(model: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    """A model traced by `torch.export`, for any batch size."""
    batch = torch.export.Dim("batch", min=1)
    try:
        return torch.export.export(model, (example,), dynamic_shapes=({0: batch},))
    except Exception as error:  # of many types, if the tracer does not support an operation
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise NotPossible(f"the network cannot be exported: {reason[0]}") from error


def _as_pt2(model: nn.Module, example: Tensor) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    """The content of a `.pt2` file with a model, and a function that runs what it holds."""
    stream = io.BytesIO()
    torch.export.save(_exported_program(model, example), stream)
    stream.seek(0)
    return stream.getvalue(), torch.export.load(stream).module()


def _as_onnx(model: nn.Module, example: Tensor) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    """The content of an `.onnx` file with a model, and a function that runs what it holds."""
    require("export", "ONNX")
    import onnxruntime

    onnx_program: Any = torch.onnx.export(
        _exported_program(model, example), (), input_names=["input"], output_names=["scores"],
        dynamo=True, verbose=False,
    )  # fmt: skip
    content = onnx_program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content)
    return content, lambda inputs: torch.from_numpy(session.run(None, {"input": inputs.numpy()})[0])


_FORMATS = {".pt2": _as_pt2, ".onnx": _as_onnx}


def _random_samples(run: TrainedRun, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if run.program.vocabulary is not None:
        return torch.randint(run.program.vocabulary, (count, *run.whole), generator=generator)
    if run.samples == "uint8":
        return torch.randint(256, (count, *run.whole), dtype=torch.uint8, generator=generator)
    return torch.randn(count, *run.whole, generator=generator)


def _dtype_text(example: Tensor) -> str:
    names = {torch.uint8: "uint8 pixels", torch.int64: "int64 tokens"}
    return names.get(example.dtype, "float32")
