"""The page and its socket on one port. It shows a person: only this machine may look, unless a token is given out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import logging
import re
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from codriver.device.closing import Closing
from codriver.device.imports import load
from codriver.errors import ConfigError
from codriver.live.feed import Feed

MAX_VIEWERS = 32
MAX_MESSAGE = 64  # bytes that a viewer may say at once: "pause" or "go"
QUEUED_BYTES = 1 << 17  # Linux takes twice that: one step or two that the kernel holds for a viewer, not 4 MB of them
CLOSE_S = 0.5  # for viewers to be told; who does not read is cut off
NOTE = "Who has this address with its token sees what you see: it shows a person. "
MISSING = "the live page needs the package websockets: pip install 'codriver[live]'"


class LivePage(Closing):
    """Serves until it is closed, in threads of its own: two a viewer.

    A viewer gets the newest step each time that it has taken the one before: a slow one holds up nobody and keeps one
    message. address: another than this machine's own needs `token`, without which nothing of the stream is told.
    port 0: any that is free.
    """

    def __init__(self, feed: Feed, *, address: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        sync = load("websockets.sync.server", MISSING, "serve")
        if not is_local(address) and not token:
            raise ConfigError(
                f"live page: {address} can be reached from other machines, and the page shows a person; give a token, "
                "and it to those alone who may watch, or serve on 127.0.0.1"
            )
        feed.hello["note"] = "" if is_local(address) else NOTE
        self.feed, self._token = feed, token
        self._viewers: set[Any] = set()
        self._lock = threading.Lock()
        self._page, self._policy = _page()
        try:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listening = socket.create_server((address, port), family=family)
        except OSError as error:
            what = f"live page: cannot be served on {address}:{port} ({error.strerror}); give another port"
            raise ConfigError(what) from error
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUED_BYTES)  # its viewers' sockets have it too
        self.port: int = listening.getsockname()[1]
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{self.port}/" + (f"#{token}" if token else "")
        names = {host, "localhost"} if is_local(address) else set()
        self._hosts = {f"{name}:{self.port}" for name in names}
        quiet = logging.Logger("codriver.live", logging.CRITICAL)  # what viewers do wrong is not our log's to tell
        self._server = sync.serve(
            self._serve,
            sock=listening,
            process_request=self._answer,
            compression=None,
            max_size=MAX_MESSAGE,
            server_header=None,
            open_timeout=5,
            close_timeout=CLOSE_S,
            logger=quiet,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="codriver-live", daemon=True)
        self._thread.start()

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    def close(self) -> None:
        """Tell every viewer, and cut off who does not listen."""
        self.feed.close()
        cut = threading.Timer(CLOSE_S, self._cut_off)
        cut.daemon = True
        cut.start()
        self._server.shutdown()
        cut.cancel()
        cut.join()
        self._thread.join(1.0)

    def _cut_off(self) -> None:
        with self._lock:
            viewers = tuple(self._viewers)
        for viewer in viewers:
            with suppress(OSError):
                viewer.socket.shutdown(socket.SHUT_RDWR)

    def _answer(self, connection: Any, request: Any) -> Any:
        """Two paths and no files: the page for whoever asks, the socket for who may."""
        path = urlsplit(request.path).path if len(request.path) < 1000 else ""
        if path == "/":
            return self._with_headers(connection.respond(HTTPStatus.OK, self._page), "text/html; charset=utf-8")
        if path != "/socket":
            return self._with_headers(connection.respond(HTTPStatus.NOT_FOUND, "there is nothing here\n"), "text/plain")
        why = self._refusal(request)
        if why:
            return self._with_headers(connection.respond(HTTPStatus.FORBIDDEN, f"{why}\n"), "text/plain")
        if self.viewers >= MAX_VIEWERS:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_VIEWERS} watch already\n")
        return None

    def _refusal(self, request: Any) -> str:
        """Why this viewer may not watch. Any page that a browser shows may try: its origin tells on it."""
        origins, hosts = request.headers.get_all("Origin"), request.headers.get_all("Host")
        if len(origins) != 1 or len(hosts) != 1 or origins[0] != f"http://{hosts[0]}":
            return "only the page itself may watch"
        if self._hosts and hosts[0] not in self._hosts:  # a name that somebody else made to lead here
            return "only the page itself may watch"
        given = parse_qs(urlsplit(request.path).query).get("token", [""])[0]
        if self._token and not hmac.compare_digest(given.encode(), self._token.encode()):
            return "this needs the token, which is behind the # of the page's address"
        return ""

    def _with_headers(self, response: Any, kind: str) -> Any:
        del response.headers["Content-Type"]
        response.headers.update(
            {
                "Content-Type": kind,
                "Content-Security-Policy": self._policy,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cache-Control": "no-store",
            }
        )
        return response

    def _serve(self, viewer: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        with self._lock:
            self._viewers.add(viewer)
        try:
            with suppress(ConnectionClosed, OSError):
                self._show(viewer)
        finally:
            with self._lock:
                self._viewers.discard(viewer)

    def _show(self, viewer: Any) -> None:
        """Until the feed ends or the viewer goes, which raises."""
        viewer.send(self.feed.greeting())
        number, paused = 0, False
        while not self.feed.closed:
            newer = None if paused else self.feed.newer(number, 0.5)
            if newer is not None:
                number, message = newer
                viewer.send(message)
            with suppress(TimeoutError):
                while True:
                    paused = viewer.recv(timeout=0.5 if paused else 0) == "pause"


def _page() -> tuple[str, str]:
    """The page, and a policy by which a browser runs nothing else in it and asks no other server."""
    text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    hashes = {}
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        hashes[tag] = f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"
    return text, (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; img-src blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def is_local(address: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
