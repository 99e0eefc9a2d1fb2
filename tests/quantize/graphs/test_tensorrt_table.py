"""The names of NNCF that the table for TensorRT reaches for: if one moves, these fail before any graph is wrong."""

from __future__ import annotations

from typing import Any

import pytest

nncf = pytest.importorskip("nncf")

from nncf.common.hardware import config  # noqa: E402

from codriver.errors import ConfigError  # noqa: E402
from quantize.graphs.tensorrt_table import BOTH_SIDES, ONE_SIDE, tensorrt_hardware  # noqa: E402

pytestmark = pytest.mark.nncf


def test_this_is_the_version_whose_private_names_were_read() -> None:
    assert nncf.__version__ == "3.4.0"


def test_inside_the_block_only_tensorrts_quantizers_are_permitted() -> None:
    stock = config.CPU_SETUP
    with tensorrt_hardware():
        table = {entry.type.name: entry for entry in config.get_hw_setup(nncf.TargetDevice.ANY)}
    for name, entry in table.items():
        assert bool(entry.activations) == (name in BOTH_SIDES + ONE_SIDE) and bool(entry.weights) == (
            name in BOTH_SIDES
        )
        for space, per_channel in ((entry.activations, False), (entry.weights, True)):
            for choice in (choice for part in space for choice in part.get_all_qconfigs()):
                assert (choice.num_bits, choice.mode, choice.signedness_to_force) == (8, "symmetric", True)
                assert (choice.per_channel, choice.narrow_range) == (per_channel, per_channel)
    assert table["CONCAT"].attributes == {"scales": "unified"} and "MULTIPLY" not in table
    assert config.CPU_SETUP is stock


def test_the_old_table_is_back_after_an_error() -> None:
    stock = config.CPU_SETUP
    with pytest.raises(RuntimeError, match="inside"), tensorrt_hardware():
        raise RuntimeError("inside")
    assert config.CPU_SETUP is stock


@pytest.mark.parametrize("moved", ["gone", "renamed", "copied"])
def test_a_table_that_has_moved_is_an_error_and_never_another_quantization(
    monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    changes: dict[str, Any] = {"gone": ("CPU_SETUP", None), "renamed": ("CPU_SETUP", ())}
    stock = config.CPU_SETUP
    monkeypatch.setattr(config, *changes.get(moved, ("get_hw_setup", lambda device: stock)))
    with pytest.raises(ConfigError, match="keeps its table of quantizers elsewhere"), tensorrt_hardware():
        pass
