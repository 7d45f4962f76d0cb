"""An S3-compatible store on the loopback address: `rclone serve s3`, behind a door that counts and corrects.

rclone answers a request for a range with the range, but with status 200 where S3 says 206; clients that hold servers to
that refuse the answer. The door passes everything on as it is, but for that status, and counts the bytes read.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

PIECE = 2**20
KEYS = ("testkey", "testsecret123")


class Door(BaseHTTPRequestHandler):
    """Pass one request on to the store."""

    protocol_version = "HTTP/1.1"
    inside = ("127.0.0.1", 0)
    moved: ClassVar[Counter[str]] = Counter()

    def _pass_on(self) -> None:
        store = http.client.HTTPConnection(*self.inside)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            store.putheader(name, value)
        store.endheaders(body or None)
        answer = store.getresponse()
        status = 206 if answer.status == 200 and answer.headers.get("Content-Range") else answer.status
        content = b"" if self.command == "HEAD" else answer.read()
        self.send_response_only(status)
        for name, value in answer.headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        for start in range(0, len(content), PIECE):
            self.wfile.write(content[start : start + PIECE])
        self.moved[self.path.split("?")[0]] += len(content)
        store.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(root: Path, rclone: str) -> Iterator[str]:
    """Serve the folders under ``root`` as buckets and yield the endpoint; stop what was started."""
    Door.inside = ("127.0.0.1", _free_port())
    command = [rclone, "serve", "s3", "--addr", "{}:{}".format(*Door.inside), "--auth-key", ",".join(KEYS)]
    store = subprocess.Popen(
        [*command, "--vfs-cache-mode", "off", str(root)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(Door.inside) == 0:
                break
        time.sleep(0.1)
    try:
        yield f"http://127.0.0.1:{door.server_port}"
    finally:
        door.shutdown()
        store.terminate()
        store.wait(10)


def find_rclone(*places: Path) -> str | None:
    """Return the server's program, if it is installed."""
    return next(
        (found for place in places if (found := shutil.which("rclone", path=str(place)))), shutil.which("rclone")
    )
