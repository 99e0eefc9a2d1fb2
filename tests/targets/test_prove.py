"""A bundle proves each of its variants on that variant's own answers before it is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from codriver.bundle.manifest_json import read_manifest
from codriver.errors import BundleError
from targets import build
from targets.build import prove
from tests.tiny import make_tiny_bundle
from workshop.bundle_writer import seal


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("targets") / "b")


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "b"))


@pytest.fixture(autouse=True)
def features(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """A machine that may run both variants, whatever this one is."""
    features = {"x86", "vnni"}
    monkeypatch.setattr(build, "cpu_features", lambda: features)
    return features


def rewrite_expected(bundle: Path, change: Any) -> None:
    path = bundle / "golden" / "golden.json"
    content = json.loads(path.read_text())
    change(content["clips"][0]["expected"])
    path.write_text(json.dumps(content))
    seal(bundle, read_manifest(bundle))


def swap(expected: dict[str, Any]) -> None:
    expected["ort-x86"], expected["ort-x86-7bit"] = expected["ort-x86-7bit"], expected["ort-x86"]


def test_each_variant_is_held_against_its_own_answers(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prove(bundle)
    said = capsys.readouterr().err
    assert "ort-x86: golden vectors hold" in said and "ort-x86-7bit: golden vectors hold" in said


def test_the_answers_of_another_variant_are_not_good_enough(bundle: Path) -> None:
    rewrite_expected(bundle, swap)
    misses = prove(bundle)
    assert [miss.name for miss in misses] == ["golden:ort-x86", "golden:ort-x86-7bit"]
    assert "the golden vectors fail: driver_emotion is off by" in misses[0].message


def test_a_variant_without_answers_is_not_proven(bundle: Path) -> None:
    rewrite_expected(bundle, lambda expected: expected.pop("ort-x86-7bit"))
    with pytest.raises(BundleError, match="no answers of variant ort-x86-7bit, only of ort-x86; build"):
        prove(bundle)


def test_a_variant_that_this_machine_lacks_something_for_is_named(
    bundle: Path, features: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    features.remove("vnni")
    prove(bundle)
    assert "ort-x86: not proven here, it requires vnni" in capsys.readouterr().err
