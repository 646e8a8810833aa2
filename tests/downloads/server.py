"""A web server with prescribed faults."""

import hashlib
import re
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STALL = 5.0
LASTING = ("missing", "redirect_away")
"""Faults that stay after a retry, also if the client gave up the first request."""


@dataclass
class Served:
    """A file on the server.

    Each request takes the first of ``faults``; after the last one the file is served correctly, or not at all if ``dead``.
    """

    content: bytes
    faults: list = field(default_factory=list)
    dead: bool = False
    ignores_range: bool = False
    etag: str | None = "by content"
    headers: dict = field(default_factory=dict)
    cut: float = 0.5
    flipped: slice | None = None
    old: bytes = b""

    def damaged(self):
        content = bytearray(self.content)
        if self.flipped:
            content[self.flipped] = bytes(byte ^ 0xFF for byte in content[self.flipped])
        return bytes(content)


class Handler(BaseHTTPRequestHandler):
    """Serves the files of the test."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.close_connection = True
        path = self.path.removeprefix(f"http://127.0.0.1:{self.server.server_port}")
        self.server.requests[path] += 1
        self.server.seen.append((path, self.path, dict(self.headers)))
        served = self.server.files.get(path)
        if served is None:
            return self._status(404)
        with self.server.lock:
            fault = served.faults[0] if served.faults else ("drop_at_once" if served.dead else "good")
            if fault not in LASTING:
                del served.faults[:1]
        try:
            return getattr(self, f"_{fault}")(served)
        except OSError:
            return None  # the client went away

    def _good(self, served, content=None, version=None, upto=None, announced=None, wait=0.0):
        content = served.content if content is None else content
        etag = f'"{hashlib.md5(version or served.content).hexdigest()}"' if served.etag == "by content" else served.etag
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = 0
        if match and not served.ignores_range and self.headers.get("If-Range") == etag:
            start = int(match[1])
            if start >= len(content):
                return self._status(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str((announced or len(content)) - start))
        if etag:
            self.send_header("ETag", etag)
        for name, value in served.headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = content[start:] if upto is None else content[start : max(start, upto)]
        self.wfile.write(body)
        self.wfile.flush()
        if wait:
            self.server.closing.wait(wait)
        return None

    def _at(self, served):
        return int(served.cut * len(served.content))

    def _drop(self, served):
        self._good(served, upto=self._at(served))
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset instead of a close

    def _drop_at_once(self, served):
        self.connection.shutdown(socket.SHUT_RDWR)

    def _drop_damaged(self, served):
        self._good(served, content=served.damaged(), upto=self._at(served))

    def _drop_old_version(self, served):
        self._good(served, content=served.old, version=served.old, upto=self._at(served))

    def _cut(self, served):
        self._good(served, upto=self._at(served))

    def _stall(self, served):
        self._good(served, upto=self._at(served), wait=STALL)

    def _stall_at_once(self, served):
        self.server.closing.wait(STALL)

    def _held(self, served):
        """Waits until the test sets ``released``."""
        self.server.released.wait(60)
        self._good(served)

    def _trickle(self, served):
        self._good(served, upto=1)
        for byte in served.content[1:1000]:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.server.closing.wait(0.05):
                return

    def _wrong_bytes(self, served):
        self._good(served, content=served.damaged())

    def _announced_short(self, served):
        self._good(served, upto=self._at(served), announced=max(1, self._at(served)))

    def _announced_long(self, served):
        self._good(served, announced=len(served.content) + 100)

    def _wrong_range(self, served):
        """Sends another part than the requested one."""
        self._part(served, served.content, 10, self.headers.get("If-Range"))

    def _other_version(self, served):
        """Sends the requested part of another version, and ignores If-Range."""
        start = int(self.headers.get("Range", "bytes=1-")[6:-1])
        self._part(served, served.old + bytes(start), start, '"other"')

    def _part(self, served, content, start, etag):
        if "Range" not in self.headers:
            return self._cut(served)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", etag)
        self.end_headers()
        return self.wfile.write(content[start:])

    def _redirect_away(self, served):
        self._redirect(f"http://localhost:{self.server.server_port}/elsewhere")

    def _redirect_within(self, served):
        self._redirect("/elsewhere")

    def _redirect_to_a_file(self, served):
        self._redirect("file:///etc/hosts")

    def _redirect_to_ftp(self, served):
        self._redirect("ftp://127.0.0.1/a")

    def _endless(self, served):
        """Sends bytes without end or Content-Length."""
        self.send_response(200)
        self.end_headers()
        while not self.server.closing.is_set():
            self.wfile.write(bytes(1 << 14))

    def _redirect(self, to):
        self.send_response(302)
        self.send_header("Location", to)
        for name, value in self.server.linked.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _page(self, served):
        """Sends a web page, as captive portals do."""
        page = b"<!DOCTYPE html><title>Welcome</title>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def _busy(self, served):
        self._status(503)

    def _missing(self, served):
        self._status(404)

    def _status(self, code):
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    """Files by path, and a log of the requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.linked = {}
        self.requests = Counter()
        self.seen = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.released = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def address(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, address):
        """Print nothing about connections that were cut on purpose."""

    def stop(self):
        self.closing.set()
        self.released.set()
        self.shutdown()
        self.server_close()
