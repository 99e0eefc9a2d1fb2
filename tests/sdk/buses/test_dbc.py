"""Moments on CAN: what is due when, the same bytes for the same drive, read by others by the DBC alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import cantools
import e2e
import pytest

from codriver.buses.dbc import CanEncoder
from codriver.cli.main import main
from codriver.mapping.alerts import Alert, AlertState, advance, read_alerts
from codriver.mapping.fields import Moment
from codriver.mapping.signals import read_map
from codriver.mapping.toml_file import SHIPPED
from codriver.perceiver import Perceiver
from codriver.percept import DriverSight
from codriver.recording.writer import Recorder
from codriver.tasks import AIDE
from samples.can_receiver import Receiver
from tests.clips import percept
from tests.tiny import tiny_steps

DBC = cantools.database.load_file(SHIPPED / "codriver.dbc")
NAMES = {message.frame_id: message.name for message in DBC.messages}
CALM = Alert(available=True)


def encoder():
    return CanEncoder(read_map("can", read_alerts()))


def moments(count):
    return [Moment(percept(number, winner=1 + number // 40 % 2), CALM) for number in range(count)]


def test_each_message_comes_in_its_cycle_at_fifteen_steps_a_second():
    can = encoder()
    counts = Counter(NAMES[frame.id] for moment in moments(150) for frame in can.frames(moment))
    assert counts == {"DMS_DriverState": 100, "DMS_Warning": 100, "DMS_Road": 50, "DMS_Health": 10}


def warned(steps):
    """Numbers of the steps that send a warning."""
    can = encoder()
    sent = [[NAMES[frame.id] for frame in can.frames(moment)] for moment in steps]
    return {number for number, names in enumerate(sent) if "DMS_Warning" in names}


def test_a_warning_is_sent_at_once_when_it_changes_and_in_its_cycle_otherwise():
    steps = moments(40)
    calm = warned(steps)
    steps[10] = Moment(steps[10].percept, Alert("warning", "drowsy", True))
    assert 10 not in calm and warned(steps) == calm | {10, 11}  # it came, and it went


def test_others_read_every_value_by_the_dbc_alone():
    at = percept(winner=1, lost=("left",), late=("right",), driver=DriverSight(present=True))
    sent = {}
    for frame in encoder().frames(Moment(at, Alert("caution", "distracted", True))):
        sent |= {f"{NAMES[frame.id]}.{name}": value for name, value in DBC.decode_message(frame.id, frame.data).items()}
    read = {name.partition(".")[2]: value for name, value in sent.items()}
    assert str(read["Behaviour"]) == "MAKING_PHONE" and str(read["Emotion"]) == "PEACE" and str(read["State"]) == "OK"
    assert (read["Confidence"], read["Attentive"], read["Distraction"]) == (70.0, 5.0, 75.0)
    assert [str(read[name]) for name in ("Level", "Cause", "Available", "DriverPresent")] == [
        "CAUTION", "DISTRACTED", "YES", "YES",
    ]  # fmt: skip
    assert [str(read[view]) for view in ("Incar", "Front", "Left", "Right")] == ["OK", "OK", "LOST", "LATE"]
    assert read["Counter"] == 0


def test_without_an_answer_the_codes_for_that_are_sent():
    lost = percept(invalid=tuple(percept().tasks), lost=tuple(percept().views), state="invalid")
    for frame in encoder().frames(Moment(lost, Alert())):
        read = {name: str(value) for name, value in DBC.decode_message(frame.id, frame.data).items()}
        for name in {"Behaviour", "Emotion", "Traffic", "Manoeuvre"} & set(read):
            assert read[name] == "INVALID"
        for name in {"Attentive", "Distraction", "Confidence", "TrafficConfidence", "Level", "Cause"} & set(read):
            assert read[name] == "SNA"


def test_what_does_not_fit_is_the_most_that_does_and_never_a_code():
    at = percept()
    old = replace(at, views={**at.views, "incar": replace(at.views["incar"], age_s=9.0)})
    frame = encoder().frames(Moment(old, CALM))[0]
    assert DBC.decode_message(frame.id, frame.data)["FrameAge"] == 506


def test_a_receiver_accepts_all_of_a_drive():
    can, receivers = encoder(), {}
    for moment in moments(300):
        for frame in can.frames(moment):
            message = DBC.get_message_by_frame_id(frame.id)
            if frame.id not in receivers:
                receivers[frame.id] = Receiver(message)
            assert receivers[frame.id].take(frame.data, moment.percept.t) == "ok"
            assert receivers[frame.id].trusted(moment.percept.t)


@pytest.mark.parametrize("message", DBC.messages, ids=lambda message: message.name)
def test_each_message_of_the_dbc_tells_its_cycle_its_protection_and_a_code_for_no_answer(message):
    assert (
        message.cycle_time in (100, 200, 1000)
        and message.length == (24 if message.is_fd else 8)
        and message.dbc.attributes["E2EDataID"].value
    )
    for signal in message.signals:
        if signal.name not in ("CRC", "Counter", "IDNibble", "Model"):
            assert signal.byte_order == "little_endian" and not signal.is_float
            codes = {str(name): code for code, name in signal.choices.items()}
            nothing = codes.get("SNA", codes.get("INVALID"))
            assert nothing == 2**signal.length - 1, signal.name
            start = {"State": 0}.get(signal.name, nothing)
            assert signal.dbc.attributes.get("GenSigStartValue", signal).value == start if start else True


def test_the_map_for_can_fd_sends_every_probability_too_and_others_check_it_by_profile_2():
    can_fd, at = CanEncoder(read_map("can_fd", read_alerts())), percept(winner=1)
    frames = can_fd.frames(Moment(at, CALM))
    assert can_fd.fd and not encoder().fd and frames[:4] == encoder().frames(Moment(at, CALM))
    assert [(frame.id, frame.fd, len(frame.data)) for frame in frames[4:]] == [(0x3A4, True, 24)]
    ids = bytes.fromhex(DBC.get_message_by_name("DMS_Probabilities").dbc.attributes["E2EDataID"].value)
    assert e2e.p02.e2e_p02_check(frames[4].data, ids)
    read = DBC.decode_message(0x3A4, frames[4].data)
    assert read["Behaviour_MakingPhone"] == read["Traffic_Waiting"] == 70.0 and read["Manoeuvre_Parking"] == 7.5
    assert len([name for name in read if "_" in name]) == sum(task.classes for task in AIDE.tasks)


def test_a_drive_that_is_replayed_gives_the_same_traffic_to_the_bit(bundle_path, tmp_path, capsys):
    def drive(folder=None):
        can, state, policy, sent = encoder(), AlertState(), read_alerts(), []
        with Perceiver.open(bundle_path, engine="onnxruntime", threads=1) as perceiver:
            recorder = Recorder(folder, perceiver) if folder else None
            for frames, t, driver in tiny_steps(20):
                now = perceiver.step(frames, t, driver)
                state = advance(policy, state, now)
                sent += can.frames(Moment(now, state.alert))
                if recorder:
                    recorder.add(frames, driver, now)
            if recorder:
                recorder.close()
        return sent

    first = drive(tmp_path / "drive")
    assert len(first) > 20 and drive() == first
    assert main(["map", "can", "--drive", str(tmp_path / "drive")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("#")[1] for line in lines] == [frame.data.hex().upper() for frame in first]
    assert lines[0].split()[1:] == ["can0", f"3A0#{first[0].data.hex().upper()}"]
