"""odenet.files, which writes all files of the package: atomically, with modes and links kept.

The last tests search the package for any other code that writes files.
"""

import ast
import errno
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from odenet import files
from odenet.diagnostics import render
from tests.file_faults import FailingOs, make_device

ROOT = Path(__file__).parents[1]


def error_text(caught):
    """The message that a user reads of an error that pytest caught."""
    return render(files.describe_error(caught.value))


def test_a_new_file_has_the_mode_that_the_process_gives_new_files(tmp_path):
    previous_umask = os.umask(0o027)
    try:
        files.write_text(tmp_path / "new", "Ψ\n")
    finally:
        os.umask(previous_umask)
    assert (tmp_path / "new").read_bytes() == "Ψ\n".encode()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, mode):
    (tmp_path / "file").write_text("before")
    (tmp_path / "file").chmod(mode)
    files.write_text(tmp_path / "file", "after")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_stays_a_link_and_its_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("before")
    (tmp_path / "link").symlink_to("there/file")
    (tmp_path / "to_nothing").symlink_to("there/new")
    files.write_text(tmp_path / "link", "after")
    files.write_text(tmp_path / "to_nothing", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "to_nothing").is_symlink()
    assert (tmp_path / "there" / "file").read_text() == "after"
    assert (tmp_path / "there" / "new").read_text() == "new"


def test_a_planted_link_under_the_name_of_the_partial_file_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "precious").write_text("precious")
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "known")
    (tmp_path / files.PARTIAL_PATTERN.replace("*", "known")).symlink_to(tmp_path / "precious")
    with pytest.raises(files.WriteError):
        files.write_text(tmp_path / "file", "text")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "file").exists()


def test_a_pipe_is_written_through_and_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    files.write_text(tmp_path / "pipe", "through\n")
    assert reader.communicate()[0] == b"through\n"
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_device_stays_a_device(tmp_path):
    null = make_device(tmp_path / "null", minor=3)  # as /dev/null
    files.write_text(null, "away")
    assert stat.S_ISCHR(null.stat().st_mode) and os.listdir(tmp_path) == ["null"]
    full = make_device(tmp_path / "full", minor=7)  # as /dev/full
    with pytest.raises(files.WriteError) as caught:
        files.write_text(full, "away")
    assert error_text(caught).startswith(
        "error[unwritable-file]: this cannot be written: the disk is full"
    )
    assert str(full) in error_text(caught)


def test_text_written_to_dev_stdout_keeps_its_place_among_printed_lines(tmp_path):
    script = (
        "from odenet.files import write_text\nprint(1); write_text('/dev/stdout', '2\\n'); print(3)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    with (tmp_path / "out").open("wb") as out:
        subprocess.run(command, env=environment, stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "1\n2\n3\n"
    piped = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert piped.stdout == b"1\n2\n3\n"


@pytest.mark.parametrize("error_number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("operation", ["open", "chmod", "fsync", "replace"])
def test_the_file_has_its_old_or_its_new_text_whichever_operation_fails(
    tmp_path, monkeypatch, operation, error_number
):
    for failing_call in (1, 2, 3):
        (tmp_path / "file").write_text("old")
        failing_os = FailingOs(operation, failing_call, error_number)
        monkeypatch.setattr(files, "os", failing_os)
        with suppress(files.WriteError):
            files.write_text(tmp_path / "file", "new")
        monkeypatch.undo()
        text = (tmp_path / "file").read_text()
        assert text in (("old", "new") if failing_os.failed else ("new",))
        assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("error_number", "is_written"),
    [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False), (errno.ENOSPC, False)],
)
def test_a_failing_fsync_is_an_error_unless_the_file_system_does_not_support_it(
    tmp_path, monkeypatch, error_number, is_written
):
    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(files, "os", FailingOs("fsync", failing_call=1, error_number=error_number))
    with suppress(files.WriteError) if is_written else pytest.raises(files.WriteError):
        files.write_text(tmp_path / "file", "new")
    monkeypatch.undo()
    assert (tmp_path / "file").read_text() == ("new" if is_written else "old")


def test_nobody_else_reads_a_private_file_while_it_is_replaced(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o600)
    previous_umask = os.umask(0)
    try:
        with files.atomic_writer(tmp_path / "file"):
            partial = next(path for path in tmp_path.iterdir() if path.name != "file")
            assert stat.S_IMODE(partial.stat().st_mode) == 0o600
    finally:
        os.umask(previous_umask)


@pytest.fixture
def small_disk(tmp_path):
    """The mount point of a file system of one megabyte; needs root."""
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", mount_point], capture_output=True
    )
    if mount.returncode:
        pytest.skip("this process cannot mount a disk")
    yield mount_point
    subprocess.run(["umount", mount_point], check=True)


def test_a_full_disk_leaves_the_only_copy_as_it_was(small_disk):
    files.write_bytes(small_disk / "file", b"old" * 1000)
    with pytest.raises(files.WriteError) as caught:
        files.write_bytes(small_disk / "file", b"n" * 2**21)
    assert "the disk is full" in error_text(caught)
    assert (small_disk / "file").read_bytes() == b"old" * 1000
    assert os.listdir(small_disk) == ["file"]


def test_a_full_disk_is_named_when_torch_save_fails(small_disk):
    with (
        pytest.raises(files.WriteError) as caught,
        files.atomic_writer(small_disk / "weights.pt") as stream,
    ):
        torch.save({"a": torch.zeros(2**19)}, stream)  # two megabytes
    assert "the disk is full" in error_text(caught) and "weights.pt" in error_text(caught)
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("no/such/file", "there is no such folder"),
        ("folder", "it is a folder"),
        ("file/below", "something on the way to it is not a folder"),
        ("n" * 300, "the name is too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(tmp_path, path, why):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(files.WriteError) as caught:
        files.write_text(tmp_path / path, "text")
    assert error_text(caught).startswith(f"error[unwritable-file]: this cannot be written: {why}\n")
    assert str(tmp_path / path) in error_text(caught)


def test_a_folder_is_made_with_its_parents_and_it_is_returned_whether_it_is_new(tmp_path):
    folder = tmp_path / "a" / "b" / "c"
    assert files.make_folder(folder) is True
    assert folder.is_dir()
    assert files.make_folder(folder) is False
    assert files.make_folder(folder.with_name("d")) is True
    (tmp_path / "file").write_text("")
    with pytest.raises(files.WriteError) as error:
        files.make_folder(tmp_path / "file")
    assert error.value.filename == str(tmp_path / "file")


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "below").mkdir()
    for name in (".odenet-0123.partial", "below/.odenet-4567.partial", "mine.partial", ".odenet"):
        (tmp_path / name).write_text("")
    files.remove_partial_files(tmp_path)
    assert {p.name for p in tmp_path.rglob("*")} == {"below", "mine.partial", ".odenet"}


WRITING_METHODS = {
    "write_text", "write_bytes", "savefig", "save_file", "dump", "mkdir", "makedirs", "replace",
    "rename", "to_csv", "touch", "symlink_to", "hardlink_to", "link", "symlink", "copyfile",
    "copytree", "move", "NamedTemporaryFile", "mkstemp", "mkdtemp", "tofile", "savez", "imsave",
}  # fmt: skip
# Calls that look like writing, but write no file of the user's, or write into a stream that
# odenet.files has opened.
OTHER_WRITERS = {
    "odenet/cli/__init__.py": {"os.open"},  # opens the null device
    "odenet/training/runs/run_lock.py": {"os.open"},  # opens the lock
    "odenet/training/sweeps/sweep_workers.py": {"log.open"},  # other processes write the log
    "odenet/training/figures.py": {"figure.savefig"},
    "odenet/report/svg.py": {"self._figure.savefig"},  # writes into a text
    "odenet/training/run_folder/checkpoints.py": {"torch.save"},
    "odenet/language/source_files.py": {"os.open"},  # opens a file to read it
    "odenet/conversion/zoo.py": {"torch.save"},
    "odenet/editor/server.py": {"os.fdopen"},  # opens copies of the standard streams
}
REGISTER_METHODS = ("replace", "rename")  # in odenet/runtime, where they do not concern files


def opens_for_writing(call):
    """Whether a call opens a file in a mode that writes, as far as its text tells."""
    name = ast.unparse(call.func)
    if not name.endswith("open"):
        return False
    modes = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    modes += [k.value.value for k in call.keywords if k.arg == "mode"]
    return name == "os.open" or any(set("wax+") & set(str(mode)) for mode in modes)


def writing_calls(text):
    """The calls of a text that write files, with their lines."""
    for call in ast.walk(ast.parse(text)):
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func)
        owner, _, method = name.rpartition(".")
        is_text_replace = method == "replace" and owner != "os" and len(call.args) != 1
        is_writing_method = owner and method in WRITING_METHODS and not is_text_replace
        if is_writing_method or name in ("torch.save", "shutil.copy") or opens_for_writing(call):
            yield name, call.lineno


def test_nothing_else_in_the_package_writes_files():
    unexpected = []
    for path in sorted((ROOT / "odenet").rglob("*.py")):
        module = path.relative_to(ROOT).as_posix()
        allowed = OTHER_WRITERS.get(module, set())
        for name, line in writing_calls(path.read_text(encoding="utf-8")):
            is_register = module.startswith("odenet/runtime/") and name.endswith(REGISTER_METHODS)
            if module != "odenet/files.py" and name not in allowed and not is_register:
                unexpected.append(f"{module}:{line}: {name}")
    assert unexpected == []


@pytest.mark.parametrize(
    ("line", "is_write"),
    [
        ('p.write_text("")', True),
        ('open(p, "w")', True),
        ('p.open(mode="ab")', True),
        ("os.replace(a, b)", True),
        ("p.replace(b)", True),
        ("torch.save(a, b)", True),
        ("f.savefig(p)", True),
        ('s.replace("a", "b")', False),
        ("open(p)", False),
        ('p.open(encoding="utf-8")', False),
    ],
)
def test_the_search_for_writes_finds_them(line, is_write):
    assert bool(list(writing_calls(line))) is is_write
