"""All that a board needs to be put to the test, as one file.

    python -m targets.kit fp32.bundle demo.bundle --data DATA --out kit.tar
    scp kit.tar board: && ssh board 'mkdir kit; tar xf kit.tar -C kit; sh kit/try.sh board-1'

In it: codriver's wheel and the workshop's source, both of this checkout as it stands, with its commit; the bundles; the
clips of the test split alone; profiles of yours; and try.sh, which says what it leaves behind. samples/farm does the
rest for many boards.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from codriver.bundle.folder import Bundle
from codriver.console import put
from codriver.errors import CodriverError, ConfigError
from codriver.files.atomic import whole_file
from targets.list import add_profiles_argument
from workshop.aide_splits import SPLITS, read_split
from workshop.artifacts import CHECKOUT, COPIED, git_commit
from workshop.command import command

OF_A_WHEEL = ("pyproject.toml", "README.md", "LICENSE", "sdk/codriver")


def kit(bundles: Sequence[Path], data: Path, profiles: Sequence[Path], out: Path) -> None:
    """Write the kit: the whole file or none."""
    names = [bundle.resolve().name for bundle in bundles]
    if len(set(names)) < len(names):
        raise ConfigError(f"bundles are called {', '.join(names)}; on a board they lie side by side: rename one")
    for bundle in bundles:
        Bundle.open(bundle)  # what is broken is told here, and not by ten boards
    with tempfile.TemporaryDirectory() as folder, whole_file(out) as fresh:
        commit = Path(folder) / COPIED.name
        commit.write_text(git_commit())
        with tarfile.open(fresh, "w") as tar:
            for path in (wheel(Path(folder)), commit, Path(__file__).with_name("try.sh")):
                tar.add(path, path.name)
            for path in (Path(__file__).parent, CHECKOUT / "sdk" / "workshop"):
                tar.add(path, path.name, filter=_source)
            for number, path in enumerate(profiles):
                tar.add(path, f"profiles/{number}")
            for bundle, name in zip(bundles, names, strict=True):
                tar.add(bundle.resolve(), f"bundles/{name}")
            for path in _of_test_split(data):
                tar.add(path, f"data/{path.relative_to(data)}")


def wheel(folder: Path) -> Path:
    """Built in `folder` from a copy: setuptools puts into a wheel what an earlier build left in the checkout."""
    copy = folder / "source"
    for name in OF_A_WHEEL:
        source, target = CHECKOUT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--disable-pip-version-check", "-w", folder, copy]
    done = subprocess.run([*map(str, build)], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CodriverError(f"pip could not build codriver's wheel: {said}")
    return next(folder.glob("codriver-*.whl"))


def _source(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _of_test_split(data: Path) -> Iterator[Path]:
    """All three lists, which are held against each other, and the clips of one: a data set is large."""
    yield from (data / name for name in SPLITS.values())
    for ref in read_split(data, "test"):
        yield from (ref.folder, ref.annotation)


@command("targets.kit")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m targets.kit",
        description="Wheel, workshop, bundles and test clips in one file, for boards to be validated on.",
        epilog="example: python -m targets.kit out/fp32.bundle out/demo.bundle --data out/data --out out/kit.tar",
    )
    parser.add_argument("bundle", type=Path, nargs="+", help="folders with a manifest.json")
    parser.add_argument("--data", type=Path, required=True, help="labelled clips in AIDE's layout")
    add_profiles_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="kit.tar to write")
    args = parser.parse_args(argv)
    kit(args.bundle, args.data, args.profiles, args.out)
    put(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; on a board: tar xf {args.out.name} && sh try.sh NAME")
    return 0


if __name__ == "__main__":
    sys.exit(main())
