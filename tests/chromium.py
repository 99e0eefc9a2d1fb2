"""A real browser for tests: Debian's chromium without a window, told what to do over its own debugging socket."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium")
QUIET = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-port=0"
).split()


class Tab:
    """One page at one address. `asked` runs JavaScript in it."""

    def __init__(self, browser: Browser, url: str, size_px: tuple[int, int] = (1400, 900)) -> None:
        made = urllib.request.Request(f"{browser.address}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(made) as answer:
            about = json.load(answer)
        opening = connect(about["webSocketDebuggerUrl"], max_size=None, compression=None)
        self._socket = browser.stack.enter_context(opening)
        self._number = 0
        width, height = size_px
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        self.call("Page.navigate", url=url)
        self.until("location.href != 'about:blank' && document.readyState == 'complete'")

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=30))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def asked(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str, limit_s: float = 30.0) -> None:
        """Wait for something to be true in the page."""
        end_s = time.monotonic() + limit_s
        while not self.asked(script):
            assert time.monotonic() < end_s, f"{script}: not yet"
            time.sleep(0.1)

    def picture(self, whole: bool = False) -> bytes:
        """PNG of what is seen, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])


class Browser:
    def __init__(self) -> None:
        assert CHROMIUM
        self.stack = ExitStack()
        self._home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = [CHROMIUM, *QUIET, f"--user-data-dir={self._home.name}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = Path(self._home.name) / "DevToolsActivePort"
        end_s = time.monotonic() + 60
        while not (port.exists() and port.read_text().count("\n")):
            assert time.monotonic() < end_s and self._process.poll() is None, "chromium did not start"
            time.sleep(0.1)
        self.address = f"http://127.0.0.1:{port.read_text().split()[0]}"

    def close(self) -> None:
        self.stack.close()
        self._process.kill()
        self._process.wait()
        self._home.cleanup()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
