"""Cameras alone, without a step: python tests/vehicle/watch.py CAMERAS.json SECONDS. A line for whatever changes."""

import re
import sys
import time

from codriver.sources import open_source

NUMBER = re.compile(r"[\d.]+")

with open_source(sys.argv[1]) as source:
    began_s, last = time.monotonic(), None
    sys.stdout.write("watching\n")
    for at in source:
        views = {view: at.frames[view].clock if view in at.frames else at.absent[view] for view in source.views}
        now = {view: NUMBER.sub("#", what) for view, what in views.items()}
        at_s = time.monotonic() - began_s
        for view in source.views:
            if last is not None and now[view] != last[view] and "nothing new" not in now[view]:
                sys.stdout.write(f"{at_s:6.1f} s  {view}: {views[view]}\n")
        last = {view: last[view] if last and "nothing new" in now[view] else now[view] for view in now}
        sys.stdout.flush()
        if at_s > float(sys.argv[2]):
            break
    for view, counts in source.counts().items():
        sys.stdout.write(f"{view}: {counts.frames} frames, {counts.lost} lost, opened {counts.opened} times\n")
    for problem in source.problems:
        sys.stdout.write(f"problem: {problem}\n")
