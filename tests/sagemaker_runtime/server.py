"""The server: endpoints by region and name, real sockets, a script of faults, and a record of what was asked."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.sagemaker_runtime.container import MAX_BODY_BYTES, Container
from tests.sagemaker_runtime.faults import Script, aws_error, model_error
from tests.sagemaker_runtime.http import Connection, ConnectionGone, Reply, Request

REGION = "us-east-1"
ENDPOINT = "fraud"
VARIANT = "AllTraffic"
ACCOUNT = "111122223333"
DENIED_KEY = "AKIADENIED"
UNKNOWN_KEY = "AKIAUNKNOWN"
COUNTS = "/counts"
"""Not of the real service: how many invocations there were so far, and of how many rows."""
_PATH = re.compile(r"/endpoints/([^/]+)/invocations")
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([a-z0-9-]+)/sagemaker/aws4_request")


@dataclass
class Runtime:
    """What the server knows, and what it saw; tests read and write it from their own thread."""

    containers: dict[tuple[str, str], Container]
    """Region and name of each endpoint -> what it hosts."""
    variants: tuple[str, ...] = (VARIANT,)
    latency_s: float = 0.0
    script: Script = lambda number: None
    rows: list[int] = field(default_factory=list)
    """The number of lines of each invocation so far."""
    in_flight: int = 0
    most_in_flight: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    keeps_requests: bool = False
    scheme: str = "http"
    port: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def hits(self) -> int:
        return len(self.rows)

    def forget(self) -> None:
        """Drop the record and the script."""
        self.script = lambda number: None
        self.rows.clear()
        self.requests.clear()
        self.most_in_flight = 0
        self.connections = 0
        self.latency_s = 0.0

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one client until it goes."""
        connection = Connection(reader, writer)
        self.connections += 1
        try:
            while connection.is_open:
                request = await connection.receive(MAX_BODY_BYTES)
                if request is None:
                    break
                await self._answer(connection, request)
        except (ConnectionGone, asyncio.CancelledError):
            pass  # also when the server stops
        finally:
            connection.close()

    async def _answer(self, connection: Connection, request: Request) -> None:
        if request.path == COUNTS:
            await connection.send(Reply(200, f"{self.hits} {sum(self.rows)}".encode(), "text/plain"))
            return
        self.rows.append(request.body.count(b"\n") + 1)
        if self.keeps_requests:
            self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            fault = self.script(self.hits)
            served = self._serve(request)
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            await (connection.send(served) if fault is None else fault(connection, served))
            if len(request.body) < int(request.headers.get("content-length", 0)):
                connection.close()
        finally:
            self.in_flight -= 1

    def _serve(self, request: Request) -> Reply:
        path, credential = _PATH.fullmatch(request.path), _CREDENTIAL.search(request.headers.get("authorization", ""))
        if request.method != "POST" or path is None:
            return aws_error(404, "UnknownOperationException")
        if int(request.headers.get("content-length", 0)) > MAX_BODY_BYTES:
            return Reply(413, f"HTTP content length exceeded {MAX_BODY_BYTES} bytes.".encode(), "text/plain")
        if credential is None:
            return aws_error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        return self._invoke(path[1], credential[1], credential[2], request)

    def _invoke(self, name: str, key: str, region: str, request: Request) -> Reply:
        if key == UNKNOWN_KEY:
            return aws_error(
                403, "UnrecognizedClientException", "The security token included in the request is invalid."
            )
        if key == DENIED_KEY:
            arn = f"arn:aws:sagemaker:{region}:{ACCOUNT}:endpoint/{name}"
            return aws_error(
                403, "AccessDeniedException", f"User is not authorized to perform: sagemaker:InvokeEndpoint on {arn}"
            )
        container = self.containers.get((region, name))
        if container is None:
            return aws_error(400, "ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
        variant = request.headers.get("x-amzn-sagemaker-target-variant", self.variants[0])
        if variant not in self.variants:
            return aws_error(400, "ValidationError", f"Variant {variant} is not found for Request.")
        reply = container.invoke(request.body, request.headers.get("content-type", ""))
        if reply.status != 200:
            return model_error(reply.status, reply.body.decode())
        return Reply(200, reply.body, reply.content_type, (("x-Amzn-Invoked-Production-Variant", variant),))


@contextmanager
def serving(runtime: Runtime, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Runtime]:
    """Serve `runtime` in a thread of this process, on a free port unless one is given."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_server(runtime.serve_connection, "127.0.0.1", port, ssl=tls, limit=1 << 20)
    )
    runtime.scheme = "http" if tls is None else "https"
    runtime.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="sagemaker-runtime")
    thread.start()
    try:
        yield runtime
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
