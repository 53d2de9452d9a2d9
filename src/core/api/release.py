"""What of the API follows from the model, as one immutable whole, and how it is exchanged while requests go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import anyio.to_thread
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from core.api.replies import JsonReply
from core.errors import ModelRefusedError, StartupError
from core.observability import EventLog

RELOAD = "/model/reload"

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Release:
    """One model with everything that is made from it: a request keeps to the one that it began with."""

    version: str
    digest: str
    endpoints: Mapping[tuple[str, str], Endpoint]
    """By path and method."""
    document: dict[str, Any]
    """OpenAPI."""

    @cached_property
    def version_header(self) -> tuple[bytes, bytes]:
        return b"x-model-version", self.version.encode("ascii")


class Releases:
    """The release that new requests get."""

    def __init__(self, first: Release, load: Callable[[], Release] | None, log: EventLog) -> None:
        """`load` makes the release of the bundle as it is now, in a thread; None: there is but the first."""
        self.current = first
        self._load = load
        self._log = log
        self._loading = asyncio.Lock()

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """Return all routes of the app: those of the release, and the one that exchanges it where that is possible."""
        return {**self.current.endpoints, **({(RELOAD, "POST"): self._answer} if self._load is not None else {})}

    def endpoint_of(self, path: str, method: str) -> Endpoint:
        """Return what answers the route whichever release is the current one."""

        async def endpoint(request: Request) -> Response:
            return await self.endpoints()[path, method](request)

        return endpoint

    async def _answer(self, request: Request) -> Response:
        """Exchange the model."""
        changed = await self.reload()
        return JsonReply(to_json({"model_version": self.current.version, "changed": changed}))

    async def reload(self) -> bool:
        """Load the bundle anew, and serve it once it is verified; tell whether it is another one than before.

        Requests under way end with the model that they began with. Its memory, threads and connections are given back
        after the last of them; for the last one of a connection that is kept, that is when the next comes or it closes.

        Raises
        ------
        ModelRefusedError
            The bundle cannot be loaded: the model that served goes on serving.
        """
        async with self._loading:
            if self._load is None:
                raise ModelRefusedError("The model of this process is fixed.")
            try:
                release = await anyio.to_thread.run_sync(self._load)
            except StartupError as error:
                # Its text names files and settings, as it does at the start; keys are no part of a bundle.
                self._log.error(
                    "model refused",
                    model_version=self.current.version,
                    error_code=ModelRefusedError.code,
                    error_reason=str(error),
                )
                raise ModelRefusedError(f"{self.current.version} goes on serving: {error}") from error
            changed = release.digest != self.current.digest
            if changed:
                self.current = release
            self._log.warning("model loaded", model_version=self.current.version)
            return changed
