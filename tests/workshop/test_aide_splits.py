"""The lists of clips: every row is a clip that is there, and two equal digests speak of the same clips."""

from __future__ import annotations

from pathlib import Path

import pytest

from codriver.errors import ConfigError, SourceError
from workshop.aide_splits import SPLITS, read_split, split_digest

ROW = "AIDE_Dataset/{0}/,AIDE_Dataset/annotation/{0}.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three clips without frames: the lists do not look at those."""
    for name in ("0001", "0002", "0003"):
        (tmp_path / "AIDE_Dataset" / name).mkdir(parents=True)
        (tmp_path / "AIDE_Dataset" / "annotation").mkdir(exist_ok=True)
        (tmp_path / "AIDE_Dataset" / "annotation" / f"{name}.json").write_text(f'{{"clip": "{name}"}}')
    write(tmp_path, ROW.format("0002"), ROW.format("0001"))
    return tmp_path


def write(root: Path, *rows: str, split: str = "train") -> None:
    (root / SPLITS[split]).write_text("\n".join(["0,1", *rows]) + "\n")


def test_clips_come_in_the_order_of_the_rows_and_the_first_row_is_a_header(root: Path) -> None:
    first, second = read_split(root, "train")
    assert (first.id, second.id) == ("0002", "0001")
    assert first.folder == root / "AIDE_Dataset" / "0002"
    assert first.annotation == root / "AIDE_Dataset" / "annotation" / "0002.json"


def test_spaces_around_a_path_and_empty_rows_are_forgiven(root: Path) -> None:
    write(root, "", " AIDE_Dataset/0001 , AIDE_Dataset/annotation/0001.json ", "")
    assert [ref.id for ref in read_split(root, "train")] == ["0001"]


@pytest.mark.parametrize("split", SPLITS)
def test_each_split_has_its_own_list(root: Path, split: str) -> None:
    write(root, ROW.format("0003"), split=split)
    assert [ref.id for ref in read_split(root, split)] == ["0003"]


def test_an_unknown_split_is_refused_with_those_that_are(root: Path) -> None:
    with pytest.raises(ConfigError, match="split 'training' is not one of train, val, test"):
        read_split(root, "training")


def test_a_missing_list_is_refused_with_what_a_data_set_holds(root: Path) -> None:
    with pytest.raises(SourceError, match=r"testing\.csv is missing; expected training\.csv, valid.*AIDE_"):
        read_split(root, "test")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW.format("0009"), r"training\.csv, row 3: clip folder .*0009 does not exist; expected .*; mend the row"),
        (
            "AIDE_Dataset/0001/,AIDE_Dataset/annotation/9.json",
            r"row 3: annotation .*9\.json does not exist; expected .*; mend",
        ),
        ("AIDE_Dataset/annotation/0001.json,AIDE_Dataset/0001/", "row 3: clip folder"),
        (ROW.format("0001") + ",0", "row 3: 3 columns; expected 2: clip folder, annotation"),
        (
            "AIDE_Dataset/0002/,AIDE_Dataset/annotation/0003.json",
            r"clip 0002 with annotation 0003\.json; expected 0002",
        ),
        ("AIDE/root/autodl-tmp/" + ROW.format("0002"), "row 3: clip folder"),
        ("AIDE_Dataset/0001/", "row 3: 1 columns; expected 2"),
    ],
)
def test_a_row_that_is_no_clip_is_refused_with_its_number(root: Path, row: str, message: str) -> None:
    write(root, ROW.format("0001"), row)
    with pytest.raises(SourceError, match=message):
        read_split(root, "train")


@pytest.mark.parametrize("text", ["", "0,1\n", "0,1\n\n"])
def test_a_list_without_a_clip_is_refused(root: Path, text: str) -> None:
    (root / "training.csv").write_text(text)
    with pytest.raises(SourceError, match=r"training\.csv lists no clip; expected the header row"):
        read_split(root, "train")


def test_a_list_without_its_header_is_refused_for_its_first_clip_would_be_lost(root: Path) -> None:
    (root / "training.csv").write_text(ROW.format("0001") + "\n" + ROW.format("0002") + "\n")
    with pytest.raises(SourceError, match=r"begins with 'AIDE_Dataset/0001/.*expected the header row 0,1"):
        read_split(root, "train")


def test_a_clip_in_two_splits_is_refused_with_both_rows(root: Path) -> None:
    write(root, ROW.format("0003"), ROW.format("0001"), split="test")
    with pytest.raises(SourceError, match=r"training\.csv, row 3: lists .*0001, and so does testing\.csv, row 3"):
        read_split(root, "train")


def test_a_clip_that_is_listed_twice_is_refused(root: Path) -> None:
    write(root, ROW.format("0003"), ROW.format("0003"))
    with pytest.raises(SourceError, match=r"training\.csv lists 0003 2 times"):
        read_split(root, "train")


def test_the_digest_is_the_same_for_the_same_clips_wherever_they_lie(root: Path, tmp_path: Path) -> None:
    before = split_digest(read_split(root, "train"))
    assert len(before) == 64 and split_digest(read_split(root, "train")) == before
    moved = root.rename(tmp_path.parent / f"{tmp_path.name}-moved")
    assert split_digest(read_split(moved, "train")) == before


def test_the_digest_changes_with_an_annotation_a_clip_and_their_order(root: Path) -> None:
    refs = read_split(root, "train")
    digests = {split_digest(refs), split_digest(refs[::-1]), split_digest(refs[:1])}
    write(root, ROW.format("0002"), ROW.format("0003"))
    digests.add(split_digest(read_split(root, "train")))
    (root / "AIDE_Dataset" / "annotation" / "0001.json").write_text('{"clip": "0001", "emotion_label": "anger"}')
    digests.add(split_digest(refs))
    assert len(digests) == 5
