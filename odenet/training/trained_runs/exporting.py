"""A trained network as a file for other programs, checked against the original.

An exported network takes what data sets store, uint8 pixels or numbers, and standardises them
itself: what a program outside of odenet would otherwise have to be told.
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

COMPARED_SAMPLES = 4  # that the exported network and the original are compared on
TOLERANCE = 1e-4  # of the scores, relative to the largest
EXPORTERS = ("torch.onnx", "onnxscript", "onnx_ir")  # which log remarks about themselves


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        path: the file.
        takes: what it takes, in words.
        difference: the largest of the scores from the original's, relative to the largest score;
            None where a file holds weights alone.
    """

    path: Path
    takes: str
    difference: float | None


def export_run(run: TrainedRun, path: str | Path) -> Exported:
    """Write the network of a run as `.onnx`, `.pt2` (torch.export) or `.safetensors` (weights).

    Args:
        run: from `odenet.load_run`.
        path: its ending says which.

    Raises:
        TrainingError: the ending is another, the network cannot be exported, or what came out
            does not compute what the network does; nothing is written then.
        WriteError: if the file cannot be written.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        weights = {n: t.contiguous() for n, t in run.network.state_dict().items()}
        write_bytes(path, save(weights))
        return Exported(path, "the weights alone, by their names in network.py", None)
    if path.suffix not in _FORMATS:
        raise NotPossible(
            f"{path} has no ending that says what to write",
            "take .onnx, .pt2 (torch.export, in place of TorchScript) or .safetensors",
        )
    sample = _random_samples(run, COMPARED_SAMPLES)
    with torch.no_grad(), quiet(EXPORTERS):
        content, compute = _FORMATS[path.suffix](run.model, sample)
        others = _random_samples(
            run, COMPARED_SAMPLES + 1
        )  # a batch of another size than it was exported with
        wanted, found = run.model(others), compute(others)
    difference = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))
    if not difference <= TOLERANCE:
        raise NotPossible(
            f"the exported network's scores differ by {difference:.1e} of the largest, more than "
            f"{TOLERANCE:g}: nothing was written"
        )
    write_bytes(path, content)
    return Exported(path, f"(batch, {', '.join(map(str, sample.shape[1:]))}) {_dtype_text(sample)}",
                    difference)  # fmt: skip


def _exported_program(model: nn.Module, sample: Tensor) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    try:
        return torch.export.export(model, (sample,), dynamic_shapes=({0: batch},))
    except Exception as error:  # of many types, for anything that it cannot follow
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise NotPossible(f"the network cannot be exported: {reason[0]}") from error


def _as_pt2(model: nn.Module, sample: Tensor) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    stream = io.BytesIO()
    torch.export.save(_exported_program(model, sample), stream)
    stream.seek(0)
    return stream.getvalue(), torch.export.load(stream).module()


def _as_onnx(model: nn.Module, sample: Tensor) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    require("export", "ONNX")
    import onnxruntime

    exported: Any = torch.onnx.export(
        _exported_program(model, sample), (), input_names=["input"], output_names=["scores"],
        dynamo=True, verbose=False,
    )  # fmt: skip
    content = exported.model_proto.SerializeToString()
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


def _dtype_text(sample: Tensor) -> str:
    known = {torch.uint8: "uint8 pixels", torch.int64: "int64 tokens"}
    return known.get(sample.dtype, "float32")
