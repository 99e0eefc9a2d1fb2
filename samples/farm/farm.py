"""A kit on every board of a labgrid farm at once, and one page of all; README.md says what trips people.

python -m targets.kit fp32.bundle demo.bundle --data DATA --out kit.tar
python samples/farm/farm.py kit.tar board-1 board-2=my-product --out farm --validate="--steps 1000"

A board is a labgrid place; =TARGET judges it by that profile. Exit code 0 only if every board passed."""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def call(*words, may_end_with=(0,)):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode not in may_end_with:
        raise RuntimeError(f"exit code {done.returncode} of {' '.join(words)}: {done.stdout}{done.stderr}")
    return done


def try_board(asked, options):
    """Its evidence, if there is any, the exit code, and what it said; logs lie beside the evidence in OUT/BOARD."""
    board, _, target = asked.partition("=")
    client, found, there = ("labgrid-client", "-p", board), options.out / board, f"{options.folder}-{board}"
    wants = f"--target {target} {options.validate}" if target else options.validate
    work = f"rm -rf {there} && mkdir {there} && tar xf {there}.tar -C {there} && sh {there}/try.sh {board} {wants}"
    try:
        call(*client, "acquire")
        try:
            call(*client, "scp", str(options.kit), f":{there}.tar")
            done = call(*client, "ssh", work, may_end_with=(0, 1))  # 1: a budget is missed, which is evidence too
            call(*client, "scp", f":{there}/found.tar", f"{found}.tar")
        finally:
            call(*client, "release")
    except (OSError, RuntimeError) as error:
        return None, 1, f"{board}: no evidence: {error}"
    subprocess.run(["tar", "xf", f"{found}.tar", f"--one-top-level={found}"], check=True)
    return found / "found/evidence.json", done.returncode, f"{board}: exit code {done.returncode}\n{done.stdout}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kit", type=Path)
    parser.add_argument("boards", nargs="+", metavar="BOARD[=TARGET]")
    parser.add_argument("--out", type=Path, required=True, help="folder for the page and for what the boards said")
    parser.add_argument("--folder", default="codriver-farm", help="on the boards; a board's name is added")
    parser.add_argument("--validate", default="", help="options of targets.validate on the boards")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(options.boards)) as pool:
        found = list(pool.map(lambda board: try_board(board, options), options.boards))
    print(*(said for *_, said in found), sep="\n", flush=True)
    report = [sys.executable, "-m", "targets.report", *(path for path, *_ in found if path), "--out"]
    return max(subprocess.call([*report, options.out / "farm.html"]), *(code for _, code, _ in found))


if __name__ == "__main__":
    sys.exit(main())
