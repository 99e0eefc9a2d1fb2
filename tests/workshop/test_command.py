"""How commands end: by an error, by a stop, by a closed pipe. Each in a process of its own where a signal is sent."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codriver.errors import ConfigError
from workshop.command import Preempted, command

ROOT = Path(__file__).parents[2]
WAITING = """
import sys, time
from pathlib import Path
from workshop.artifacts import whole_folder
from workshop.command import command

@command("waits", stopped="give it again")
def main() -> int:
    with whole_folder(Path("out"), marker="there.json") as folder:
        (folder / "half").write_text("half")
        print("ready", flush=True)
        {body}
    return 0

sys.exit(main())
"""


@contextmanager
def started(tmp_path: Path, body: str = "time.sleep(60)", before: str = "") -> Iterator[subprocess.Popen[str]]:
    program = before + WAITING.format(body=body)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'sdk'}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield process


def said(caught: pytest.CaptureFixture[str]) -> str:
    return caught.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_stops_a_command_it_clears_up_says_one_line_and_its_code_tells_what(
    tmp_path: Path, number: int
) -> None:
    ours = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in the background
    hung = "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    with started(tmp_path, before=ours + hung) as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    code = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}[number]
    assert (process.returncode, errors) == (code, "waits: stopped; give it again\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["training.data", "training.train", "quantize.lint", "targets.list"])
def test_a_broken_numpy_is_one_line_and_wrong_use(tmp_path: Path, module: str) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('built for another one')")
    paths = {"PYTHONPATH": f"{tmp_path}:{ROOT / 'sdk'}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"{module.split('.')[0]}: numpy is installed, and importing it fails: built for")


def test_every_package_with_commands_asks_for_numpy_first() -> None:
    packages = {
        path.relative_to(ROOT).parts[0] for path in ROOT.glob("[qt]*/**/*.py") if "@command(" in path.read_text()
    }
    assert packages - {"tests"} == {"training", "quantize", "targets"}
    for name in packages - {"tests"}:
        tree = ast.parse((ROOT / name / "__init__.py").read_text())
        imported = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
        assert imported[-1] == "workshop.needs" and f'need_numpy("{name}")' in ast.unparse(tree).replace("'", '"')


def test_under_nohup_a_command_outlives_its_terminal(tmp_path: Path) -> None:
    ignored = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    with started(tmp_path, "time.sleep(0.5); (folder / 'there.json').write_text('')", before=ignored) as process:
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=30) == 0
    assert (tmp_path / "out" / "there.json").is_file()


def test_a_forked_worker_that_is_ended_dies_of_the_signal_and_says_nothing(tmp_path: Path) -> None:
    body = """child = __import__("os").fork()
        if not child:
            time.sleep(60)
        time.sleep(0.2)
        __import__("os").kill(child, 15)
        print(__import__("os").waitpid(child, 0)[1], flush=True)
        (folder / "there.json").write_text("")"""
    with started(tmp_path, body) as process:
        out, errors = process.communicate(timeout=30)
    assert (out, errors) == ("15\n", "")


def test_handlers_are_given_back_when_a_command_ends() -> None:
    before = signal.getsignal(signal.SIGTERM)
    during = []
    command("looks")(lambda: during.append(signal.getsignal(signal.SIGTERM)) or 0)()
    assert during != [before] and signal.getsignal(signal.SIGTERM) == before


def test_an_error_on_purpose_is_one_printable_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    @command("training.x")
    def main() -> int:
        raise ConfigError("a name from a file: \x1b[31m\nand more")

    assert main() == 2 and said(capsys) == "training.x: a name from a file: \\x1b[31m and more\n"


def test_a_file_that_cannot_be_opened_is_one_line_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("reads")(lambda: len((tmp_path / "none").read_text()))() == 2
    assert (errors := said(capsys)).startswith("reads: ") and "none" in errors


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        command("divides")(lambda: 1 // 0)()


def test_work_that_left_a_checkpoint_says_how_to_go_on_and_by_what_it_was_stopped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @command("training.x")
    def main() -> int:
        raise Preempted(signal.SIGTERM)

    assert main() == 143
    assert said(capsys) == "training.x: stopped by SIGTERM; to go on, give the same command with --resume\n"


def test_a_reader_that_has_enough_ends_a_command_without_a_complaint(tmp_path: Path) -> None:
    with started(tmp_path, "print('x' * 1_000_000)") as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait(timeout=30) == 141


def test_every_command_asks_for_a_committed_tree_before_it_writes_into_docs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ran = []

    @command("training.x")
    def main(argv: list[str] | None = None) -> int:
        ran.append(argv)
        return 0

    (tmp_path / "docs").mkdir()
    monkeypatch.setattr("workshop.artifacts.check_docs_result.__defaults__", (tmp_path,))  # a checkout without git
    assert main(["--out", str(tmp_path / "docs" / "a")]) == 2 and not ran
    assert "training.x: " in capsys.readouterr().err
    assert main(["--out", str(tmp_path / "a")]) == 0 and len(ran) == 1


def commands() -> list[Path]:
    """Files of the workshop that somebody runs with `python -m`."""
    files = [path for name in ("training", "quantize", "targets") for path in (ROOT / name).rglob("*.py")]
    return [path for path in files if "sys.exit(main())" in path.read_text()]


@pytest.mark.parametrize("path", commands(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_ends_as_all_do(path: Path) -> None:
    tree = ast.parse(path.read_text())
    (main,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    module = str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__main__")
    around = [node for node in main.decorator_list if isinstance(node, ast.Call)]
    assert [(ast.unparse(node.func), ast.literal_eval(node.args[0])) for node in around] == [("command", module)], (
        f'{path.name}: put @command("{module}") of workshop.command before main'
    )
