"""Pictures of how training went.

python -m training.curves RUN
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codriver.errors import SourceError
from codriver.tasks import TASK_SETS
from training.report.curves import draw_curves
from training.trainer.checkpoint import CURVES, METRICS
from workshop.command import command


@command("training.curves")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.curves",
        description="Draw curves.png from a run's metrics.jsonl; training does so after each epoch.",
        epilog="example: python -m training.curves out/run.partial",
    )
    parser.add_argument("run", type=Path, help="run folder, whole or partial")
    parser.add_argument("--task-set", choices=TASK_SETS, default="aide")
    args = parser.parse_args(argv)
    records = read_metrics(args.run / METRICS)
    draw_curves(records, args.run / CURVES, TASK_SETS[args.task_set])
    sys.stdout.write(f"{args.run / CURVES}\n")
    return 0


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """One record for each epoch."""
    if not path.is_file():
        raise SourceError(f"{path} is missing; give a folder that training.train wrote")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not records:
        raise SourceError(f"{path} holds no epoch yet; wait for the first to end")
    return records


if __name__ == "__main__":
    sys.exit(main())
