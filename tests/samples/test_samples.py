"""Samples run as they stand, in a process and a folder of their own."""

import os
import re
import subprocess
import sys

import cv2
import pytest

from codriver.tasks import VIEWS
from tests import ROOT
from tests.clips import make_clip, make_video
from tests.tiny import make_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_tiny_bundle(tmp_path_factory.mktemp("samples") / "tiny.bundle", golden=False)


def sample(name, *arguments, folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "sdk")}
    return subprocess.run(
        [sys.executable, str(ROOT / "samples" / name), *map(str, arguments)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_minimal_prints_a_line_per_step(bundle, tmp_path):
    done = sample("minimal.py", bundle, make_clip(tmp_path, frames=24), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 24
    assert "init" in lines[0] and "-, -, -, -" in lines[0]
    assert "ok" in lines[-1] and "-, " not in lines[-1]


def test_minimal_answers_as_well_with_cameras_alone_as_with_a_clip(bundle, tmp_path):
    where = ",".join(f"{view}={make_video(tmp_path / f'{view}.mp4', 24, view=view)}" for view in VIEWS)
    done = sample("minimal.py", bundle, where, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 24 and "ok" in lines[-1] and "-, " not in lines[-1]


def test_minimal_fits_on_one_screen():
    assert len((ROOT / "samples" / "minimal.py").read_text().splitlines()) <= 25


def test_minimal_without_arguments_says_how_to_call_it(tmp_path):
    done = sample("minimal.py", folder=tmp_path)
    assert done.returncode == 1 and "python samples/minimal.py" in done.stderr


def test_cameras_writes_the_file_it_is_told_to(bundle, tmp_path):
    views = ("incar", "front")
    where = ",".join(f"{view}={make_video(tmp_path / f'{view}.mp4', 5, view=view)}" for view in views)
    done = sample("cameras.py", bundle, where, "--file", tmp_path / "answers.mp4", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert cv2.VideoCapture(str(tmp_path / "answers.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 5


@pytest.mark.skipif(not re.search(r"GUI:\s+NONE", cv2.getBuildInformation()), reason="it has windows")
def test_cameras_without_windows_says_so_and_writes_a_file(bundle, tmp_path):
    done = sample("cameras.py", bundle, f"incar={make_video(tmp_path / 'a.mp4', 3)}", folder=tmp_path)
    assert done.returncode == 0 and "has no windows: writing codriver.mp4" in done.stderr
    assert (tmp_path / "codriver.mp4").stat().st_size > 0


def test_cameras_names_a_source_that_is_not_there(bundle, tmp_path):
    done = sample("cameras.py", bundle, "incar=no.mp4", folder=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "no.mp4" in done.stderr


def test_worker_counts_every_frame(bundle, tmp_path):
    done = sample("worker.py", bundle, make_clip(tmp_path, frames=6), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    counts = [line.split() for line in done.stdout.splitlines()[-4:]]
    assert [words[0] for words in counts] == ["incar:", "front:", "left:", "right:"]
    assert all(words[3] == "6" and int(words[1]) + int(words[7]) == 6 for words in counts)


def test_worker_names_a_bundle_that_is_not_there(tmp_path):
    done = sample("worker.py", "no.bundle", make_clip(tmp_path), folder=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("worker.py: no.bundle")


def test_the_readme_names_every_sample():
    readme = (ROOT / "samples" / "README.md").read_text()
    names = [path.name for path in (ROOT / "samples").glob("*.py") if path.name != "__init__.py"]
    assert names and all(f"python samples/{name}" in readme for name in names)
