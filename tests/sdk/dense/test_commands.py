"""The device's commands on bundles with maps and boxes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from codriver.cli.main import main
from codriver.dense.letterbox import Letterbox
from codriver.dense.results import Boxes, Map, Segmentation
from codriver.sources.base import FrameSet
from codriver.view.dense import overlaid
from codriver.view.record import Record
from tests.clips import make_clip, make_video, percept
from tests.tiny_road import CAMERA, combined_manifest, make_tiny_road


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_road(tmp_path_factory.mktemp("road") / "road.bundle")


def test_info_and_verify_know_the_graph(road: Path, capsys: Any) -> None:
    assert main(["info", str(road)]) == 0
    told = capsys.readouterr().out
    assert "maps and boxes of front, 96x64, every frame, set bdd100k" in told and "Lane lines" in told
    assert main(["verify", str(road), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["task"] for row in found["golden"]] == ["vehicles", "drivable_area", "lane_lines"] and found["ok"]


def test_a_run_writes_boxes_and_draws_the_road(road: Path, tmp_path: Path, capsys: Any) -> None:
    video = make_video(tmp_path / "front.mp4", 12, view="front")
    out, view, sheet = (tmp_path / name for name in ("o.jsonl", "view.mp4", "sheet.png"))
    told = ["--out", str(out), "--view", str(view), "--sheet", str(sheet)]
    assert main(["run", str(road), "--source", f"front={video}", *told]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 12 and lines[-1]["state"] == "ok"
    assert set(lines[-1]["dense"]["drivable_area"]["shares"]) == {"direct", "alternative", "background"}
    assert lines[-1]["dense"]["vehicles"]["boxes"] and cv2.imread(str(sheet)).shape == (732, 1920, 3)
    assert "drivable_area" in capsys.readouterr().err


def test_a_recording_of_both_replays_to_the_bit(tmp_path: Path, capsys: Any) -> None:
    bundle = make_tiny_road(tmp_path / "both.bundle", combined_manifest())
    clip = make_clip(tmp_path, frames=20)
    drive = tmp_path / "drive"
    assert main(["run", str(bundle), "--source", str(clip), "--record", str(drive), "--out", str(tmp_path / "o")]) == 0
    capsys.readouterr()
    assert main(["replay", str(drive), "--bundle", str(bundle), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["different"] == 0 and found["compared"] == 20


def test_small_pictures_of_a_sheet_have_the_road_and_boxes_at_their_size_and_other_views_are_as_they_were() -> None:
    image = np.full((*CAMERA, 3), 100, np.uint8)
    corners = np.array([[0, 0, CAMERA[1] - 1, CAMERA[0] - 1]], np.float32)
    boxes = Boxes(kind="detection", boxes_px=corners, scores=np.array([0.9], np.float32), labels=("v",))
    at = FrameSet({"front": image, "left": image}, 0.0)
    record = Record((), ("front", "left"), mapped="front")
    record.add(at, replace(percept(), dense={"vehicles": boxes}))
    (instant,) = record.instants(1)
    front, left = instant.thumbs["front"], instant.thumbs["left"]
    assert (front[0] != 100).any(axis=1).all() and (front[:, -1] != 100).any(axis=1).mean() > 0.9  # the box's edges
    assert (left == 100).all() and front.shape == left.shape


def test_classes_tint_their_own_pixels_and_boxes_and_units_are_drawn() -> None:
    image = np.full((*CAMERA, 3), 100, np.uint8)
    box = Letterbox(CAMERA, (64, 96))
    classes = np.full((16, 24), 2, np.uint8)
    classes[:, :12] = 0
    road = Segmentation(kind="segmentation", values=classes, box=box, labels=("direct", "alternative", "background"))
    tinted = overlaid(image, {"road": road})
    assert (tinted[:, 80:] == 100).all() and (tinted[:, :79] != 100).any(axis=2).all() and (image == 100).all()
    corners = np.array([[100, 50, 140, 80], [10, 10, 30, 30]], np.float32)
    boxes = Boxes(kind="detection", boxes_px=corners, scores=np.array([0.9, 0.1], np.float32), labels=("v", "v"))
    outlined = overlaid(image, {"boxes": boxes})
    assert (outlined[50, 100:140] != 100).any(axis=1).all() and (outlined[:40, :40] == 100).all()
    depth = Map(kind="depth", values=np.full((16, 24), 5, np.float32), box=box, unit="m")
    assert (overlaid(image, {"depth": depth})[:30, -50:] != 100).any(axis=2).all()
