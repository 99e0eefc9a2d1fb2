"""Step in the background: cameras hand over frames at their own pace, answers come by callback, nothing queues up.

python samples/worker.py demo.bundle AIDE_Dataset/0001
"""

import sys
import time

from codriver import CodriverError, Perceiver, PerceiverWorker, Percept, WorkerConfig, open_source

CONFIG = WorkerConfig(deadline_ms=66)  # a frame at 15 Hz


def show(percept: Percept) -> None:
    answers = ", ".join(result.label or "-" for result in percept.tasks.values())
    late = " late" if percept.deadline_missed else ""
    print(f"{percept.t:6.2f} s  {percept.state:9}{late}  {answers}  {percept.reasons[:1]}")


def main(bundle: str, clip: str) -> int:
    try:
        worker = PerceiverWorker(lambda: Perceiver.open(bundle), show, print, CONFIG)
        with open_source(clip) as source, worker:
            for at in source:
                worker.submit(at.frames, t=at.t, driver=at.driver)
                time.sleep(1 / source.rate_hz)  # a camera would pace this loop
    except CodriverError as error:
        print(f"worker.py: {error}", file=sys.stderr)
        return 2
    for view, counts in worker.stats().views.items():
        print(f"{view}: {counts.processed} of {counts.input} frames looked at, {counts.dropped} dropped")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
