"""The alert policy on time series of 15 steps a second: what was seen at which speed, and what it alerts when."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import pytest

from codriver.errors import ConfigError
from codriver.mapping.alerts import LEVELS, AlertState, advance, read_alerts
from codriver.mapping.toml_file import SHIPPED
from codriver.percept import TaskResult
from codriver.tasks import BEHAVIORS
from tests.clips import percept

RATE_HZ = 15
DROWSY, PHONE, NORMAL, AWAY = "Dozing Off", "Making Phone", "Normal Driving", "Looking Around"
LOST, UNKNOWN = "lost", "unknown"


class Moment(NamedTuple):
    """As much of a percept as alerts look at."""

    t: float
    tasks: Mapping[str, TaskResult]


def seen(number, what, share=0.7):
    """A percept in which the behaviour has this probability, or none can be told."""
    if what == LOST:
        return percept(number, invalid=("driver_behavior",), lost=("incar",), state="degraded")
    full = percept(number)
    rest = (1 - share) / (len(BEHAVIORS) - 1)
    shares = {label: share if label == what else rest for label in BEHAVIORS}
    label = UNKNOWN if what == UNKNOWN else max(shares, key=shares.get)
    result = replace(full.driver_behavior, label=label, index=None, probabilities=shares)
    return replace(full, tasks={**full.tasks, "driver_behavior": result})


def alerts(*parts, speed_kmh, policy=None):
    """(time, alert) of each step. parts: what is seen, for how many seconds."""
    policy, state, number = policy or read_alerts(), AlertState(), 0
    for what, lasts_s, *share in parts:
        for _ in range(round(lasts_s * RATE_HZ)):
            state = advance(policy, state, seen(number, what, *share), speed_kmh)
            yield number / RATE_HZ, state.alert
            number += 1


def changes(series):
    """Seconds, to one step, at which level, cause or availability change."""
    found, before = [], None
    for t, alert in series:
        now = (alert.level, alert.cause, alert.available)
        if now != before:
            found.append((round(t, 1), *now))
        before = now
    return found


CALM = (0.0, "none", "none", True)


@pytest.mark.parametrize(
    ("what", "parts", "speed_kmh", "expected"),
    [
        ("normal", [(NORMAL, 20)], 60, [CALM]),
        (
            "drowsy on the motorway: at once, then graver, and it ends when the eyes are open for 2 s",
            [(NORMAL, 10), (DROWSY, 10), (NORMAL, 5)],
            100,
            [
                CALM,
                (11.0, "caution", "drowsy", True),
                (13.0, "warning", "drowsy", True),
                (19.0, "critical", "drowsy", True),
                (21.9, "none", "none", True),
            ],
        ),
        ("drowsy in town", [(DROWSY, 4)], 40, [CALM, (3.0, "caution", "drowsy", True)]),
        ("phone at 60", [(PHONE, 4), (NORMAL, 3)], 60, [CALM, (3.5, "caution", "distracted", True), (4.9, *CALM[1:])]),
        (
            "phone at 60, long",
            [(PHONE, 6)],
            60,
            [CALM, (3.5, "caution", "distracted", True), (5.5, "warning", "distracted", True)],
        ),
        ("phone at 30", [(PHONE, 7)], 30, [CALM, (6.0, "caution", "distracted", True)]),
        ("phone at 5", [(PHONE, 60)], 5, [CALM]),
        ("phone, speed not known", [(PHONE, 4)], None, [CALM, (3.5, "caution", "distracted", True)]),
        ("phone, speed is no number", [(PHONE, 4)], float("nan"), [CALM, (3.5, "caution", "distracted", True)]),
        ("glances of 2 s", [(NORMAL, 4), (AWAY, 2)] * 10, 100, [CALM]),
        ("flicker", [(PHONE, 1 / 15), (NORMAL, 1 / 15)] * 300, 100, [CALM]),
        ("flicker of two steps", [(PHONE, 2 / 15), (NORMAL, 2 / 15)] * 100, 100, [CALM]),
        (
            "a phone that is missed in single steps is a phone",
            [(PHONE, 1), (NORMAL, 1 / 15)] * 5,
            60,
            [CALM, (4.6, "caution", "distracted", True)],
        ),
        ("between the two thresholds nothing begins", [(PHONE, 20, 0.5)], 60, [CALM]),
        (
            "between the two thresholds nothing ends",
            [(PHONE, 1, 0.7), (PHONE, 3, 0.5)],
            60,
            [CALM, (3.5, "caution", "distracted", True)],
        ),
        (
            "camera lost: what is told stays for 10 s, then alerts are not available, and come back with the camera",
            [(PHONE, 4), (LOST, 12), (NORMAL, 2)],
            60,
            [CALM, (3.5, "caution", "distracted", True), (14.0, "none", "none", False), (16.0, *CALM[1:])],
        ),
        (
            "camera lost for a moment",
            [(PHONE, 2), (LOST, 1), (PHONE, 3)],
            60,
            [CALM, (4.5, "caution", "distracted", True)],
        ),
        ("lost from the first step on", [(LOST, 1), (NORMAL, 1)], 60, [(0.0, "none", "none", False), (1.0, *CALM[1:])]),
        ("unknown for long", [(NORMAL, 1), (UNKNOWN, 11)], 60, [CALM, (11.0, "none", "none", False)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_series_alerts_when_the_table_says(what, parts, speed_kmh, expected):
    found = changes(alerts(*parts, speed_kmh=speed_kmh))
    assert [one[1:] for one in found] == [one[1:] for one in expected]
    assert [one[0] for one in found] == pytest.approx([one[0] for one in expected], abs=0.1)


def test_an_hour_of_normal_driving_alerts_nothing():
    """Glances of up to 2 s, talk, and wrong answers of one step: one in fifty. Five steps a second."""
    chance, policy, state, number, glances = random.Random(7), read_alerts(), AlertState(), 0, True
    tasks = {label: [seen(0, label, 0.55 + 0.1 * n).tasks for n in range(5)] for label in BEHAVIORS}
    while number < 3600 * 5:
        glances = not glances and chance.random() < 0.5  # two in a row are one long look away
        what = chance.choice([AWAY, "Talking", "Body Movement"]) if glances else NORMAL
        for _ in range(round(5 * (chance.uniform(0.3, 2.0) if glances else chance.uniform(3.0, 12.0)))):
            wrong = chance.choice(BEHAVIORS) if chance.random() < 0.02 else what
            now = Moment(number / 5, chance.choice(tasks[wrong]))
            state = advance(policy, state, now, 30 + number % 100)
            assert state.alert.level == "none" and state.alert.available, (number, state)
            number += 1


def test_the_same_series_alerts_the_same_and_no_state_is_changed():
    policy, state = read_alerts(), AlertState()
    first = advance(policy, state, seen(0, PHONE), 60)
    assert advance(policy, state, seen(0, PHONE), 60) == first and state == AlertState()


def test_time_that_jumps_begins_anew():
    policy, state = read_alerts(), AlertState()
    for number in (*range(50), *range(100, 150), *range(40, 60)):
        state = advance(policy, state, seen(number, PHONE), 60)
        assert state.alert.level == "none" and state.alert.available


def test_all_levels_can_be_reached_by_what_is_shipped():
    assert {alert.level for _, alert in alerts((PHONE, 12), speed_kmh=60)} == set(LEVELS)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (
            '"Looking Around"',
            '"Looking Arond"',
            "rules.distracted.labels has 'Looking Arond', expected some of Smoking",
        ),
        ("off = 0.4", "off = 0.7", "rules.drowsy: off is 0.7, expected at most on, which is 0.6"),
        (
            "from_kmh = 20, after_s = 6.0",
            "from_kmh = 60, after_s = 6.0",
            "rules.distracted.gates: from_kmh is [60, 50]",
        ),
        (
            "escalate_s = [2.0, 8.0]",
            "escalate_s = [8.0, 2.0]",
            "rules.drowsy.escalate_s is [8.0, 2.0], expected at most 2",
        ),
        ('task = "driver_behavior"', 'task = "driver_mood"', "rules.drowsy.task is 'driver_mood', expected one of"),
        ("hold_s = 2.0", "", "rules.drowsy lacks hold_s"),
        ("jump_s = 1.0", "jump_s = 0", "jump_s is 0, expected a number of seconds above 0"),
    ],
)
def test_a_policy_that_is_wrong_is_told_by_file_key_and_what_may_stand_there(tmp_path, before, after, says):
    text = (SHIPPED / "alerts.toml").read_text()
    assert before in text
    (tmp_path / "mine.toml").write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigError) as told:
        read_alerts("mine.toml", near=tmp_path)
    assert str(told.value).startswith(f"{tmp_path}/mine.toml: ") and says in str(told.value)


def test_each_rule_that_is_shipped_names_its_sources_and_that_it_is_an_example():
    text = (SHIPPED / "alerts.toml").read_text()
    assert "EXAMPLES" in text and "no" in text and "homologation" in text
    assert all("ours" in of.source for of in read_alerts().rules.values())
