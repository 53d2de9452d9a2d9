"""The factory of the one app that every target serves."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from core.api.admission import Admission
from core.api.auth import ApiKeys
from core.api.door import Door, Rates
from core.api.errors import problem_of, problem_response
from core.api.middleware import RequestMiddleware, context_of
from core.api.openapi import TITLE, VERSION, build_document
from core.api.release import RELOAD, Endpoint, Release, Releases
from core.api.routes import Routes
from core.errors import FraudScoringError, StartupError
from core.metrics import Metrics
from core.observability import EventLog
from core.readiness import Readiness
from core.service import ScoringService
from core.settings import Settings

if TYPE_CHECKING:
    from core.api.job_api import JobApi

PROBES = frozenset({"/health", "/health/ready"})
DOCS = frozenset({"/docs", "/openapi.json"})
SCOPES_OF_ROUTES = {
    "/predict": "predict",
    "/predict/batch": "batch",
    RELOAD: "admin",
    **dict.fromkeys({"/model"} | PROBES | DOCS),
}
"""What each route asks of a key; None: any key will do."""


def create_app(
    service: ScoringService,
    settings: Settings,
    keys: ApiKeys | None = None,
    load: Callable[[], ScoringService] | None = None,
    jobs: JobApi | None = None,
) -> FastAPI:
    """Return the app for one service; apps with different settings can live in one process.

    `keys` are those of the settings unless given; none are asked for when the settings disable authentication.
    `load` makes the service anew when the model is to be exchanged; without it there is no route for that.
    Without `jobs` there are no routes of jobs, and the document knows of none.
    `app.state` holds what a server or an adapter needs besides: `readiness`, for whoever stops the process, `metrics`,
    for whoever flushes them, `log`, `settings` and `releases`.
    """
    documented = settings.docs != "off"
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        docs_url="/docs" if documented else None,
        openapi_url="/openapi.json" if documented else None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        # It would record paths and the text of errors, and takes a fifth of the time of a request even when idle.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={HTTPException: _answer_error, FraudScoringError: _answer_error},
    )
    log, readiness, admission = EventLog(settings.log_level), Readiness(), Admission(settings.max_in_flight)

    def release_of(service: ScoringService) -> Release:
        routes = Routes(service, settings, readiness, admission)
        return _release(service, settings, routes, jobs, reloadable=load is not None)

    releases = Releases(release_of(service), None if load is None else lambda: release_of(load()), log)
    _register(app, releases)
    app.openapi = lambda: releases.current.document  # type: ignore[method-assign]
    app.state.readiness, app.state.releases = readiness, releases
    app.state.settings, app.state.log, app.state.metrics = settings, log, Metrics(settings.service_name)
    door = _door(settings, keys, admission, {**SCOPES_OF_ROUTES, **(jobs.scopes if jobs else {})})
    app.middleware_stack = RequestMiddleware(
        _routing_of(app), door=door, releases=releases, log=log, metrics=app.state.metrics,
        patterns=() if jobs is None else jobs.patterns,
    )  # fmt: skip
    return app


def _routing_of(app: FastAPI) -> ASGIApp:
    """Return what FastAPI calls within its outermost layer.

    That layer answers errors in a form of its own; ours stands in its place, and not within it, since a request would
    pass through three more layers on its way to us.
    """
    stack = app.build_middleware_stack()
    if not isinstance(stack, ServerErrorMiddleware):
        raise StartupError("this FastAPI is not the one of requirements/: its outermost layer is another")
    inner = stack.app

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = app  # a server may call our layer itself, without FastAPI's own `__call__`
        await inner(scope, receive, send)

    return route


def _release(
    service: ScoringService, settings: Settings, routes: Routes, jobs: JobApi | None, *, reloadable: bool
) -> Release:
    paths, schemas = ({}, {}) if jobs is None else jobs.describe()
    document = build_document(
        service, settings, routes.schema, reloadable=reloadable, more_paths=paths, more_schemas=schemas
    )
    more = {} if jobs is None else jobs.endpoints(service, settings)
    release = Release(service.bundle.version, service.bundle.digest, {**_endpoints(routes), **more}, document)
    if reloadable:
        # Each request holds the release that it began with: once all have let go of it, nobody scores with it any more.
        weakref.finalize(release, service.close).atexit = False
    return release


def _register(app: FastAPI, releases: Releases) -> None:
    """Tell FastAPI of the routes: it answers HEAD, and what is asked of them by a method that they do not have."""
    served = list(releases.endpoints())
    for path in dict.fromkeys(path for path, _ in served):
        methods = [method for each, method in served if each == path]
        first = "GET" if "GET" in methods else methods[0]
        app.add_route(path, releases.endpoint_of(path, first), methods=methods)


def _endpoints(routes: Routes) -> dict[tuple[str, str], Endpoint]:
    return {
        ("/predict", "POST"): routes.predict,
        ("/predict/batch", "POST"): routes.predict_batch,
        ("/health", "GET"): routes.health,
        ("/health/ready", "GET"): routes.ready,
        ("/model", "GET"): routes.model,
    }


def _door(settings: Settings, keys: ApiKeys | None, admission: Admission, scopes: Mapping[str, str | None]) -> Door:
    return Door(
        keys=None if settings.auth_disabled else keys or ApiKeys(settings.api_keys()),
        open_paths=PROBES | (DOCS if settings.docs == "public" else frozenset()),
        routes=scopes,
        rates=Rates.of(settings),
        admission=admission,
    )


async def _answer_error(request: Request, error: Exception) -> Response:
    context = context_of(request.scope)
    context.fields["error_code"] = problem_of(error).code
    return problem_response(error, context.request_id)
