"""Your own loop, and the live page beside it: what a step saw and answered goes to whoever looks.

python samples/live.py demo.bundle incar=0,front=1          pip install 'codriver[live]'

Open the address that it prints, on this machine; docs/live.md says how others may look. Ctrl-C ends it.
"""

import sys

from codriver import CodriverError, Feed, LivePage, Perceiver, open_source


def main(bundle: str, cameras: str) -> int:
    try:
        with Perceiver.open(bundle) as perceiver, open_source(cameras) as source:
            with LivePage(Feed.of(perceiver, source.name)) as page:  # port=8765 for one that stays the same
                print(page.url, flush=True)
                for at in source:
                    percept = perceiver.step(at.frames, t=at.t)
                    page.feed.publish(at.frames, percept, live=source.live)  # costs nothing while nobody looks
    except CodriverError as error:
        print(f"live.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
