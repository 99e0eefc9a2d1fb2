"""A bundle is there as a whole or not at all, and never takes the place of something else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from codriver.bundle.folder import Bundle
from codriver.errors import BundleError
from tests.tiny import tiny_files, tiny_manifest, write_bundle
from workshop.bundle_writer import new_bundle, seal

DRAFT = tiny_manifest()
CONTENT = tiny_files(DRAFT)


def neighbours(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_written_bundle_opens_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "b"
    manifest = write_bundle(out, DRAFT, CONTENT)
    assert Bundle.open(out).manifest == manifest
    assert set(manifest.files) == set(CONTENT)
    assert neighbours(out) == ["b"]


def test_files_are_taken_from_bytes_or_paths(tmp_path: Path) -> None:
    (tmp_path / "card").write_bytes(b"a card")
    write_bundle(tmp_path / "b", DRAFT, CONTENT | {"card.md": tmp_path / "card"})
    assert Bundle.open(tmp_path / "b").read("card.md") == b"a card"


def test_the_same_content_gives_the_same_bundle(tmp_path: Path) -> None:
    first, second = (write_bundle(tmp_path / name, DRAFT, CONTENT) for name in "ab")
    assert first == second
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/manifest.json").read_bytes()


def test_an_older_bundle_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", DRAFT, CONTENT | {"old.txt": b"old"})
    write_bundle(tmp_path / "b", DRAFT, CONTENT)
    assert not (tmp_path / "b" / "old.txt").exists()
    assert neighbours(tmp_path / "b") == ["b"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    write_bundle(tmp_path / "b", DRAFT, CONTENT)
    assert Bundle.open(tmp_path / "b").manifest.name == "tiny"


def test_other_users_may_read_a_bundle(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", DRAFT, CONTENT)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o755


@pytest.mark.parametrize("kind", ["file", "folder", "link", "foreign manifest"])
def test_what_is_no_bundle_is_left_alone(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "b"
    if kind == "file":
        out.write_text("mine")
    elif kind == "link":
        (tmp_path / "real").mkdir()
        out.symlink_to(tmp_path / "real", target_is_directory=True)
    else:
        out.mkdir()
        (out / ("manifest.json" if kind == "foreign manifest" else "mine.txt")).write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BundleError, match="give another path or remove it yourself"):
        write_bundle(out, DRAFT, CONTENT)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bundle_that_holds_something_of_the_users_is_left_alone(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", DRAFT, CONTENT)
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"notes\.txt is no part of the bundle"):
        write_bundle(tmp_path / "b", DRAFT, CONTENT)
    assert (tmp_path / "b" / "notes.txt").read_text() == "mine"


def test_work_that_fails_half_way_leaves_the_older_bundle_and_no_trace(tmp_path: Path) -> None:
    old = write_bundle(tmp_path / "b", DRAFT, CONTENT)
    with pytest.raises(RuntimeError), new_bundle(tmp_path / "b") as folder:
        (folder / "card.md").write_text("half")
        raise RuntimeError
    assert Bundle.open(tmp_path / "b").manifest == old
    assert neighbours(tmp_path / "b") == ["b"]


def test_a_folder_that_was_not_sealed_does_not_become_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"), new_bundle(tmp_path / "b") as folder:
        (folder / "card.md").write_text("unsealed")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_changed_after_sealing_does_not_become_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"card\.md"), new_bundle(tmp_path / "b") as folder:
        for name, data in CONTENT.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        seal(folder, DRAFT)
        (folder / "card.md").write_text("changed")
    assert list(tmp_path.iterdir()) == []


def test_a_draft_that_breaks_a_rule_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"golden\.json is used but not listed"):
        write_bundle(tmp_path / "b", tiny_manifest(golden="golden.json"), CONTENT)
    assert list(tmp_path.iterdir()) == []


def test_everything_is_on_the_disk_before_the_bundle_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, rename = os.fsync, os.rename

    def spy_sync(descriptor: int) -> None:
        events.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def spy_rename(source: os.PathLike[str], target: os.PathLike[str]) -> None:
        events.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", spy_sync)
    monkeypatch.setattr(os, "rename", spy_rename)
    manifest = write_bundle(tmp_path / "b", DRAFT, CONTENT)
    moved = events.index("rename")
    synced = {Path(event).name for event in events[:moved]}
    assert {Path(name).name for name in (*manifest.files, "manifest.json", "ort-x86/x")} - {"x"} <= synced
    assert events[moved + 1 :] == [str(tmp_path)]


def test_a_failed_last_move_brings_the_older_bundle_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = write_bundle(tmp_path / "b", DRAFT, CONTENT)
    rename = os.rename

    def fail_for_new(source: os.PathLike[str], target: os.PathLike[str]) -> None:
        if Path(target) == tmp_path / "b" and ".old." not in str(source):
            raise OSError("disk full")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_for_new)
    with pytest.raises(OSError, match="disk full"):
        write_bundle(tmp_path / "b", DRAFT, CONTENT | {"new.txt": b"new"})
    assert Bundle.open(tmp_path / "b").manifest == old
