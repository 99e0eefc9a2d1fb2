"""The live page in a real browser: it says what is the matter, in words, on a desk and on a phone."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

import codriver.live
from codriver.live.feed import Feed
from codriver.live.server import LivePage
from codriver.percept import DriverSight
from codriver.tasks import AIDE
from tests.chromium import CHROMIUM, Browser, Tab
from tests.clips import percept
from tests.sdk.live.test_live import FRAMES, HELLO

PAGE = (Path(codriver.live.__file__).parent / "page.html").read_text()
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def luminance(colour: str) -> float:
    """Relative, as WCAG 2 defines it. colour: #rrggbb."""
    levels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("ink", ["text", "soft", "lead", "warn", "bad"])
@pytest.mark.parametrize("ground", ["background", "card", "raised"])
def test_text_can_be_read_on_what_lies_behind_it(ink, ground):
    colours = dict(re.findall(r"--(\w+): (#\w{6})", PAGE))
    light, dark = luminance(colours[ink]), luminance(colours[ground])
    assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@contextmanager
def serving(port: int = 0, **changes: object) -> Iterator[LivePage]:
    """A page with a step every 50 ms: percept(**changes)."""
    sight = DriverSight(present=True, face_px=(20, 5, 20, 20), certainty={"face": 0.9})
    ended = threading.Event()

    def publish() -> None:
        number = 0
        while not ended.wait(0.05):
            number += 1
            page.feed.publish(FRAMES, percept(number, driver=sight, **changes))

    with LivePage(Feed(HELLO), port=port) as page:
        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield page
        finally:
            ended.set()
            thread.join()


def answered(tab: Tab) -> None:
    tab.until(f"document.querySelectorAll('.task .answer span').length == {len(AIDE.tasks)}")
    tab.until("[...document.querySelectorAll('.task .answer span')].every(e => e.textContent == '70 %')")


@needs_chromium
@pytest.mark.chromium
@pytest.mark.parametrize("size_px", [(1400, 900), (400, 860)])
def test_it_shows_views_answers_and_times_and_nothing_is_cut_off(browser, size_px):
    with serving() as page:
        tab = Tab(browser, page.url, size_px)
        answered(tab)
        words = tab.asked("document.body.innerText")
        assert "All is well" in words and "One step takes" in words and "frames read" in words
        assert words.count("✓ ok") == 4 and AIDE["driver_behavior"].labels[1] in words
        assert tab.asked("document.documentElement.scrollWidth") == size_px[0]
        picture = cv2.imdecode(np.frombuffer(tab.picture(), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape[:2] == size_px[::-1] and len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


@needs_chromium
@pytest.mark.chromium
def test_what_is_the_matter_stands_there_in_words(browser):
    with serving(state="degraded", lost=("left",), invalid=("traffic_context",)) as page:
        tab = Tab(browser, page.url)
        tab.until("document.body.innerText.includes('Something is missing')")
        words = tab.asked("document.body.innerText")
        assert "! lost" in words and "no answer: no frame to trust" in words and "left: no frame for 2.0 s" in words


@needs_chromium
@pytest.mark.chromium
def test_it_says_that_the_server_went_and_goes_on_once_it_is_back(browser):
    with serving() as page:
        tab = Tab(browser, page.url)
        answered(tab)
    tab.until("document.body.innerText.includes('trying again')")
    with serving(port=page.port, state="degraded"):
        tab.until("document.body.innerText.includes('Something is missing')")


@needs_chromium
@pytest.mark.chromium
def test_paused_it_stands_still_and_a_picture_can_be_saved(browser):
    with serving() as page:
        tab = Tab(browser, page.url)
        answered(tab)
        tab.asked("document.getElementById('pause').click()")
        time.sleep(0.3)
        before = tab.asked("newest.number")
        time.sleep(0.5)
        assert tab.asked("newest.number") == before
        tab.asked("HTMLAnchorElement.prototype.click = function () { window.saved = this.download }")
        tab.asked("document.getElementById('snapshot').click()")
        tab.until("/^codriver-.*png$/.test(window.saved)")
        tab.asked("document.getElementById('pause').click()")
        tab.until(f"newest.number > {before}")
