"""A folder is there as a whole or not at all, and says what made it."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from codriver.errors import CodriverError, ConfigError
from codriver.files.atomic import sha256
from workshop import artifacts
from workshop.artifacts import (
    add_line,
    check_docs_result,
    git_commit,
    provenance,
    whole_folder,
    write_json,
    write_text,
)

MARKER = "meta.json"


def fill(out: Path, **files: str) -> None:
    """An artefact at `out` of these files beside its marker."""
    with whole_folder(out, marker=MARKER) as folder:
        write_json(folder / MARKER, {"schema": 1})
        for name, text in files.items():
            (folder / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    """Everything below a folder, hidden or not."""
    return {str(p.relative_to(folder)): p.read_text() if p.is_file() else "folder" for p in folder.rglob("*")}


def test_a_folder_appears_when_it_is_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    with whole_folder(out, marker=MARKER) as folder:
        assert not out.exists() and folder.parent == out.parent
        write_json(folder / MARKER, {"schema": 1})
        (folder / "parts").mkdir()
    assert sorted(content(tmp_path)) == ["deep", "deep/run", "deep/run/meta.json", "deep/run/parts"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o755


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_or_ctrl_c_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), whole_folder(tmp_path / "run", marker=MARKER) as folder:
        write_json(folder / MARKER, {"schema": 1})
        raise error
    assert content(tmp_path) == {}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_or_ctrl_c_leaves_the_older_folder_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    fill(tmp_path / "run", data="old")
    before = content(tmp_path)
    with pytest.raises(error), whole_folder(tmp_path / "run", marker=MARKER) as folder:
        (folder / "data").write_text("new")
        raise error
    assert content(tmp_path) == before


def test_a_replaced_folder_is_whole_and_holds_nothing_of_the_older_one(tmp_path: Path) -> None:
    fill(tmp_path / "run", data="old", extra="old")
    with whole_folder(tmp_path / "run", marker=MARKER) as folder:
        write_json(folder / MARKER, {"schema": 1})
        (folder / "data").write_text("new")
        assert (tmp_path / "run" / "data").read_text() == "old"
    assert set(content(tmp_path)) == {"run", "run/meta.json", "run/data"}
    assert (tmp_path / "run" / "data").read_text() == "new"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    fill(tmp_path / "run", data="new")
    assert set(content(tmp_path)) == {"run", "run/meta.json", "run/data"}


@pytest.mark.parametrize("kind", ["folder", "file", "link to a run", "link to nothing"])
def test_what_is_no_such_folder_is_refused_before_any_work(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "run"
    if kind == "folder":
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
    elif kind == "file":
        out.write_text("mine")
    else:
        if kind == "link to a run":
            fill(tmp_path / "there")
        out.symlink_to(tmp_path / "there", target_is_directory=True)
    before = content(tmp_path)
    with pytest.raises(ConfigError, match=r"run exists and is not a folder with meta\.json; give the path"):
        with whole_folder(out, marker=MARKER):
            raise AssertionError("the work began")
    assert content(tmp_path) == before


def test_an_older_folder_may_be_protected(tmp_path: Path) -> None:
    fill(tmp_path / "run", data="old")
    with pytest.raises(ConfigError, match="run exists; give the path of a new or an empty folder"):
        with whole_folder(tmp_path / "run", marker=MARKER, replace=False):
            raise AssertionError("the work began")


def test_what_came_into_its_place_during_the_work_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match="is not a folder with"), whole_folder(out, marker=MARKER) as folder:
        write_json(folder / MARKER, {"schema": 1})
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
    assert content(tmp_path) == {"run": "folder", "run/thesis.txt": "mine"}


def test_a_folder_without_its_marker_is_our_own_mistake(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"meta\.json was not written"):
        with whole_folder(tmp_path / "run", marker=MARKER):
            pass
    assert content(tmp_path) == {}


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_last_move_that_fails_brings_the_older_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    fill(tmp_path / "run", data="old")
    before, rename, failures = content(tmp_path), os.rename, [error]

    def fail_once(source: Path, target: Path) -> None:
        if target == tmp_path / "run" and failures:
            raise failures.pop()
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_once)
    with pytest.raises(type(error)):
        fill(tmp_path / "run", data="new")
    assert not failures and content(tmp_path) == before


def test_an_older_folder_that_cannot_be_brought_back_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "run", data="old")
    rename = os.rename

    def fail(source: Path, target: Path) -> None:
        if target == tmp_path / "run":
            raise OSError("disk full")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        fill(tmp_path / "run", data="new")
    assert [path.read_text() for path in tmp_path.rglob("data")] == ["old"]


# What made it


def test_provenance_names_time_tools_commit_and_seed() -> None:
    origin = provenance(("pytest", "no-such-package"), seed=7)
    assert origin["created"].endswith("+00:00") and origin["seed"] == 7
    assert set(origin["tools"]) == {"codriver", "numpy", "pytest", "no-such-package"}
    assert origin["tools"]["pytest"] == pytest.__version__
    assert origin["tools"]["no-such-package"] == "not installed"
    assert origin["git_commit"] == git_commit()


def test_the_commit_says_whether_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sdk"
    package.mkdir()
    monkeypatch.setattr(artifacts, "__file__", str(package / "artefact.py"))
    assert git_commit() == "unknown"
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for arguments in (("init", "-q"), (*who, "commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "first")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    commit = git_commit()
    assert len(commit) == 12 and int(commit, 16) >= 0
    (package / "new.py").write_text("")
    assert git_commit() == f"{commit}+changes"


def test_a_copy_on_a_board_names_the_commit_that_it_was_copied_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "COPIED", tmp_path / "COMMIT")
    assert git_commit() != "0123456789ab+changes"
    (tmp_path / "COMMIT").write_text("0123456789ab+changes\n")
    assert git_commit() == "0123456789ab+changes"


def test_the_commit_is_unknown_where_there_is_no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_commit() == "unknown"


def test_json_is_written_for_people_and_in_utf_8(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "Zoë", "values": [1, 2]})
    data = (tmp_path / "a.json").read_bytes()
    assert data.endswith(b"}\n") and "Zoë".encode() in data
    assert json.loads(data) == {"name": "Zoë", "values": [1, 2]}


def test_sha256_is_the_hexadecimal_one() -> None:
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_full_disk_is_one_line_that_says_how_much_is_free_and_leaves_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "run", data="old")
    before, (soft, hard) = content(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(CodriverError, match=r"run: no room to write it .* MB are free.*another disk") as caught:
            fill(tmp_path / "run", data="x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == "disk-full" and content(tmp_path) == before


def test_a_place_that_cannot_be_written_to_is_named_before_the_work_begins() -> None:
    with pytest.raises(ConfigError, match=r"/proc/none/run cannot be made .*; give a path that you may write to"):
        with whole_folder(Path("/proc/none/run"), marker=MARKER):
            raise AssertionError("the work began")


def test_another_error_of_the_system_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "run", marker=MARKER):
        (tmp_path / "none").read_text()


def git(checkout: Path, *arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@t")
    subprocess.run(["git", *who, *arguments], cwd=checkout, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with code and a docs/, all committed."""
    root = tmp_path / "checkout"
    for name in ("docs/results.md", "training/model.py"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("as committed\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "all")
    return root


@pytest.mark.parametrize("given", [["--out", "{}"], ["--split", "test", "--out={}"]])
@pytest.mark.parametrize("change", ["edited", "new"])
def test_a_result_goes_into_docs_from_a_committed_tree_only(checkout: Path, given: list[str], change: str) -> None:
    arguments = [text.format(checkout / "docs" / "qat") for text in given]
    check_docs_result(arguments, checkout)
    (checkout / "docs/results.md").write_text("a figure")  # results themselves are what is written
    check_docs_result(arguments, checkout)
    name = "training/model.py" if change == "edited" else "training/new.py"
    (checkout / name).write_text("changed\n")
    with pytest.raises(ConfigError, match=rf"docs/qat lies in docs/.*files differ from it: {name}; commit first"):
        check_docs_result(arguments, checkout)
    check_docs_result(["--out", str(checkout / "out"), str(checkout / "docs")], checkout)  # elsewhere, or only read


def test_a_docs_folder_without_git_takes_no_result(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="git cannot tell it"):
        check_docs_result(["--out", str(tmp_path / "docs" / "a.json")], tmp_path)


KILLED = """
import sys
from pathlib import Path
from workshop.artifacts import add_line, write_json
number = 0
while True:
    number += 1
    write_json(Path("values.json"), [number] * 200_000)
    add_line(Path("lines.jsonl"), [number] * 20_000)
    print(number, flush=True)
"""


def test_a_process_that_is_killed_while_it_writes_leaves_files_that_can_be_read(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command, paths = [sys.executable, "-c", KILLED], {"PYTHONPATH": f"{root / 'sdk'}:{root}"}
    for wait_s in (0.0, 0.011, 0.023, 0.041, 0.067):
        with subprocess.Popen(command, cwd=tmp_path, env=os.environ | paths, stdout=subprocess.PIPE) as process:
            assert process.stdout and process.stdout.readline() == b"1\n"
            time.sleep(wait_s)
            process.kill()
        assert len(set(json.loads((tmp_path / "values.json").read_text()))) == 1
        assert all(len(json.loads(line)) == 20_000 for line in (tmp_path / "lines.jsonl").read_text().splitlines())


@pytest.mark.parametrize("write", [write_json, add_line])
def test_values_that_cannot_be_written_leave_the_file_as_it_was(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "some.json", {"old": 1})
    before = content(tmp_path)
    with pytest.raises(TypeError):
        write(tmp_path / "some.json", {"new": [1, 2, object()]})
    assert content(tmp_path) == before


def test_a_file_that_cannot_be_replaced_is_an_error_with_its_name_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(ConfigError, match=r"page\.html cannot be written: Is a directory"):
        write_text(tmp_path / "page.html", "text")
    assert content(tmp_path) == {"page.html": "folder"}


def test_lines_are_added_after_those_that_are_there(tmp_path: Path) -> None:
    for number in range(3):
        add_line(tmp_path / "lines.jsonl", {"number": number})
    assert (tmp_path / "lines.jsonl").read_text() == '{"number": 0}\n{"number": 1}\n{"number": 2}\n'
