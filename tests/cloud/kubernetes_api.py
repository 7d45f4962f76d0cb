"""A stand-in for a cluster's API on the loopback address: it takes secrets and jobs, keeps them, and fails each job."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
clusters: [{{name: here, cluster: {{server: "{server}"}}}}]
users: [{{name: me, user: {{}}}}]
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
"""


class _Api(BaseHTTPRequestHandler):
    taken: list[tuple[str, dict[str, Any]]]

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _content(self) -> dict[str, Any]:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")

    def do_POST(self) -> None:
        content = self._content()
        self.taken.append((self.path.split("?")[0], content))
        self._answer(content)

    def do_GET(self) -> None:
        if self.path.split("?")[0].endswith("/pods"):
            self._answer({"kind": "PodList", "apiVersion": "v1", "items": []})
        else:
            self._answer({"kind": "Job", "apiVersion": "batch/v1", "status": {"failed": 1}})

    def do_DELETE(self) -> None:
        self._content()
        self._answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def serve_kubernetes(config: Path) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Write a kubeconfig and yield what is posted: path and content; stop what was started."""
    taken: list[tuple[str, dict[str, Any]]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Api", (_Api,), {"taken": taken}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config.write_text(KUBECONFIG.format(server=f"http://127.0.0.1:{server.server_port}"))
    try:
        yield taken
    finally:
        server.shutdown()
        server.server_close()
