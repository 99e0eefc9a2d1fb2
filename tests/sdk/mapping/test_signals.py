"""A map is data: what goes where, what is sent while there is no answer, and what is wrong told by file and key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codriver.buses.dbc import CanEncoder
from codriver.cli.main import main
from codriver.errors import ConfigError
from codriver.mapping.alerts import Alert, read_alerts
from codriver.mapping.fields import Moment
from codriver.mapping.recorded import percept_of
from codriver.mapping.signals import BUSES, read_map
from codriver.mapping.toml_file import SHIPPED
from codriver.percept import DriverSight
from tests.clips import percept

CALM = Alert(available=True)
MAP = """
bus = "vss"
[signals."Vehicle.Driver.DistractionLevel"]
from = ["tasks.driver_behavior.probabilities.Making Phone", "tasks.driver_behavior.probabilities.Looking Around"]
type = "float"
scale = 100
low = 0
high = 100
[signals."Vehicle.ADAS.DMS.IsError"]
from = "state"
type = "boolean"
values = {init = true, ok = false, degraded = true, invalid = true}
invalid = true
[signals."Vehicle.Driver.Age"]
from = "views.incar.age_s"
type = "uint8"
scale = 1000
"""


def map_of(tmp_path, *changes, text=MAP):
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    (tmp_path / "mine.toml").write_text(text)
    return read_map("mine.toml", read_alerts(), near=tmp_path)


def values(bus_map, percept, alert=CALM):
    return bus_map.values(Moment(percept, alert))


def test_numbers_are_added_scaled_and_kept_within_and_texts_looked_up(tmp_path):
    at = percept(winner=1)
    shares = at.driver_behavior.probabilities
    assert values(map_of(tmp_path), at) == {
        "Vehicle.Driver.DistractionLevel": pytest.approx(100 * (shares["Making Phone"] + shares["Looking Around"])),
        "Vehicle.ADAS.DMS.IsError": False,
        "Vehicle.Driver.Age": 0,
    }


def test_without_an_answer_invalid_is_sent_or_no_value(tmp_path):
    lost = percept(invalid=("driver_behavior",), lost=("incar",), state="invalid")
    assert values(map_of(tmp_path), lost) == {
        "Vehicle.Driver.DistractionLevel": None,
        "Vehicle.ADAS.DMS.IsError": True,
        "Vehicle.Driver.Age": 255,  # 2000 ms do not fit: the most that does
    }
    assert map_of(tmp_path).invalid["Vehicle.ADAS.DMS.IsError"] is True


def test_a_task_or_view_that_the_bundle_has_not_is_no_answer(tmp_path):
    at = percept()
    less = replace(at, tasks={}, views={})
    assert values(map_of(tmp_path), less)["Vehicle.Driver.DistractionLevel"] is None
    assert values(map_of(tmp_path), less)["Vehicle.Driver.Age"] is None


def test_a_number_that_is_none_is_no_answer(tmp_path):
    at = percept()
    odd = replace(at.driver_behavior, probabilities={**at.driver_behavior.probabilities, "Making Phone": float("nan")})
    changed = replace(at, tasks={**at.tasks, "driver_behavior": odd})
    assert values(map_of(tmp_path), changed)["Vehicle.Driver.DistractionLevel"] is None


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('bus = "vss"', 'bus = "lin"', "bus is 'lin', expected one of can, vss, ros2, android"),
        ('from = "state"', 'from = "stat"', "signals.Vehicle.ADAS.DMS.IsError.from has 'stat', expected state"),
        ('from = "state"', 'from = "xyzzy"', "`codriver map --fields` lists what may stand there"),
        ('from = "state"', "from = []", "signals.Vehicle.ADAS.DMS.IsError.from is a list that is empty"),
        ("ok = false, ", "", "values has init, degraded, invalid; expected exactly init, ok, degraded, invalid"),
        ('type = "boolean"', 'type = "bool"', "type is 'bool', expected one of boolean, string"),
        ('type = "float"\n', "", "signals.Vehicle.Driver.DistractionLevel lacks type, expected one of"),
        ('type = "float"', 'type = "string"', "type is string, expected float or double or int8"),
        ("ok = false", 'ok = "no"', "ok is 'no', expected boolean"),
        ('type = "uint8"', 'type = "uint8"\ninvalid = 256', "invalid is 256, expected uint8 from 0 to 255"),
        ("scale = 1000", "scale = true", "signals.Vehicle.Driver.Age.scale is true, expected a number"),
        ("scale = 1000", "scael = 1", "is not a key (did you mean scale?)"),
        ('"tasks.driver_behavior.probabilities.Looking Around"', '"state"', "adds up several fields, expected numbers"),
        ('bus = "vss"', 'bus = "vss"\ndbc = "a.dbc"', "dbc = FILE belongs to a map of bus can"),
        ('bus = "vss"', 'bus = "vss"\nperiod_s = 0', "period_s is 0, expected a number of seconds above 0"),
    ],
)
def test_a_map_that_is_wrong_is_told_by_file_key_and_what_may_stand_there(tmp_path, before, after, says):
    with pytest.raises(ConfigError) as told:
        map_of(tmp_path, (before, after))
    assert str(told.value).startswith(f"{tmp_path}/mine.toml: ") and says in str(told.value)


@pytest.mark.parametrize("bus", [*BUSES, "can_fd"])
def test_each_map_that_is_shipped_is_right_and_checked_by_the_command(bus, capsys):
    assert main(["map", bus, "--check"]) == 0
    assert f"{bus}.toml: right; " in capsys.readouterr().out


@pytest.mark.parametrize("bus", BUSES)
def test_each_map_that_is_shipped_has_a_constant_for_every_moment(bus):
    bus_map = read_map(bus, read_alerts())
    every = [percept(winner=winner, state=state) for winner in range(3) for state in ("init", "ok", "degraded")]
    every.append(percept(invalid=tuple(every[0].tasks), lost=tuple(every[0].views), state="invalid"))
    for at in every:
        for alert in (Alert(), Alert("warning", "drowsy", True), CALM):
            assert values(bus_map, at, alert).keys() == bus_map.config.signals.keys()


def test_android_says_what_its_property_may_be_and_claims_no_drowsiness():
    found = {label: _android(label) for label in ("Making Phone", "Normal Driving", "Dozing Off", None)}
    assert found == {"Making Phone": 2, "Normal Driving": 1, "Dozing Off": 0, None: 0}
    assert "DRIVER_DROWSINESS_ATTENTION_STATE" not in read_map("android", read_alerts()).config.signals


def _android(label):
    at = percept(invalid=() if label else ("driver_behavior",))
    result = replace(at.driver_behavior, label=label)
    at = replace(at, tasks={**at.tasks, "driver_behavior": result})
    return values(read_map("android", read_alerts()), at)["DRIVER_DISTRACTION_STATE"]


def test_an_alert_that_is_not_available_is_no_calm():
    bus_map = read_map("can", read_alerts())
    off, on = values(bus_map, percept(), Alert()), values(bus_map, percept(), CALM)
    assert (off["DMS_Warning.Level"], off["DMS_Warning.Available"]) == ("SNA", "NO")
    assert (on["DMS_Warning.Level"], on["DMS_Warning.Available"]) == ("NONE", "YES")


def test_a_percept_that_was_written_as_json_means_the_same_on_every_bus():
    at = percept(3, lost=("left",), state="degraded", driver=DriverSight(present=True))
    again = percept_of(at.to_dict())
    for bus in BUSES:
        bus_map = read_map(bus, read_alerts())
        assert values(bus_map, again) == values(bus_map, at)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (
            '"DMS_Road.Traffic"',
            '"DMS_Road.Trafic"',
            "signals.DMS_Road.Trafic is not in codriver.dbc, expected one of DMS_Road.T",
        ),
        ('"DMS_Road.Traffic"', '"Road.Traffic"', "expected one of DMS_DriverState.SIGNAL"),
        ('Waiting = "WAITING"', 'Waiting = "WAIT"', "Waiting is 'WAIT', expected one of TRAFFIC_JAM, WAITING"),
        (
            'invalid = "INVALID"\n\n[signals."DMS_DriverState.State"]',
            '[signals."DMS_DriverState.State"]',
            "Behaviour lacks invalid",
        ),
        ('[signals."DMS_Road.Traffic"]', '[signals."DMS_Road.Traffic"]\nlow = "a"', "low is the text 'a'"),
        ('dbc = "codriver.dbc"', 'dbc = "none.dbc"', "none.dbc: cannot be read"),
        ('dbc = "codriver.dbc"', 'dbc = "mine.toml"', "mine.toml: not a DBC"),
        ('dbc = "codriver.dbc"', "", "dbc = FILE belongs to a map of bus can"),
    ],
)
def test_a_can_map_is_held_against_its_dbc(tmp_path, before, after, says):
    (tmp_path / "codriver.dbc").write_bytes((SHIPPED / "codriver.dbc").read_bytes())
    with pytest.raises(ConfigError) as told:
        CanEncoder(map_of(tmp_path, (before, after), text=(SHIPPED / "can.toml").read_text()))
    assert says in str(told.value)


def test_a_can_message_that_lacks_a_signal_is_no_message(tmp_path):
    (tmp_path / "codriver.dbc").write_bytes((SHIPPED / "codriver.dbc").read_bytes())
    text = (SHIPPED / "can.toml").read_text()
    cut = text[: text.index('[signals."DMS_Health.Right"]')]
    with pytest.raises(ConfigError, match=r"DMS_Health lacks Right"):
        CanEncoder(map_of(tmp_path, text=cut))


def test_the_command_tells_what_is_wrong_in_one_line(tmp_path, capsys):
    (tmp_path / "mine.toml").write_text(MAP.replace('"state"', '"stat"'))
    assert main(["map", str(tmp_path / "mine.toml"), "--check"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_shows_fields_and_tables(capsys):
    assert main(["map", "--fields"]) == 0
    assert "tasks.driver_behavior.probabilities.Making Phone" in capsys.readouterr().out
    assert main(["map", "can"]) == 0
    assert "DMS_Warning.Level" in capsys.readouterr().out
