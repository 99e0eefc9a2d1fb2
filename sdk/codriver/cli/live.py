"""`codriver live`: look at footage or cameras, and show it all on a page in the browser."""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from codriver.bundle.loader import COLORS
from codriver.cli.shared import Commands, add_bundle, add_command, open_perceiver
from codriver.cli.steps import steps
from codriver.console import say
from codriver.live.feed import Feed
from codriver.live.server import LivePage, is_local
from codriver.perceiver import Perceiver
from codriver.sources import FORMS, FrameSet, Source, open_source

PORT = 8765
EXAMPLE = """examples:
  codriver live demo.bundle --source incar=0,front=1               until Ctrl-C; open the address that it prints
  codriver live demo.bundle --source AIDE_Dataset/0001 AIDE_Dataset/0002     over and over, at the pace of the footage
  codriver live demo.bundle --source incar=0 --address 0.0.0.0     for other machines: needs the token that it prints"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "live", "show what is seen and answered on a page in the browser", EXAMPLE, run)
    add_bundle(parser)
    parser.add_argument("--source", required=True, nargs="+", metavar="S", help=f"one or more, one by one: {FORMS}")
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"of the page ({PORT}); 0: any that is free"
    )
    parser.add_argument(
        "--address", default="127.0.0.1", metavar="IP", help="where to serve; default: this machine alone"
    )
    parser.add_argument("--token", metavar="T", help="what viewers must know; made where others can reach the address")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--once", action="store_true", help="end with the footage instead of beginning again")
    parser.add_argument("--color", choices=COLORS, default="bgr", help="rgb: red and blue are swapped")


def run(args: argparse.Namespace) -> int:
    local = is_local(args.address)
    token = args.token or (None if local else secrets.token_urlsafe(16))
    with open_perceiver(args, args.color) as perceiver, open_source(args.source[0]) as first:
        name = first.name + (f" and {len(args.source) - 1} more" if args.source[1:] else "")
        feed = Feed.of(perceiver, name, swap_colours=args.color == "rgb")
        with LivePage(feed, address=args.address, port=args.port, token=token) as page, args.stop.finishing(True):
            say(f"live page: {page.url}")
            if not local:
                say("it shows a person to whoever has this address with its token, over a line that is not encrypted")
            if args.open:
                _open_browser(page.url)
            for source in _sources(args, first):
                _show(source, perceiver, feed, args)
                if args.stop.asked:
                    break
    return 0


def _sources(args: argparse.Namespace, first: Source) -> Iterator[Source]:
    """One after the other; from the first again unless told otherwise. A live one does not end."""
    texts = args.source[1:]
    yield first
    while True:
        for text in texts:
            with open_source(text) as source:
                yield source
        if args.once:
            return
        texts = args.source


def _show(source: Source, perceiver: Perceiver, feed: Feed, args: argparse.Namespace) -> None:
    """Step through a source at its own pace. Footage begins a new context, since its times begin anew."""
    perceiver.reset()
    told, begin_s, begin_t = 0, time.monotonic(), None
    for at, percept in steps(source, perceiver):
        for problem in source.problems[told:]:
            say(f"problem: {problem}")
        told = len(source.problems)
        begin_t = at.t if begin_t is None else begin_t
        if not source.live:
            time.sleep(max(begin_s + at.t - begin_t - time.monotonic(), 0.0))
        if args.stop.asked:
            return
        if percept is not None:
            feed.publish(_known(at, perceiver), percept, live=source.live)


def _known(at: FrameSet, perceiver: Perceiver) -> dict[str, Any]:
    return {view: frame for view, frame in at.frames.items() if view in perceiver.manifest.views}


def _open_browser(url: str) -> None:
    import webbrowser

    with suppress(webbrowser.Error):
        webbrowser.open(url)
