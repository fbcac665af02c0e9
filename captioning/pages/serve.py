"""A page on this machine alone: drop photographs on it and read their captions. Nothing is written to disk.

Only the page itself may ask for captions: other machines cannot reach the address, other pages are refused by the headers `Host`
(which a name that was made to point here cannot forge) and `Origin` (which a browser sends along).
"""

import base64
import hashlib
import io
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

from captioning.decoding import Caption
from captioning.pages import gallery
from core.errors import InputError
from encoders.photographs import Unreadable

ADDRESS = "127.0.0.1"
LARGEST = 20_000_000  # bytes of a photograph
TYPES = ("image/jpeg", "image/png", "image/webp")

STYLE = """
label { display: block; margin-top: 1rem; padding: 1.5rem; border: 2px dashed var(--quiet); border-radius: .75rem; cursor: pointer }
label:focus-within, label.over { border-color: rgb(var(--sure)); border-style: solid }
input { display: block; max-width: 100%; margin-top: .5rem; font: inherit }
output { display: block; min-height: 1.5em; margin-top: 1rem; overflow-wrap: anywhere }
"""

SCRIPT = f"""
const [input, label, answers, progress] = ["input", "label", "main", "output"].map((name) => document.querySelector(name));
async function caption(photograph) {{
  if (!{[*TYPES]}.includes(photograph.type)) return "expected a JPEG, PNG or WebP file";
  if (photograph.size > {LARGEST}) return "expected at most {LARGEST // 1_000_000} MB";
  const question = "caption?name=" + encodeURIComponent(photograph.name);
  const answer = await fetch(question, {{ method: "POST", headers: {{ "Content-Type": photograph.type }}, body: photograph }});
  const text = await answer.text();
  if (!answer.ok) return text;
  answers.insertAdjacentHTML("afterbegin", text);
  return answers.querySelector("img").alt;
}}
async function show(photographs) {{
  for (const photograph of photographs) {{
    progress.textContent = photograph.name + " …";
    const said = await caption(photograph).catch(() => "no answer; is 5_test.py still running?");
    progress.textContent = photograph.name + ": " + said;
  }}
}}
input.onchange = () => show([...input.files]).then(() => (input.value = ""));
document.ondragover = (event) => {{ event.preventDefault(); label.classList.add("over"); }};
document.ondragleave = () => label.classList.remove("over");
document.ondrop = (event) => {{ document.ondragover(event); label.classList.remove("over"); show([...event.dataTransfer.files]); }};
"""

PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Captions of your photographs</title>
<style>{gallery.STYLE}{STYLE}</style>
</head>
<body>
<header>
<h1>Captions of your photographs</h1>
<p>Under each word stands its probability in percent. The photographs stay on this machine and are not kept.</p>
<label>Drop photographs here, or choose some: <input type="file" accept="{",".join(TYPES)}" multiple></label>
<output></output>
</header>
<main></main>
<script>{SCRIPT}</script>
</body>
</html>
"""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; connect-src 'self'; "
    f"script-src 'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
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

    :param describe: returns the captions of an open photograph, the best one first, or raises `Unreadable`.
    :param port: 0 takes any free one.
    :raises InputError: the port is taken.
    """

    def __init__(self, describe: Callable[[BinaryIO], Sequence[Caption]], port: int) -> None:
        self.describe, self.turn = describe, Lock()
        try:
            super().__init__((ADDRESS, port), Handler)
        except (OSError, OverflowError) as error:
            raise InputError(f"expected a free port, found that {port} cannot be used ({error}); give another --port") from error  # fmt: skip
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
                return gallery.figure(photograph, parse_qs(url.query).get("name", [""])[0], self.server.describe(photograph))  # fmt: skip
            except Unreadable as reason:
                raise Refused(422, f"cannot be decoded: {reason}") from reason

    def _length(self) -> int:
        length = self.headers["Content-Length"] or ""
        if not re.fullmatch("[0-9]{1,12}", length):
            raise Refused(411, "expected the length of the photograph")
        if int(length) > LARGEST:
            raise Refused(413, f"expected at most {LARGEST // 1_000_000} MB, found {int(length) / 1e6:.1f} MB")
        return int(length)


def run(describe: Callable[[BinaryIO], Sequence[Caption]], port: int) -> None:
    """Serve the page until Ctrl-C; see `Server`."""
    with Server(describe, port) as server:
        print(f"open {server.url} in a browser of this machine; Ctrl-C ends it", flush=True)
        server.serve_forever()
