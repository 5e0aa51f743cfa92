"""What a run is started with, kept in its folder so that the run needs nothing from outside."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import odenet
from odenet.compiler import Program
from odenet.diagnostics import Report, Source
from odenet.files import make_folder, write_bytes
from odenet.language import parse
from odenet.language.reading import read
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
    needs: str = "",
) -> None:
    """Write everything that reproduces the run; the record, which makes it a run, last.

    Args:
        folder: where to.
        program: what is trained.
        settings: values from outside that it was compiled with.
        options: where it runs.
        data: what it is trained on.
        verdicts: see `Record`.
        needs: what has to be given again, where a program gave the data; else empty.
    """
    spec = Path(program.model.source.name)
    kept = _SpecCopies(folder)
    text = kept.copy_spec(Source(str(spec), program.text))
    texts = kept.files | {folder.spec: text}
    for path, content in texts.items():
        folder.write(path, content)
    if kept.files:  # module and certificate are those of the text that is kept
        program = odenet.loads(text, settings, str(folder.path / f"{program.name}.ode"))
    _write_plugins(folder)
    folder.write(folder.module, program.source())
    folder.write(folder.certificate, f"{program.certificate}\n")
    folder.write(folder.certificate.with_suffix(".json"), program.certificate_json())
    versions = {name: metadata.version(name) for name in ("torch", "lightning")}
    folder.write_record(
        Record(
            name=program.name,
            settings=settings,
            options=options,
            classes=data.classes,
            loss=loss_kind(program.recipe.loss).name,
            **data_statistics(data),
            versions={"odenet": odenet.__version__, **versions},
            verdicts=verdicts,
            data_from_python=needs,
            samples=data.train.stored_dtype,
            spec_folder=spec_folder(program),
            files={path.relative_to(folder.path).as_posix(): sha256_of(path) for path in texts},
        )
    )


def data_statistics(data: SplitLoaders) -> dict[str, Any]:
    """What the samples are standardised with, as the record has it."""
    transforms = data.transforms
    return {
        "mean": transforms.mean.flatten().tolist(),
        "deviation": transforms.deviation.flatten().tolist(),
        "labels": data.labels,
    }


def require_same_sample_type(data: SplitLoaders, before: str) -> None:
    """Refuse bytes where a run was trained on other numbers, and the other way round.

    Args:
        data: what it is measured on, or goes on with.
        before: what its samples were stored as.
    """
    found = data.train.stored_dtype
    if found != before:
        raise DataMisfit(
            f"samples of {data.name} are {found}, and the run was trained on {before}",
            "give samples of that kind: bytes are taken as pixels",
        )


def _write_plugins(folder: RunFolder) -> None:
    """Copy the plugins, byte for byte; of two of the same name, one under its digest."""
    for plugin in loaded_plugins():
        make_folder(folder.plugins)
        copy = folder.plugins / plugin.path.name
        if copy.exists():
            copy = folder.plugins / f"{plugin.digest[:12]}.py"
        write_bytes(copy, plugin.path.read_bytes())


def require_same_spec(spec: Path, folder: RunFolder) -> None:
    """Refuse a spec that is not, with all that it uses, what the run keeps.

    Raises:
        TrainingError: if it is another one.
    """
    kept = _SpecCopies(folder)
    texts = {folder.spec: kept.copy_spec(read(spec))} | kept.files
    for path, text in texts.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise NotResumable(
                f"{spec} is not what the run began with, {folder.spec}",
                "leave it out to go on with the run, or start a new run",
            )


class _SpecCopies:
    """The texts of a spec and of the files that it uses, each naming the others' copies.

    Attributes:
        files: the copies of the used files, by where they go.
    """

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.files: dict[Path, str] = {}
        self._names: dict[Path, str] = {}  # of copies, by the file that was used

    def copy_spec(self, source: Source) -> str:
        """The text of the spec itself; fills `files`."""
        return self._with_copied_paths(source, f"{self.folder.used.name}/")

    def _with_copied_paths(self, source: Source, prefix: str) -> str:
        """A text whose `use` lines name copies."""
        text = source.text
        for use in reversed(parse(source, Report()).of(Use)):
            used = (Path(source.name).parent / use.path).resolve()
            line = use.span.text.replace(f'"{use.path}"', f'"{prefix}{self._copy_used_file(used)}"')
            text = text[: use.span.start] + line + text[use.span.end :]
        return text

    def _copy_used_file(self, used: Path) -> str:
        """The name of a file's copy, which is made when it is first asked for."""
        if used not in self._names:
            name = f"{len(self._names) + 1}.ode"
            self._names[used] = name
            self.files[self.folder.used / name] = self._with_copied_paths(read(used), "")
        return self._names[used]
