"""What a bundle with maps and boxes adds to what comes in: parts of its manifest, golden pictures, odd pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codriver import Perceiver
from codriver.bundle.folder import Bundle
from codriver.bundle.manifest_json import parse_manifest
from codriver.errors import BundleError
from codriver.verify.golden import check_golden
from tests.fuzzed import bounded, changed_json, mutations
from tests.tiny_road import CAMERA, EVERY_KIND, SPEC, combined_manifest, make_tiny_road, road_manifest, scenery

DRAFTS = {
    "road": road_manifest(replace(SPEC, every_s=0.2)),
    "room": road_manifest(EVERY_KIND),
    "both": combined_manifest(),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make_tiny_road(tmp_path_factory.mktemp("fuzz") / name, draft) for name, draft in DRAFTS.items()}


@pytest.fixture(scope="module")
def perceivers(folders: dict[str, Path]) -> Iterator[dict[str, Perceiver]]:
    opened = {name: Perceiver.open(folders[name], threads=1) for name in ("road", "room")}
    yield opened
    for perceiver in opened.values():
        perceiver.close()


@given(data=st.data(), name=st.sampled_from(tuple(DRAFTS)))
@bounded
def test_manifests_with_maps_and_boxes(folders: dict[str, Path], data: st.DataObject, name: str) -> None:
    good = (folders[name] / "manifest.json").read_bytes()
    text = good
    if data.draw(st.booleans()):
        text = changed_json(good, data)
    else:  # in the new parts alone
        content = json.loads(good)
        content["dense"] = json.loads(changed_part(content["dense"], data))
        text = (json.dumps(content, indent=1) + "\n").encode()
    try:
        manifest = parse_manifest(text)
    except BundleError as error:
        assert error.code != "bundle"
    else:
        assert manifest.to_json().encode() == text and all(all(shape) for shape in shapes_of(manifest))


def changed_part(part: Mapping[str, Any], data: st.DataObject) -> str:
    """An object with one value changed, left out or added."""
    changed = dict(part)
    key = data.draw(st.sampled_from((*changed, "other")))
    values = st.one_of(
        st.integers(-64, 5000), st.floats(-1, 20), st.sampled_from(("nyudv2", "incar", "vehicles", "", None)),
        st.lists(st.sampled_from(("vehicles", "lane_lines", "depth", "")), max_size=3),
    )  # fmt: skip
    if data.draw(st.booleans()):
        changed[key] = data.draw(values)
    else:
        changed.pop(key, None)
    return json.dumps(changed)


def shapes_of(manifest: Any) -> list[tuple[int, ...]]:
    return list(manifest.dense.outputs.values()) if manifest.dense else []


@dataclass(frozen=True)
class Changed(Bundle):
    """A folder some of whose files were changed by someone who also wrote their hashes anew."""

    changed: Mapping[str, bytes] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        return self.changed[name] if name in self.changed else super().read(name)


def proven(perceiver: Perceiver, changed: Mapping[str, bytes]) -> None:
    """Golden pictures are refused with a BundleError, or held against what the graph gives, in numbers."""
    old = perceiver.bundle.folder
    folder = Changed(old.path, old.manifest, old.signed_by, old.min_version, changed)
    try:
        found = check_golden(Perceiver(replace(perceiver.bundle, folder=folder)))
    except BundleError as error:
        assert str(error)
    else:
        assert {some.task for some in found} <= set(old.manifest.dense.tasks if old.manifest.dense else ())
        assert all(np.isfinite(some.max_abs) and some.max_abs >= 0 for some in found)


@given(data=st.data(), name=st.sampled_from(("road", "room")))
@bounded
def test_golden_pictures(perceivers: dict[str, Perceiver], data: st.DataObject, name: str) -> None:
    """Their list, and one of their files."""
    perceiver = perceivers[name]
    folder = perceiver.bundle.folder
    listed = folder.manifest.golden
    assert listed is not None
    if data.draw(st.booleans()):
        changed = {listed: changed_json(folder.read(listed), data)}
    else:
        png = data.draw(st.sampled_from(sorted(some for some in folder.manifest.files if some.endswith(".png"))))
        other = data.draw(st.sampled_from(sorted(some for some in folder.manifest.files if some.endswith(".png"))))
        changed = {png: data.draw(st.one_of(st.just(folder.read(other)), mutations(folder.read(png)), st.binary()))}
    proven(perceiver, changed)


sides = st.integers(1, 300)


@given(height=sides, width=sides, level=st.integers(0, 255), name=st.sampled_from(("road", "room")))
@bounded
def test_pictures_of_any_size(perceivers: dict[str, Perceiver], height: int, width: int, level: int, name: str) -> None:
    """A line of pixels is a picture too. What is answered lies in it, in numbers."""
    perceiver = perceivers[name]
    perceiver.reset()
    percept = perceiver.step({"front": np.full((height, width, 3), level, np.uint8)}, 0.0)
    json.dumps(percept.to_dict(), allow_nan=False)
    for result in percept.dense.values():
        if result.valid and result.kind == "detection":
            assert (result.boxes_px >= 0).all() and (result.boxes_px <= [width, height, width, height]).all()
        elif result.valid:
            assert result.on(height, width).shape[:2] == (height, width)


def test_what_is_fuzzed_is_right_as_it_is(perceivers: dict[str, Perceiver]) -> None:
    for perceiver in perceivers.values():
        proven(perceiver, {})
        perceiver.reset()
        assert perceiver.step({"front": scenery(1, CAMERA)}, 0.0).state == "ok"
