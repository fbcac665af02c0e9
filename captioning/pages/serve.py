"""A page on this machine alone: drop photographs on it and read their captions. Nothing is written to disk.

Only the page itself may ask for captions. Other machines cannot reach the address. Requests of other pages are refused by two headers:
a page whose name was made to point here cannot forge `Host`, and a browser names the page that asks in `Origin`.
"""

import io
import re
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

from captioning.pages import gallery, page
from captioning.pages.gallery import Captions
from core.errors import InputError
from encoders.photographs import Unreadable

ADDRESS = "127.0.0.1"
LARGEST = 20_000_000  # bytes of a photograph
TYPES = ("image/jpeg", "image/png", "image/webp")

SCRIPT = page.read("serve.js")
PAGE = page.fill(
    "serve.html",
    style=page.read("page.css", "gallery.css", "serve.css"),
    script=SCRIPT,
    types=",".join(TYPES),
    largest=str(LARGEST),
)
HEADERS = {
    "Content-Security-Policy": page.policy(SCRIPT)
    + "; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is not answered: the status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Server(ThreadingHTTPServer):
    """Answers on 127.0.0.1, one photograph at a time.

    :param describe: returns the captions of an open photograph, or raises `Unreadable`.
    :param port: 0 takes any free one.
    :raises InputError: the port is taken.
    """

    def __init__(self, describe: Callable[[BinaryIO], Captions], port: int) -> None:
        self.describe, self.turn = describe, Lock()
        try:
            super().__init__((ADDRESS, port), Handler)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"expected a free port, found that {port} cannot be used ({error}); give another --port"
            ) from error
        self.url = f"http://{ADDRESS}:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers GET / with the page, and POST /caption?name=NAME with the HTML of the photograph in its body."""

    timeout = 30  # seconds that a silent client is waited for
    server: Server

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client has gone
            super().handle()

    def do_GET(self) -> None:
        self._answer(self._page)

    def do_POST(self) -> None:
        self._answer(self._figure)

    def log_message(self, *_) -> None:
        """Keep the names of photographs out of the terminal."""

    def _answer(self, make: Callable[[], str]) -> None:
        try:
            if self.headers["Host"] not in (f"localhost:{self.server.server_port}", self.server.url.split("//")[1]):
                raise Refused(403, f"expected to be asked as {self.server.url}")
            status, kind, text = 200, "html", make()
        except Refused as error:
            status, kind, text = error.status, "plain", str(error)
        body = text.encode()
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"text/{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _page(self) -> str:
        if self.path != "/":
            raise Refused(404, "expected /")
        return PAGE

    def _figure(self) -> str:
        url = urlsplit(self.path)
        if url.path != "/caption":
            raise Refused(404, "expected /caption")
        if self.headers["Origin"] != f"http://{self.headers['Host']}":
            raise Refused(403, "expected a request of this server's own page")
        if self.headers["Content-Type"] not in TYPES:
            raise Refused(415, f"expected {', '.join(TYPES)}")
        body = self.rfile.read(self._length())  # before its turn: a slow client keeps no other waiting
        with self.server.turn:
            photograph = io.BytesIO(body)
            try:
                return gallery.figure(
                    photograph, parse_qs(url.query).get("name", [""])[0], self.server.describe(photograph)
                )
            except Unreadable as reason:
                raise Refused(422, f"cannot be decoded: {reason}") from reason

    def _length(self) -> int:
        length = self.headers["Content-Length"] or ""
        if not re.fullmatch("[0-9]{1,12}", length):
            raise Refused(411, "expected the length of the photograph")
        if int(length) > LARGEST:
            raise Refused(413, f"expected at most {LARGEST // 1_000_000} MB, found {int(length) / 1e6:.1f} MB")
        return int(length)


def run(describe: Callable[[BinaryIO], Captions], port: int) -> None:
    """Serve the page until Ctrl-C; see `Server`."""
    with Server(describe, port) as server:
        print(f"open {server.url} in a browser of this machine; Ctrl-C ends it", flush=True)
        server.serve_forever()
