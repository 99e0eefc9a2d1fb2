"""What commands say when they are stopped."""

from __future__ import annotations

import pytest

from codriver.console import interruptible


def test_ctrl_c_ends_a_command_with_one_line_and_the_exit_code_of_shells(capsys: pytest.CaptureFixture) -> None:
    @interruptible
    def main(argv: list[str]) -> int:
        raise KeyboardInterrupt

    assert main(["out"]) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_command_that_is_not_stopped_keeps_its_own_exit_code() -> None:
    assert interruptible(lambda argv: len(argv))(["a", "b"]) == 2
