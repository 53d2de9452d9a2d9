"""A container registry as ECR is one: for `docker push`, with a login, and with tags that cannot be moved.

What is pushed is checked and forgotten; manifests go to `put_image`, which decides on the tag.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PutImage = Callable[[str, str, str, str], None]
"""(repository, tag, digest, manifest); raises `TagTakenError`."""


class TagTakenError(Exception):
    """The tag names another image already."""


class Registry(ThreadingHTTPServer):
    """Listens on a free port of this machine; Docker talks to such an address without TLS."""

    daemon_threads = True

    def __init__(self, put_image: PutImage) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.put_image = put_image
        self.blobs: dict[str, int] = {}
        self.uploads: dict[str, Any] = {}
        self.manifests: list[str] = []
        self.users: set[str] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


@contextmanager
def registry(put_image: PutImage) -> Iterator[Registry]:
    with Registry(put_image) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        self._dispatch()

    do_HEAD = do_POST = do_PATCH = do_PUT = do_GET

    def _dispatch(self) -> None:
        _, _, authorization = self.headers.get("Authorization", "").partition(" ")
        if not authorization:
            self._reply(401, {"WWW-Authenticate": 'Basic realm="registry"'})
            return
        self.server.users.add(base64.b64decode(authorization).decode().partition(":")[0])
        path = urlsplit(self.path).path.removeprefix("/v2/")
        repository, _, rest = path.partition("/")
        kind, _, reference = rest.partition("/")
        handle = {"blobs": self._blob, "manifests": self._manifest}.get(kind)
        if handle is None:
            self._reply(200)
        else:
            handle(repository, reference)

    def _blob(self, repository: str, reference: str) -> None:
        name = reference.removeprefix("uploads/")
        if self.command == "HEAD":
            size = self.server.blobs.get(reference)
            self._reply(404 if size is None else 200, {"Content-Length": str(size or 0)})
        elif self.command == "POST":
            name = str(len(self.server.uploads))
            self.server.uploads[name] = [hashlib.sha256(), 0]
            self._reply(202, {"Location": f"/v2/{repository}/blobs/uploads/{name}"})
        else:
            upload = self.server.uploads[name]
            for part in self._body():
                upload[0].update(part)
                upload[1] += len(part)
            if self.command == "PATCH":
                self._reply(202, {"Location": f"/v2/{repository}/blobs/uploads/{name}", "Range": f"0-{upload[1] - 1}"})
            else:
                self._finish(repository, upload)

    def _finish(self, repository: str, upload: Any) -> None:
        [digest] = parse_qs(urlsplit(self.path).query)["digest"]
        if digest != f"sha256:{upload[0].hexdigest()}":
            self._reply(400)
            return
        self.server.blobs[digest] = upload[1]
        self._reply(201, {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _manifest(self, repository: str, reference: str) -> None:
        if self.command != "PUT":
            self._reply(404)
            return
        manifest = b"".join(self._body())
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        document = json.loads(manifest)
        missing = {part["digest"] for part in [document["config"], *document["layers"]]} - self.server.blobs.keys()
        if missing:
            self._reply(400)
            return
        try:
            self.server.put_image(repository, reference, digest, manifest.decode())
        except TagTakenError:
            self._reply(400)
            return
        self.server.manifests.append(reference)
        self._reply(201, {"Location": f"/v2/{repository}/manifests/{digest}", "Docker-Content-Digest": digest})

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left and (part := self.rfile.read(min(left, 1 << 20))):
                left -= len(part)
                yield part

    def _reply(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
