"""Whatever comes in, what comes out is an answer or an error of ours, soon and without eating the memory.

500 examples each in `make test`; `make fuzz` tries 100,000 new ones each, or FUZZ_EXAMPLES of them.
"""

from __future__ import annotations

import gc
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from codriver.bundle.manifest_json import parse_manifest
from codriver.bundle.signature import SIGNATURE_NAME, Signed, read_signature
from codriver.engines.graphcheck.onnx import check_graph
from codriver.errors import BundleError, CodriverError, EngineError, FrameError, SignatureError, SourceError
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Frame
from codriver.recording.reader import Recording
from codriver.recording.writer import Recorder, RecorderConfig
from codriver.tasks import VIEWS
from tests.fuzzed import MAX_GROWTH, bounded, changed_json, mutations
from tests.tiny import make_tiny_bundle, tiny_encoder, tiny_manifest, tiny_steps
from workshop.signing import signature_json

GRAPH = tiny_encoder(tiny_manifest(("incar", "posture"))).SerializeToString()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("fuzz") / "b", golden=False)


@pytest.fixture(scope="module")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("fuzz") / "b", ("incar",), golden=False)


@pytest.fixture(scope="module")
def perceiver(bundle: Path) -> Iterator[Perceiver]:
    with Perceiver.open(bundle, engine="fake") as perceiver:
        yield perceiver


def test_an_example_that_takes_more_than_512_mib_fails_whatever_came_before() -> None:
    def takes(size: int) -> None:
        np.ones(size, np.uint8)

    kept = np.ones(MAX_GROWTH, np.uint8)
    gc.collect()  # what other tests left would go in the middle of an example, and make room for it
    bounded(takes)(MAX_GROWTH // 2)
    if sys.platform == "linux":
        with pytest.raises(MemoryError):
            bounded(takes)(MAX_GROWTH + (64 << 20))
    assert kept[-1] == 1


# Anything that a caller's mistake may hand in.
numbers = st.one_of(st.integers(-(10**30), 10**30), st.floats(width=64), st.floats(width=32).map(np.float32))
scraps = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8), st.binary(max_size=8))
things = st.recursive(scraps, lambda t: st.lists(t, max_size=4) | st.dictionaries(st.text(max_size=4), t, max_size=3))
dtypes = st.one_of(hnp.integer_dtypes(), hnp.floating_dtypes(), hnp.boolean_dtypes(), hnp.complex_number_dtypes())
arrays = dtypes.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)))
images = st.tuples(st.integers(0, 64), st.integers(0, 64), st.integers(0, 255)).map(
    lambda s: np.full((s[0], s[1], 3), s[2], np.uint8)
)


def like(values: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is right, so that an example gets through the door."""
    return st.one_of(values, values, values, odd)


times = like(st.floats(-1.8, 0.0) | st.floats(0, 1e6), things)
timed = st.builds(Frame, like(images, st.one_of(arrays, things)), like(st.none() | st.floats(-1.9, -1.5), things))
frames = like(
    st.dictionaries(
        like(st.sampled_from(VIEWS), st.text(max_size=6)),
        like(images, st.one_of(timed, arrays, things)),
        max_size=5,
    ),
    things,
)
boxes = like(st.lists(st.floats(width=32), min_size=4, max_size=4), st.one_of(things, arrays))
points = like(
    hnp.arrays(np.float32, (136, 3), elements=st.floats(width=32), fill=st.just(0.5)), st.one_of(things, arrays)
)
drivers = like(st.builds(Driver, face_px=boxes, body_px=boxes, keypoints=points), things)


def step_is_safe(perceiver: Perceiver, *step: Any) -> None:
    """Before each example the perceiver is new, so that examples do not depend on one another."""
    perceiver.reset()
    for number in range(2):
        perceiver.step({"incar": np.full((20, 20, 3), 9, np.uint8)}, -2.0 + number / 5)
    sequence = perceiver._answers.sequence
    try:
        percept = perceiver.step(*step)
    except FrameError:
        assert perceiver._answers.sequence == sequence
        return
    finally:
        for counts in perceiver.stats().views.values():
            assert counts.input == counts.processed + counts.dropped + counts.refused
    json.dumps(percept.to_dict(), allow_nan=False)
    for result in percept.tasks.values():
        assert result.valid == (result.label is not None)
        assert all(math.isfinite(p) for p in result.probabilities.values())


@given(frames=frames, t=times)
@bounded
def test_frames_and_times(perceiver: Perceiver, frames: Any, t: Any) -> None:
    step_is_safe(perceiver, frames, t)


@given(driver=drivers, side=st.integers(1, 64))
@bounded
def test_drivers(perceiver: Perceiver, driver: Any, side: int) -> None:
    step_is_safe(perceiver, {"incar": np.full((side, 40, 3), 7, np.uint8)}, 1.0, driver)


@given(data=st.data())
@bounded
def test_manifests(bundle: Path, data: st.DataObject) -> None:
    good = (bundle / "manifest.json").read_bytes()
    text = changed_json(good, data)
    try:
        manifest = parse_manifest(text)
    except BundleError as error:
        assert error.code != "bundle"
    else:
        assert text == good == manifest.to_json().encode()


@given(graph=st.one_of(mutations(GRAPH), st.binary(max_size=300), st.binary(max_size=60).map(lambda b: GRAPH + b)))
@bounded
def test_graphs(graph: bytes) -> None:
    try:
        check_graph(graph)
    except EngineError as error:
        assert error.code.startswith("graph-")


GOOD_SIGNATURE = signature_json(Signed(bytes(range(32)), bytes(range(64))))


@given(data=st.one_of(mutations(GOOD_SIGNATURE), st.binary(max_size=300)))
@bounded
def test_signatures(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / SIGNATURE_NAME).write_bytes(data)
    try:
        assert signature_json(read_signature(folder)) == data
    except SignatureError as error:
        assert error.code == "signature-malformed"


@pytest.fixture(scope="module")
def recording(perceiver: Perceiver, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mcap")
    folder = tmp_path_factory.mktemp("recorded") / "r"
    with Recorder(folder, perceiver, RecorderConfig(width_px=16)) as recorder:
        perceiver.reset()
        for frames, t, driver in tiny_steps(2, views=("incar",)):
            recorder.add(frames, driver, perceiver.step(frames, t, driver))
    return next(folder.iterdir())


@given(data=st.data())
@bounded
def test_recordings(recording: Path, data: st.DataObject) -> None:
    path = recording.with_name("changed.mcap")
    path.write_bytes(data.draw(st.one_of(mutations(recording.read_bytes()), st.binary(max_size=200))))
    try:
        assert len(list(Recording(path).steps())) <= 2
    except SourceError as error:
        assert str(path) in str(error)


OPTIONS = {
    "engine": like(st.just("fake"), things),
    "threads": like(st.none(), things),
    "color": like(st.sampled_from(("bgr", "rgb")), things),
    "variant": like(st.none(), things),
    "trusted_key": st.one_of(
        st.none(), things, st.binary(min_size=32, max_size=32), st.text("0123456789abcdef", min_size=64)
    ),
    "min_version": like(st.integers(-5, 5), things),
}


@given(options=st.fixed_dictionaries({}, optional=OPTIONS))
@bounded
def test_configurations(small_bundle: Path, options: dict[str, Any]) -> None:
    try:
        Perceiver.open(small_bundle, **{"engine": "fake"} | options).close()
    except CodriverError as error:
        assert str(error)
