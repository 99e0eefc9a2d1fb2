"""The front door: what is public, how quickly it opens, and what it never needs."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import codriver
from tests import ROOT

WORKSHOP = ("torch", "nncf", "onnx", "training", "quantize", "targets", "samples", "safetensors", "tqdm")


def run_python(code: str, *arguments: str) -> str:
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT / 'sdk')!r})\n{code}",
    ]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_is_what_is_visible_and_every_name_is_there() -> None:
    assert dir(codriver) == codriver.__all__ == sorted(codriver.__all__)
    for name in codriver.__all__:
        assert getattr(codriver, name) is getattr(codriver, name)


def test_modules_of_public_names_are_attributes_without_being_imported_first() -> None:
    assert run_python("import codriver; print(codriver.errors.FrameError is codriver.FrameError)") == "True\n"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'codriver' has no attribute 'Perciever'"):
        codriver.Perciever  # noqa: B018
    with pytest.raises(ImportError, match="Perciever"):
        exec("from codriver import Perciever")


def test_names_come_from_where_type_checkers_are_told_that_they_do() -> None:
    tree = ast.parse(Path(codriver.__file__).read_text())
    (checking,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.name: node.module for node in checking.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert told == {name: f"codriver.{module}" for name, module in codriver._MODULE_OF.items()}
    assert {*told, "__version__"} == set(codriver.__all__)


def test_a_perceiver_shows_what_a_stream_needs_and_nothing_else(bundle_path: Path) -> None:
    shown = {name for name in dir(codriver.Perceiver) if not name.startswith("_")}
    assert shown == {"open", "step", "reset", "swap", "stats", "warm_up", "close", "manifest", "variant", "engine"}
    options = list(inspect.signature(codriver.Perceiver.open).parameters.values())
    assert all(option.kind is option.KEYWORD_ONLY for option in options[1:]) and options[0].name == "path"
    with codriver.Perceiver.open(bundle_path, engine="fake") as perceiver:
        assert [name for name in vars(perceiver) if not name.startswith("_")] == ["bundle"]


@pytest.mark.parametrize("path", [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "samples").glob("*.py")])
def test_what_an_integrator_reads_imports_from_the_front_door_alone(path: Path) -> None:
    names = re.findall(r"^(?:from|import) (codriver[\w.]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(names) <= {"codriver"}


def test_the_version_is_the_packages() -> None:
    declared = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is None or declared.group(1) == codriver.__version__


def test_importing_loads_neither_numpy_nor_a_runtime_nor_an_image_library() -> None:
    loaded = set(run_python("import codriver; print(*sys.modules)").split())
    assert not {"numpy", "onnxruntime", "cv2", "openvino", "tensorrt", "importlib.metadata"} & loaded
    loaded = set(run_python("from codriver import Perceiver; print(*sys.modules)").split())
    assert not {"onnxruntime", "cv2", "openvino", "tensorrt", "importlib.metadata", "codriver.worker"} & loaded


def test_opening_a_bundle_leaves_the_callers_arithmetic_as_it_was(bundle_path: Path) -> None:
    """ONNX Runtime can make numbers near zero vanish, and would do so in the whole thread that opens a session."""
    code = """
from codriver import Perceiver
import numpy as np
Perceiver.open(sys.argv[1], threads=1)
assert np.nextafter(np.float64(0), 1) * 1.0 > 0
print("kept")
"""
    assert run_python(code, str(bundle_path)) == "kept\n"


def test_everything_works_where_the_workshop_is_not_installed(bundle_path: Path) -> None:
    code = f"""
for name in {WORKSHOP!r}:
    sys.modules[name] = None
import importlib, pkgutil
import numpy as np
import codriver
for module in pkgutil.walk_packages(codriver.__path__, "codriver."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from codriver.verify.golden import check_golden
random = np.random.default_rng(0)
for engine in ("auto", "fake"):
    with codriver.Perceiver.open(sys.argv[1], engine=engine, threads=1) as perceiver:
        check_golden(perceiver)
        for number in range(9):
            frame = random.integers(0, 256, (48, 64, 3), np.uint8)
            percept = perceiver.step(dict.fromkeys(codriver.tasks.VIEWS, frame), number / 5)
        assert percept.traffic_context.valid, percept  # an untrained finder sees no driver in noise
print("stepped")
"""
    assert run_python(code, str(bundle_path)) == "stepped\n"
