"""A bundle is used as it was written, or not at all."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from codriver.bundle.folder import Bundle
from codriver.bundle.variants import choose_variant
from codriver.device.cpu import cpu_features
from codriver.errors import BackendMissing, BundleError, ConfigError
from codriver.perceiver import Perceiver

FILES = (
    "card.md",
    "golden/golden.json",
    "ort-x86/encoder.onnx",
    "ort-x86/fuser.onnx",
    "ort-x86-7bit/encoder.onnx",
    "ort-x86-7bit/fuser.onnx",
)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_every_listed_file_reads_as_written(bundle_path: Path) -> None:
    bundle = Bundle.open(bundle_path)
    assert set(FILES) <= set(bundle.manifest.files)
    for name in bundle.manifest.files:
        assert bundle.read(name) == (bundle_path / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, -1])
def test_a_flipped_bit_in_any_file_is_refused_with_its_name(own_bundle_path: Path, name: str, place: int) -> None:
    flip(own_bundle_path / name, place)
    with pytest.raises(BundleError, match=f"{name}: changed, its sha256 is another; fetch the bundle anew"):
        Perceiver.open(own_bundle_path)


def test_a_flipped_bit_in_any_picture_is_refused_with_its_name(own_bundle_path: Path) -> None:
    for path in sorted(own_bundle_path.glob("golden/*.png"))[:5]:
        flip(path, 30)
        with pytest.raises(BundleError, match=path.name):
            Bundle.open(own_bundle_path)
        flip(path, 30)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused_with_both_sizes(own_bundle_path: Path, name: str) -> None:
    data = (own_bundle_path / name).read_bytes()
    (own_bundle_path / name).write_bytes(data[:-1])
    with pytest.raises(BundleError, match=f"{name}: {len(data) - 1} bytes, expected {len(data)}"):
        Bundle.open(own_bundle_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_with_its_name(own_bundle_path: Path, name: str) -> None:
    (own_bundle_path / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: cannot be read"):
        Bundle.open(own_bundle_path)


@pytest.mark.parametrize("name", ["extra.txt", ".hidden", "ort-x86/extra.onnx", ".git/config"])
def test_a_file_that_is_not_listed_is_refused_with_its_name(own_bundle_path: Path, name: str) -> None:
    (own_bundle_path / name).parent.mkdir(exist_ok=True)
    (own_bundle_path / name).write_text("x")
    with pytest.raises(BundleError, match=f"{name}: not listed"):
        Bundle.open(own_bundle_path)


def link(path: Path) -> None:
    kept = path.with_name("kept")
    path.rename(path.parent.parent.parent / kept.name)
    path.symlink_to(path.parent.parent.parent / kept.name)


def link_folder(path: Path) -> None:
    outside = path.parent.parent.parent / "outside"
    path.parent.rename(outside)
    path.parent.symlink_to(outside, target_is_directory=True)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("replace", [link, link_folder, pipe])
def test_links_and_pipes_are_refused_even_where_the_content_is_right(
    own_bundle_path: Path, replace: Callable[[Path], None]
) -> None:
    replace(own_bundle_path / "ort-x86" / "encoder.onnx")
    with pytest.raises(BundleError, match=r"ort-x86.*a link or a device"):
        Bundle.open(own_bundle_path)


def test_a_file_that_turns_into_a_link_after_the_check_is_refused(own_bundle_path: Path) -> None:
    bundle = Bundle.open(own_bundle_path)
    link(own_bundle_path / "ort-x86" / "encoder.onnx")
    with pytest.raises(BundleError, match=r"encoder\.onnx"):
        bundle.read("ort-x86/encoder.onnx")


def test_a_file_that_turns_into_a_pipe_after_the_check_does_not_block(own_bundle_path: Path) -> None:
    bundle = Bundle.open(own_bundle_path)
    pipe(own_bundle_path / "card.md")
    refused = []

    def read() -> None:
        with pytest.raises(BundleError, match="not a plain file"):
            bundle.read("card.md")
        refused.append(True)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    assert refused


def test_a_file_that_changes_after_the_check_is_refused(own_bundle_path: Path) -> None:
    bundle = Bundle.open(own_bundle_path)
    flip(own_bundle_path / "card.md", 3)
    with pytest.raises(BundleError, match=r"card\.md: changed"):
        bundle.read("card.md")


def test_a_bundle_may_be_reached_through_a_link_to_its_folder(bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle_path, target_is_directory=True)
    assert Bundle.open(tmp_path / "current").manifest.name == "tiny"


def test_only_listed_names_are_read(bundle_path: Path) -> None:
    for name in ("../secret", "/etc/passwd", "manifest.json"):
        with pytest.raises(BundleError, match="not listed"):
            Bundle.open(bundle_path).read(name)


@pytest.mark.parametrize(
    ("features", "name"), [({"x86", "vnni"}, "ort-x86"), ({"x86"}, "ort-x86-7bit"), (set(), "ort-x86-7bit")]
)
def test_full_range_weights_are_for_machines_with_vnni(bundle_path: Path, features: set[str], name: str) -> None:
    assert choose_variant(Bundle.open(bundle_path), features).name == name


def for_engines(bundle: Path, *engines: str) -> Bundle:
    """The bundle with its variants made for these runtimes."""
    opened = Bundle.open(bundle)
    pairs = zip(opened.manifest.variants, engines, strict=True)
    return replace(opened, manifest=replace(opened.manifest, variants=tuple(replace(v, engine=e) for v, e in pairs)))


def test_a_variant_whose_runtime_is_not_installed_is_passed_over(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert choose_variant(for_engines(bundle_path, "openvino", "onnxruntime"), {"vnni"}).name == "ort-x86-7bit"


def test_an_engine_asked_for_takes_its_own_variants_alone(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = for_engines(bundle_path, "onnxruntime", "openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendMissing, match=r"ort-x86-7bit needs openvino, not installed .*codriver\[openvino\]"):
        choose_variant(bundle, {"vnni"}, "openvino")
    with pytest.raises(ConfigError, match="engine 'tensorrt': the bundle has variants for onnxruntime, openvino"):
        choose_variant(bundle, {"vnni"}, "tensorrt")


def test_when_nothing_suits_every_variant_says_why_not(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    bundle = for_engines(bundle_path, "onnxruntime", "tensorrt")
    with pytest.raises(BackendMissing, match="ort-x86 requires vnni; ort-x86-7bit needs tensorrt"):
        choose_variant(bundle, {"x86"})


def test_a_bundle_for_another_device_says_which_and_what_to_take(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    bundle = for_engines(bundle_path, "onnxruntime", "tensorrt")
    target = bundle.manifest.target
    with pytest.raises(BackendMissing, match=f"is for {target}: install the runtime, or take one built for this mach"):
        choose_variant(bundle, {"arm"})
    arm = tuple(replace(variant, requires=("arm", "dotprod")) for variant in bundle.manifest.variants)
    with pytest.raises(
        BundleError, match=f"this machine has x86; the bundle is for {target}: take one built"
    ) as caught:
        choose_variant(replace(bundle, manifest=replace(bundle.manifest, variants=arm)), {"x86"})
    assert caught.value.code == "other-target"


@pytest.mark.parametrize(("engine", "variant"), [("onnxruntime", None), ("onnxruntime", "ort-x86"), ("fake", None)])
def test_a_perceiver_says_which_engine_runs_it(bundle_path: Path, engine: str, variant: str | None) -> None:
    with Perceiver.open(bundle_path, engine=engine, threads=1, variant=variant) as perceiver:
        assert perceiver.engine == engine


def test_a_variant_is_not_run_by_another_engine(bundle_path: Path) -> None:
    with pytest.raises(ConfigError, match="engine 'openvino': variant ort-x86 is for onnxruntime; use that"):
        Perceiver.open(bundle_path, engine="openvino", variant="ort-x86")


def test_a_perceiver_says_which_variant_it_took(bundle_path: Path) -> None:
    with Perceiver.open(bundle_path) as perceiver:
        assert perceiver.variant == choose_variant(Bundle.open(bundle_path), cpu_features()).name
    with Perceiver.open(bundle_path, variant="ort-x86") as perceiver:
        assert perceiver.variant == "ort-x86"


def test_a_variant_that_is_not_there_is_refused_with_those_that_are(bundle_path: Path) -> None:
    with pytest.raises(BundleError, match="no variant 'cuda'; it has ort-x86, ort-x86-7bit"):
        Perceiver.open(bundle_path, variant="cuda")
