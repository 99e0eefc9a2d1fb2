"""Checkpoints are there as a whole or as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from training.trainer.checkpoint import LAST, METRICS, load_checkpoint, prepare, save_checkpoint, save_weights  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_checkpoint_that_is_not_written_to_its_end_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    save_checkpoint(tmp_path, {"epoch": 1, "weights": torch.ones(1000)})

    def half(state: Any, file: Any) -> None:
        file.write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(error):
        save_checkpoint(tmp_path, {"epoch": 2})
    assert load_checkpoint(tmp_path)["epoch"] == 1 and [path.name for path in tmp_path.iterdir()] == [LAST]


def test_weights_are_replaced_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    for _ in range(2):
        save_weights(tmp_path / "model.safetensors", torch.nn.Linear(2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_what_a_killed_process_was_writing_is_cleared_away_before_the_run_goes_on(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"epoch": 1})
    (tmp_path / ".last.4711.part.pt").write_bytes(b"half")
    prepare(tmp_path, [{"epoch": 1}], keep=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, METRICS]
    assert (tmp_path / METRICS).read_text() == '{"epoch": 1}\n'
