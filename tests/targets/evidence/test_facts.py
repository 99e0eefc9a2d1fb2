"""What subjects are called on a page of several machines."""

from __future__ import annotations

from typing import Any

from targets.evidence.facts import labels


def subject(board: str | None = None, **others: Any) -> dict[str, Any]:
    machine = {"cpu": "ARM", "hostname": "orin", "serial": None, "board": board}
    machine |= {key: others.pop(key) for key in list(others) if key in machine}
    modes = {"before": {"power_mode": others.pop("power_mode", None)}}
    made = {"created": others.pop("created", "today")}
    head = {"target": "arm-ort", "variant": "ort-arm", "bundle": others.pop("bundle", "demo-1"), "machine": machine}
    return head | {"stream": {"conditions": modes}, "measured": made} | others


def called(*subjects: dict[str, Any]) -> list[str]:
    return list(labels(subjects).values())


def test_alone_a_subject_is_its_target_and_variant() -> None:
    assert called(subject("board-1")) == ["arm-ort · ort-arm"]


def test_alike_boards_are_told_apart_by_their_name_in_the_farm_else_by_their_hostname() -> None:
    assert called(subject("a"), subject("b")) == ["arm-ort · ort-arm · a", "arm-ort · ort-arm · b"]
    named = called(subject(hostname="orin-1"), subject(hostname="orin-2"))
    assert named == ["arm-ort · ort-arm · orin-1", "arm-ort · ort-arm · orin-2"]


def test_hosts_of_one_name_are_told_apart_by_serial_number_and_one_board_by_power_mode_bundle_or_time() -> None:
    for what, values in {
        "serial": ("142", "143"),
        "power_mode": ("15W", "25W"),
        "bundle": ("demo-1", "demo-2"),
        "created": ("monday", "tuesday"),
    }.items():
        expected = [f"arm-ort · ort-arm · {value}" for value in values]
        assert called(*(subject(**{what: value}) for value in values)) == expected


def test_nothing_is_added_that_tells_nobody_apart() -> None:
    assert called(subject("a", power_mode="15W"), subject("b", power_mode="25W"))[0] == "arm-ort · ort-arm · a"


def test_evidence_of_before_has_no_hostname_and_is_still_called_something() -> None:
    old = subject()
    del old["machine"]["hostname"], old["machine"]["serial"], old["machine"]["board"]
    assert called(old, dict(old)) == ["arm-ort · ort-arm", "arm-ort · ort-arm (2)"]
