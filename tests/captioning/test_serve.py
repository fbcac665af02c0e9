"""The served page answers its own requests about photographs and nothing else; the browser's side is in test_pages.py."""

import base64
import hashlib
import io
import re
import socket
import struct
import threading
import time
from http.client import HTTPConnection
from threading import Thread

import pytest
from PIL import Image

from captioning.decoding import Caption
from captioning.pages import serve
from core.errors import InputError
from encoders import photographs

CAPTIONS = [
    Caption(("dog", "<runs>"), (0.875, 0.5), score=-0.4, finished=True),
    Caption(("cat",), (0.25,), score=-1.4, finished=True),
]


def describe(photograph):
    photographs.read(photograph, 8, 8)
    return {"": CAPTIONS}


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serve.Server(describe, port=0) as running:
        Thread(target=running.serve_forever, args=[0.01], daemon=True).start()
        yield running
        running.shutdown()
    assert not list(tmp_path.iterdir()), "the server wrote to disk"


@pytest.fixture
def png():
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "PNG")
    return buffer.getvalue()


def ask(server, body=None, path=None, **headers):
    """Ask as the page itself does, but for what the arguments change; a header that is None is left out."""
    method, path = ("GET", path or "/") if body is None else ("POST", path or "/caption?name=a.png")
    usual = {"Host": server.url[7:], "Origin": server.url, "Content-Type": "image/png"}
    if body is not None:
        usual["Content-Length"] = str(len(body))
    connection = HTTPConnection(serve.ADDRESS, server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for name, value in (usual | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.headers


def test_a_photograph_is_answered_with_its_captions_as_text(server, png):
    status, html, headers = ask(server, png, "/caption?name=%3Cb%3E%26.png")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert 'alt="dog &lt;runs&gt;"' in html and "<small>&lt;b&gt;&amp;.png</small>" in html
    assert "88%" in html and "<li><ruby" in html and "25%" in html
    assert "<runs>" not in html and "<b>" not in html


def test_it_is_reachable_from_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    status, html, headers = ask(server)
    assert status == 200 and html == serve.PAGE
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert not any(name.startswith("Access-Control") for name in headers)


def test_the_page_holds_its_limits_and_only_its_script_may_run(server):
    _, html, headers = ask(server)
    assert 'accept="image/jpeg,image/png,image/webp" data-largest="20000000"' in html
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"; script-src 'sha256-{allowed}';" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["Host", "Origin"])
@pytest.mark.parametrize(
    "value", ["evil.example", "http://evil.example", "null", "http://127.0.0.1", "127.0.0.1", None]
)
def test_other_pages_and_names_are_refused(server, png, name, value):
    assert ask(server, png, **{name: value})[0] == 403


def test_a_page_at_another_name_cannot_even_be_read(server):
    assert ask(server, Host=f"evil.example:{server.server_port}")[0] == 403
    assert ask(server, Host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "image/svg+xml"}, 415),
        ({"Content_Type": None}, 415),
        ({"Content_Length": None}, 411),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": "²"}, 411),
        ({"Content_Length": str(serve.LARGEST + 1)}, 413),
    ],
)
def test_uploads_are_limited_in_type_and_size(server, headers, status):
    assert ask(server, b"", **headers)[0] == status


def test_what_is_no_photograph_is_named(server):
    status, text, headers = ask(server, b"<script>")
    assert status == 422 and headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text == "cannot be decoded: cannot identify image file"


def test_a_client_that_is_slow_or_goes_away_disturbs_no_other(server, png, capfd):
    head = f"POST /caption HTTP/1.1\r\nHost: {server.url[7:]}\r\nOrigin: {server.url}\r\nContent-Type: image/png\r\nContent-Length: 99\r\n\r\n"
    with socket.create_connection(server.server_address) as client:
        client.sendall(head.encode() + b"half")
        assert ask(server, png)[0] == 200
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # to be reset
    while any("process_request_thread" in thread.name for thread in threading.enumerate()):
        time.sleep(0.01)
    assert capfd.readouterr().err == ""


def test_other_addresses_are_unknown(server, png):
    assert ask(server, path="/etc/passwd")[0] == 404
    assert ask(server, png, path="/")[0] == 404


def test_a_taken_port_is_an_error(server):
    with pytest.raises(InputError, match=rf"found that {server.server_port} cannot be used .* --port"):
        serve.Server(describe, server.server_port)
