"""What is recorded can be stepped through again, to the bit, and a recording that was cut short up to the cut."""

from __future__ import annotations

import json
import random
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.opcode import Opcode
from mcap.records import SummaryOffset
from mcap.stream_reader import StreamReader

from codriver.cli.main import main
from codriver.errors import BackendMissing, ConfigError, SourceError
from codriver.perceiver import Perceiver
from codriver.percept import CAMERA, Frame
from codriver.recording.reader import Recording, difference
from codriver.recording.replay import replay
from codriver.recording.schemas import (
    HEALTH,
    HEALTH_SCHEMA,
    IMAGE_SCHEMA,
    INPUT,
    PERCEPT,
    PERCEPT_SCHEMA,
    STEP,
    STEP_SCHEMA,
)
from codriver.recording.writer import Recorder, RecorderConfig
from tests import ROOT
from tests.clips import make_clip
from tests.tiny import make_tiny_bundle, tiny_steps

mcap = pytest.importorskip("mcap.reader")
Steps = list[Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("record") / "b", golden=False)


def opened(bundle: Path, variant: str = "ort-x86-7bit") -> Perceiver:
    return Perceiver.open(bundle, threads=1, variant=variant)


def record(folder: Path, bundle: Path, steps: Steps, **config: Any) -> list[dict[str, Any]]:
    with opened(bundle) as perceiver, Recorder(folder, perceiver, RecorderConfig(**config)) as recorder:
        percepts = []
        for frames, t, driver in steps:
            percepts.append(perceiver.step(frames, t, driver))
            recorder.add(frames, driver, percepts[-1])
    return [json.loads(json.dumps(percept.to_dict())) for percept in percepts]


@pytest.fixture(scope="module")
def recorded(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Steps, list[dict[str, Any]]]:
    """A folder, the twenty steps that went into it, and what they answered. Read only."""
    folder, steps = tmp_path_factory.mktemp("recorded") / "r", tiny_steps(20)
    steps[5] = ({"front": steps[5][0]["front"]}, steps[5][1], None)
    steps[6][2].keypoints[3] = np.nan
    steps[7][0]["left"] = Frame(steps[7][0]["left"], steps[7][1] - 0.005, "capture")
    steps[9] = ({}, steps[9][1], None)
    return folder, steps, record(folder, bundle, steps)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_recording_holds_every_step_as_it_was_given(recorded: Any) -> None:
    folder, steps, percepts = recorded
    recording = Recording(folder)
    found = list(recording.steps())
    assert [step.percept for step in found] == percepts and recording.cut == []
    for step, (frames, t, driver) in zip(found, steps, strict=True):
        assert step.t == t and list(step.frames) == list(frames) and step.complete
        for view, frame in frames.items():
            assert step.frames[view].t == getattr(frame, "t", None)
            assert step.frames[view].clock == getattr(frame, "clock", "")
            np.testing.assert_array_equal(step.frames[view].image, getattr(frame, "image", frame))
        if driver is None:
            assert step.driver is None
        else:
            assert step.driver is not None and list(step.driver.face_px) == list(driver.face_px)
            np.testing.assert_array_equal(step.driver.keypoints, driver.keypoints)


@pytest.mark.slow
def test_600_steps_replay_to_the_bit_twice(bundle: Path, tmp_path: Path) -> None:
    rate_hz = 15.0
    steps = tiny_steps(60, rate_hz)
    many = [(steps[number % 60][0], number / rate_hz, steps[number % 60][2]) for number in range(600)]
    record(tmp_path / "r", bundle, many, file_s=10.0)
    assert len(list((tmp_path / "r").iterdir())) == 4
    for _ in range(2):
        with opened(bundle) as perceiver:
            result = replay(Recording(tmp_path / "r"), perceiver)
        assert (result.steps, result.compared, result.different, result.max_abs) == (600, 600, 0, 0.0)


def test_another_variant_is_told_by_its_first_difference(bundle: Path, recorded: Any, capsys: Any) -> None:
    folder, _, _ = recorded
    command = ["replay", str(folder), "--bundle", str(bundle), "--threads", "1"]
    assert main([*command, "--variant", "ort-x86-7bit"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the same to the bit"
    assert main([*command, "--variant", "ort-x86", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["first"]["step"] == 8  # nine steps fill half of the context: before, there is no answer
    # Step 5 was without the in-car camera, so the driver's tasks still gather context of their own.
    assert "tasks.traffic_context" in result["first"]["where"] and 0 < result["max_abs"] < 1
    assert main([*command, "--variant", "ort-x86"]) == 1
    said = capsys.readouterr().out
    assert "first difference in step 8" in said and "recorded with" in said and said.endswith("NOT the same\n")


def test_a_recording_that_spans_a_swap_is_the_same_up_to_it_and_the_difference_names_it(
    bundle: Path, tmp_path: Path
) -> None:
    with opened(bundle) as perceiver, Recorder(tmp_path / "r", perceiver) as recorder:
        for number, (frames, t, driver) in enumerate(tiny_steps(20)):
            if number == 12:
                perceiver.swap(opened(bundle, "ort-x86"))
            recorder.add(frames, driver, perceiver.step(frames, t, driver))
    with opened(bundle) as perceiver:
        result = replay(Recording(tmp_path / "r"), perceiver)
    assert result.first is not None and result.first["step"] == 12
    assert result.first["where"].startswith("events: recorded [{'kind': 'swapped', 'text': 'now tiny")


def test_what_cameras_did_is_told_again_in_a_replay(bundle: Path, tmp_path: Path) -> None:
    with opened(bundle) as perceiver, Recorder(tmp_path / "r", perceiver) as recorder:
        for number, (frames, t, driver) in enumerate(tiny_steps(4)):
            if number == 2:
                perceiver._tell(CAMERA, "left: camera 2 is back")
            recorder.add(frames, driver, perceiver.step(frames, t, driver))
    with opened(bundle) as perceiver:
        result = replay(Recording(tmp_path / "r"), perceiver)
    assert (result.steps, result.different) == (4, 0)


def test_a_recording_that_was_cut_short_is_read_up_to_the_cut(recorded: Any, tmp_path: Path) -> None:
    folder, _, percepts = recorded
    data, picker = only_file(folder).read_bytes(), random.Random(0)
    counts = []
    for length in sorted(picker.sample(range(len(data) // 8, len(data)), 40)):
        (tmp_path / "cut.mcap").write_bytes(data[:length])
        recording = Recording(tmp_path / "cut.mcap")
        found = [step.percept for step in recording.steps()]
        assert found == percepts[: len(found)]
        assert len(recording.cut) == 1 and "cut.mcap is cut short" in recording.cut[0]
        counts.append(len(found))
        written = length / len(data) * len(percepts)
        assert len(found) >= written - 3  # chunks are small
    assert counts == sorted(counts) and counts[0] < 5 and counts[-1] >= 19


def test_what_is_recorded_is_on_the_disk_while_recording_goes_on(bundle: Path, tmp_path: Path) -> None:
    with opened(bundle) as perceiver, Recorder(tmp_path / "r", perceiver) as recorder:
        for number, (frames, t, driver) in enumerate(tiny_steps(10), start=1):
            recorder.add(frames, driver, perceiver.step(frames, t, driver))
            assert recorder._file is not None
            assert only_file(tmp_path / "r").stat().st_size == round(recorder._file.size_mb * 1e6)
            if number > 1:
                assert len(list(Recording(tmp_path / "r").steps())) >= number - 1


def test_the_folder_stays_within_its_bound_and_the_rest_can_be_replayed(bundle: Path, tmp_path: Path) -> None:
    limit_mb = 2.5
    with opened(bundle) as perceiver:
        config = RecorderConfig(limit_mb=limit_mb, file_s=1.0)
        with Recorder(tmp_path / "r", perceiver, config) as recorder:
            for frames, t, driver in tiny_steps(120):
                recorder.add(frames, driver, perceiver.step(frames, t, driver))
                assert sum(path.stat().st_size for path in (tmp_path / "r").iterdir()) <= limit_mb * 1e6
    names = sorted(path.name for path in (tmp_path / "r").iterdir())
    assert len(names) > 3 and names[0] != "codriver-000000.mcap"
    with opened(bundle) as perceiver:
        result = replay(Recording(tmp_path / "r"), perceiver)
    assert 0 < result.compared < result.steps < 120 and result.different == 0  # the oldest answers rest on what is gone


@pytest.mark.parametrize(
    ("config", "lossless"),
    [({"images": "jpeg"}, False), ({"width_px": 30}, False), ({"images": "none"}, False), ({}, True)],
)
def test_less_can_be_kept_and_the_file_says_so(
    bundle: Path, tmp_path: Path, config: dict[str, Any], lossless: bool
) -> None:
    record(tmp_path / "r", bundle, tiny_steps(3), **config)
    recording = Recording(tmp_path / "r")
    steps = list(recording.steps())
    assert recording.about.lossless == str(lossless).lower() and len(steps) == 3
    if config.get("images") == "none":
        assert not any(step.frames or step.complete for step in steps)
        with opened(bundle) as perceiver, pytest.raises(SourceError, match="without pictures"):
            replay(recording, perceiver)
        return
    width = config.get("width_px", 60)
    assert steps[0].frames["incar"].image.shape == (width * 40 // 60, width, 3)
    assert steps[0].driver is not None and steps[0].driver.face_px[0] == 10 * width / 60


def test_foxglove_knows_the_pictures_and_every_message_has_what_its_schema_requires(recorded: Any) -> None:
    folder, _, _ = recorded
    seen = {}
    with only_file(folder).open("rb") as file:
        for schema, channel, message in mcap.make_reader(file, validate_crcs=True).iter_messages():
            assert schema.encoding == "jsonschema" and channel.message_encoding == "json"
            content, rules = json.loads(message.data), json.loads(schema.data)
            assert set(rules["required"]) <= set(content)
            seen[channel.topic] = schema.name
    pictures = {f"/codriver/input/{view}": "foxglove.CompressedImage" for view in ("incar", "front", "left", "right")}
    own = {f"/codriver/{name.lower()}": f"codriver.{name}" for name in ("Step", "Percept", "Health")}
    assert seen == pictures | own


def test_what_is_no_recording_is_refused(tmp_path: Path, recorded: Any) -> None:
    data = only_file(recorded[0]).read_bytes()
    (tmp_path / "a.mcap").write_bytes(b"no recording")
    (tmp_path / "b.mcap").write_bytes(
        data.replace(b"codriver\x01", b"somebody\x01").replace(b"/codriver/step", b"/somebody/step")
    )
    (tmp_path / "c.mcap").write_bytes(data.replace(b'"views":["incar"', b'"vices":["incar"', 1))
    for name, message in (
        ("a", "not MCAP"),
        ("c", "damaged|not what codriver records"),
        ("missing", "no recording there"),
    ):
        with pytest.raises(SourceError, match=message):
            list(Recording(tmp_path / f"{name}.mcap").steps())


def test_only_a_new_or_empty_folder_is_recorded_to(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with opened(bundle) as perceiver:
        with pytest.raises(ConfigError, match="there is something in it"):
            Recorder(tmp_path, perceiver)
        with pytest.raises(ConfigError, match="cannot be recorded to"):
            Recorder(tmp_path / "mine.txt", perceiver)


@pytest.mark.parametrize("wrong", [{"images": "gif"}, {"limit_mb": 0}, {"file_s": float("inf")}, {"width_px": 3}])
def test_a_config_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} "):
        RecorderConfig(**wrong)


def test_a_missing_package_is_named_with_the_pip_command(
    bundle: Path, recorded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcap.writer", None)
    monkeypatch.setitem(sys.modules, "mcap.stream_reader", None)
    with opened(bundle) as perceiver, pytest.raises(BackendMissing, match=r"pip install 'codriver\[record\]'"):
        Recorder(tmp_path / "r", perceiver)
    with pytest.raises(BackendMissing, match=r"pip install 'codriver\[record\]'"):
        list(Recording(recorded[0]).steps())


def test_run_records_and_replay_finds_the_same_answers(bundle: Path, tmp_path: Path, capsys: Any) -> None:
    clip, folder = make_clip(tmp_path, frames=30), tmp_path / "r"
    run = ["run", str(bundle), "--source", str(clip), "--threads", "1", "--out", str(tmp_path / "out.jsonl")]
    assert main([*run, "--record", str(folder)]) == 0
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [step.percept for step in Recording(folder).steps()] == [json.loads(line) for line in lines]
    assert main(["replay", str(folder), "--bundle", str(bundle), "--threads", "1"]) == 0
    assert main([*run, "--record", str(folder)]) == 2
    assert "there is something in it" in capsys.readouterr().err


def test_a_difference_is_told_by_its_path() -> None:
    one = {
        "t": 1,
        "sequence": 4,
        "latency_ms": {"total": 3},
        "tasks": {"a": {"label": "x", "probabilities": {"x": 0.5}}},
    }
    other = json.loads(json.dumps(one)) | {"sequence": 9, "latency_ms": {}}
    assert difference(one, other) == ""
    other["tasks"]["a"]["probabilities"]["x"] = 0.25
    assert difference(one, other) == "tasks.a.probabilities.x: recorded 0.5, now 0.25"
    assert difference(one, {"t": 1}) == f"tasks: recorded {one['tasks']!r}, now None"
    assert difference({"t": 1}, {"t": 1, "events": []}) == ""  # recorded before percepts had events


def test_another_status_of_a_view_and_another_reason_are_differences(recorded: Any) -> None:
    """An answer that rests on other cameras, or is invalid for another reason, is another answer."""
    percept = recorded[2][10]
    for change, where in (
        (lambda p: p["views"]["left"].update(status="frozen"), "views.left.status: recorded 'ok', now 'frozen'"),
        (
            lambda p: p["reasons"].append("left: frozen"),
            f"reasons: recorded {percept['reasons']!r}, now {[*percept['reasons'], 'left: frozen']!r}",
        ),
        (lambda p: p.update(state="degraded"), "state: recorded 'invalid', now 'degraded'"),
        (lambda p: p.update(sequence=99, model="other", latency_ms={}), ""),
    ):
        other = json.loads(json.dumps(percept))
        change(other)
        assert difference(percept, other) == where


def rewritten(old: Path, new: Path, compression: Any, change: Callable[[str, bytes], bytes]) -> None:
    """The same messages, as another program writes them. change: topic and content of each -> its new content."""
    from mcap.writer import Writer

    with new.open("wb") as file, old.open("rb") as source:
        writer = Writer(file, compression=compression)
        writer.start()
        channels: dict[int, int] = {}
        for schema, channel, message in mcap.make_reader(source).iter_messages():
            if channel.id not in channels:
                known = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, channel.message_encoding, known)
            data = change(channel.topic, message.data)
            writer.add_message(channels[channel.id], message.log_time, data, message.publish_time)
        writer.finish()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda picture: picture[:-20], "its end is cut off"),
        (lambda picture: picture[:12], "its end is cut off"),
        (lambda picture: b"", "it is empty"),
        (lambda picture: b"no picture", "no picture that this OpenCV decodes"),
        (lambda picture: picture[:16] + b"\x00\x01\x00\x00" * 2 + picture[24:], "65536 x 65536 is too large"),
    ],
)
def test_a_recorded_picture_that_is_not_whole_or_not_sane_is_refused(
    recorded: Any, tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    from mcap.writer import CompressionType

    def changed(topic: str, data: bytes) -> bytes:
        if not topic.startswith(INPUT):
            return data
        content = json.loads(data)
        return json.dumps(content | {"data": b64encode(change(b64decode(content["data"]))).decode()}).encode()

    rewritten(only_file(recorded[0]), tmp_path / "a.mcap", CompressionType.NONE, changed)
    with pytest.raises(SourceError, match=f"is not what codriver records .*{message}"):
        list(Recording(tmp_path / "a.mcap").steps())


def test_a_recording_that_somebody_packed_is_refused_by_the_name_of_the_packing(recorded: Any, tmp_path: Path) -> None:
    """Unpacking could make gigabytes of kilobytes; what codriver records is not packed."""
    from mcap.writer import CompressionType

    path = tmp_path / "packed.mcap"
    rewritten(only_file(recorded[0]), path, CompressionType.ZSTD, lambda topic, data: data)
    with pytest.raises(SourceError, match=r"packed\.mcap: packed with 'zstd', and codriver packs nothing"):
        list(Recording(path).steps())


def test_the_pages_commands_and_lines_work_in_their_order(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    page = (ROOT / "docs/recording.md").read_text(encoding="utf-8")
    shell, code = re.findall(r"^```\w*\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "demo.bundle").symlink_to(bundle)
    make_clip(tmp_path, frames=4)
    monkeypatch.chdir(tmp_path)
    for line in shell.splitlines():
        assert main(line.split("#")[0].split()[1:]) == 0, line
    frames, t, driver = tiny_steps(1)[0]
    exec(code, {"frames": frames, "t": t, "driver": driver})
    assert len(list(Recording(tmp_path / "mine").steps())) == 1
    topics = set(re.findall(r"^\| `(/codriver/[a-z]+)", page, re.MULTILINE))
    assert topics == {STEP, PERCEPT, HEALTH, INPUT.rstrip("/")}
    assert all(f"`{schema['title']}`" in page for schema in (STEP_SCHEMA, PERCEPT_SCHEMA, HEALTH_SCHEMA, IMAGE_SCHEMA))


def test_a_head_without_all_that_it_should_say_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "codriver-000000.mcap"
    with path.open("wb") as file:
        writer = pytest.importorskip("mcap.writer").Writer(file)
        writer.start()
        writer.add_metadata("codriver", {"schema": "1", "color": "bgr"})
        writer.finish()
    with pytest.raises(SourceError, match="its head lacks codriver, bundle, variant, engine, policy"):
        list(Recording(path).steps())


def test_no_index_points_at_a_group_that_is_not_there(perceiver, tmp_path):
    """What `pymcap-cli doctor` ends with 1 for."""
    with Recorder(tmp_path / "drive", perceiver) as recorder:
        (frames, t, driver), *_ = tiny_steps(1)
        recorder.add(frames, driver, perceiver.step(frames, t, driver))
    with (tmp_path / "drive" / "codriver-000000.mcap").open("rb") as file:
        records = list(StreamReader(file).records)
    groups = {record.group_opcode for record in records if isinstance(record, SummaryOffset)}
    there = {Opcode.SCHEMA, Opcode.CHANNEL, Opcode.STATISTICS, Opcode.CHUNK_INDEX, Opcode.METADATA_INDEX}
    assert groups == {int(code) for code in there}
