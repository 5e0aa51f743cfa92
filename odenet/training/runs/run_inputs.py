"""Copies of everything a run starts from (spec, plugins, settings), written into its folder."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import odenet
from odenet.compiler import Program
from odenet.diagnostics import Report, Source
from odenet.files import make_folder, write_bytes
from odenet.language import parse
from odenet.language.source_files import read
from odenet.language.tree import Use
from odenet.model.tables.losses import loss_kind
from odenet.plugins import loaded_plugins
from odenet.training.checksums import sha256_of
from odenet.training.data.data_module import SplitLoaders
from odenet.training.errors import DataMisfit, NotResumable
from odenet.training.run_folder.records import Options, Record, RunFolder
from odenet.training.runs.data_sources import spec_folder


def write_inputs(
    folder: RunFolder,
    program: Program,
    settings: Mapping[str, Any],
    options: Options,
    data: SplitLoaders,
    verdicts: Mapping[str, Any],
    data_from_python: str = "",
) -> None:
    """Write everything that reproduces a run. `run.json`, which marks the folder of a run, is last.

    Args:
        folder: the run's folder.
        program: the compiled spec.
        settings: the values from `--set` that it was compiled with.
        options: where and how it runs.
        data: the data that it is trained on.
        verdicts: see `Record`.
        data_from_python: what has to be passed again on resuming, if the data came from Python code
            instead of a name; else empty.
    """
    spec = Path(program.model.source.name)
    copies = _SpecCopies(folder)
    main_text = copies.copy_spec(Source(str(spec), program.text))
    texts = copies.files | {folder.spec: main_text}
    for path, content in texts.items():
        folder.write(path, content)
    if copies.files:  # the module and the certificate are made from the text that is kept
        program = odenet.loads(main_text, settings, str(folder.path / f"{program.name}.ode"))
    _write_plugins(folder)
    folder.write(folder.module, program.source())
    folder.write(folder.certificate, f"{program.certificate}\n")
    folder.write(folder.certificate.with_suffix(".json"), program.certificate_json())
    versions = {name: metadata.version(name) for name in ("torch", "lightning")}
    record = Record(
        name=program.name,
        settings=settings,
        options=options,
        classes=data.classes,
        loss=loss_kind(program.recipe.loss).name,
        **data_statistics(data),
        versions={"odenet": odenet.__version__, **versions},
        verdicts=verdicts,
        data_from_python=data_from_python,
        samples=data.train.stored_dtype,
        spec_folder=spec_folder(program),
        files={path.relative_to(folder.path).as_posix(): sha256_of(path) for path in texts},
    )
    folder.write_record(record)


def data_statistics(data: SplitLoaders) -> dict[str, Any]:
    """The fields of `Record` that are computed from the training samples."""
    transforms = data.transforms
    return {
        "mean": transforms.mean.flatten().tolist(),
        "deviation": transforms.deviation.flatten().tolist(),
        "labels": data.label_info,
    }


def require_same_sample_type(data: SplitLoaders, trained_on: str) -> None:
    """Refuse uint8 samples if a run was trained on float32 ones, and the other way round.

    Args:
        data: what the run is evaluated on or resumed with.
        trained_on: the type of the samples that it was trained on.
    """
    dtype = data.train.stored_dtype
    if dtype != trained_on:
        message = f"samples of {data.name} are {dtype}, and the run was trained on {trained_on}"
        raise DataMisfit(message, "give samples of that kind: bytes are taken as pixels")


def _write_plugins(folder: RunFolder) -> None:
    """Copy the plugins' files; of two files with the same name, one is named by its digest."""
    for plugin in loaded_plugins():
        make_folder(folder.plugins)
        copy = folder.plugins / plugin.path.name
        if copy.exists():
            copy = folder.plugins / f"{plugin.digest[:12]}.py"
        write_bytes(copy, plugin.path.read_bytes())


def require_same_spec(spec: Path, folder: RunFolder) -> None:
    """Refuse a spec if it, or a file that it uses, differs from the copy in the run's folder.

    Raises:
        TrainingError: if one of the texts differs.
    """
    copies = _SpecCopies(folder)
    texts = {folder.spec: copies.copy_spec(read(spec))} | copies.files
    for path, text in texts.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            message = f"{spec} is not what the run began with, {folder.spec}"
            raise NotResumable(message, "leave it out to go on with the run, or start a new run")


class _SpecCopies:
    """Texts of a spec and of the files in its `use` lines, which are changed to name the copies.

    Attributes:
        files: the texts of the used files, by the path of the copy; nothing is written yet.
    """

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.files: dict[Path, str] = {}
        self._names: dict[Path, str] = {}  # of copies, by the path of the original

    def copy_spec(self, source: Source) -> str:
        """The text for the copy of the spec itself; fills `files`."""
        return self._with_copied_paths(source, f"{self.folder.used.name}/")

    def _with_copied_paths(self, source: Source, prefix: str) -> str:
        """A source text with the paths in its `use` lines replaced by those of copies."""
        text = source.text
        for use in reversed(parse(source, Report()).statements_of(Use)):
            copy = self._copy_used_file((Path(source.name).parent / use.path).resolve())
            line = use.span.text.replace(f'"{use.path}"', f'"{prefix}{copy}"')
            text = text[: use.span.start] + line + text[use.span.end :]
        return text

    def _copy_used_file(self, used_file: Path) -> str:
        """The name of the copy of a used file; the first call for a file adds it to `files`."""
        if used_file not in self._names:
            name = f"{len(self._names) + 1}.ode"
            self._names[used_file] = name
            self.files[self.folder.used / name] = self._with_copied_paths(read(used_file), "")
        return self._names[used_file]
