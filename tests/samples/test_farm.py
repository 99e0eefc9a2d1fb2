"""Two boards behind labgrid, each an sshd on loopback: what is copied to them runs, and one page holds both."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codriver.bundle.manifest import VariantSpec
from targets.kit import main as kit
from targets.profiles.profile import FOLDER
from tests import ROOT
from tests.aide import write_dataset
from tests.loopback_farm import farm, needs_sshd
from tests.tiny import make_tiny_bundle

PACKAGES = [path for path in sys.path if path.endswith("site-packages")]
MEMORY_MB = {"patient": 1000, "small": 1}  # any board keeps within the one, none within the other


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiles")
    text = (FOLDER / "x86-ort.toml").read_text()
    for name, most_mb in MEMORY_MB.items():
        patient = text.replace("latency_budget_ms = 100\n", "latency_budget_ms = 9000\n")
        (folder / f"{name}.toml").write_text(
            patient.replace("memory_budget_mb = 1000\n", f"memory_budget_mb = {most_mb}\n")
        )
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, profiles: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    """farm.py on two boards and on one that nobody has set up: how it ended, and the folder of what it wrote."""
    folder = tmp_path_factory.mktemp("farm")
    data = write_dataset(folder / "data", clips=3, frames=24)
    fp32 = VariantSpec(name="fp32", engine="onnxruntime", requires=(), encoder="e.onnx", fuser="f.onnx")
    bundle = make_tiny_bundle(folder / "tiny.bundle", target="patient", variants=(fp32,))
    packed = [str(bundle), "--data", str(data), "--profiles", str(profiles), "--out", str(folder / "kit.tar")]
    assert kit(packed) == 0
    (folder / "bench").mkdir()
    asked = [
        "board-1",
        "board-2=small",
        "board-3",
        "--out",
        folder / "out",
        "--folder",
        folder / "on",
        "--validate=--steps 20",
    ]
    with farm(folder / "bench", ["board-1", "board-2"], shared=PACKAGES) as environment:
        command = [sys.executable, ROOT / "samples/farm/farm.py", folder / "kit.tar", *asked]
        environment["PYTHONPATH"] = f"{ROOT / 'sdk'}:{ROOT}"
        done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, timeout=300)
        places = subprocess.run(["labgrid-client", "who"], env=environment, capture_output=True, text=True).stdout
    assert "board" not in places, "a board is still held"
    return done, folder


@needs_sshd
@pytest.mark.slow
def test_the_page_names_the_boards_and_says_which_one_may_not_ship(
    ran: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, folder = ran
    page = (folder / "out" / "farm.html").read_text()
    for board in ("board-1", "board-2"):
        (subject,) = evidence(folder, board)["subjects"]
        assert subject["machine"]["board"] == board and f"patient · fp32 · {board}" in page
    assert "(2)" not in page and "judged by the budgets of small" in page
    assert "patient · fp32 · board-2: may not ship" in done.stdout
    assert "patient · fp32 · board-1: not shown that it may ship" in done.stdout  # by one clip and twenty steps


@needs_sshd
@pytest.mark.slow
def test_a_board_that_missed_a_budget_is_fetched_too_and_one_without_evidence_keeps_nobody_else_from_it(
    ran: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, folder = ran
    assert done.returncode == 1, done.stdout + done.stderr
    assert "board-1: exit code 0" in done.stdout and "board-2: exit code 1" in done.stdout
    assert "board-3: no evidence: exit code 1 of labgrid-client -p board-3 acquire" in done.stdout
    logs = {path.name for path in (folder / "out" / "board-2" / "found").iterdir()}
    assert logs >= {"doctor-tiny.bundle.txt", "verify-tiny.bundle.txt", "evidence.json", "evidence.html", "said.txt"}


@needs_sshd
@pytest.mark.slow
def test_a_board_runs_the_wheel_that_was_copied_to_it_and_names_the_commit_that_it_is_of(
    ran: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, folder = ran
    for board in ("board-1", "board-2"):
        assert re.search(rf"codriver runs from \S+/on-{board}/env/lib/\S+/codriver/__init__.py", done.stdout)
        (subject,) = evidence(folder, board)["subjects"]
        assert subject["measured"]["git_commit"] == (folder / f"on-{board}" / "COMMIT").read_text() != "unknown"
    assert not (folder / "on-board-1" / "data" / "AIDE_Dataset" / "0001").exists(), "it is no test clip"


def evidence(folder: Path, board: str) -> dict[str, object]:
    return dict(json.loads((folder / "out" / board / "found" / "evidence.json").read_text()))


def test_the_readme_says_what_the_sample_does_and_it_keeps_within_sixty_lines() -> None:
    sample, readme = (ROOT / "samples" / "farm" / name for name in ("farm.py", "README.md"))
    assert len(sample.read_text().splitlines()) <= 60
    assert len(re.findall(r"^\d\. \*\*", readme.read_text(), re.MULTILINE)) == 3


def test_bundles_of_one_name_are_refused_before_anything_is_packed(
    tmp_path: Path, bundle_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(bundle_path, tmp_path / "other" / bundle_path.name))
    out = tmp_path / "kit.tar"
    assert kit([str(bundle_path), str(other), "--data", str(dataset), "--out", str(out)]) == 2
    assert "rename one" in capsys.readouterr().err and not out.exists()
