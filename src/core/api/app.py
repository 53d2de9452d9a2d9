"""The factory of the one app that every target serves."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from core.api.auth import ApiKeys
from core.api.door import Door, Rates
from core.api.errors import problem_of, problem_response
from core.api.middleware import RequestMiddleware, context_of
from core.api.openapi import TITLE, VERSION, build_document
from core.api.routes import Routes
from core.metrics import Metrics
from core.observability import EventLog
from core.service import ScoringService
from core.settings import Settings

PROBES = frozenset({"/health", "/health/ready"})
DOCS = frozenset({"/docs", "/openapi.json"})


def create_app(service: ScoringService, settings: Settings, keys: ApiKeys | None = None) -> FastAPI:
    """Return the app for one service; apps with different settings can live in one process.

    `keys` are those of the settings unless given; none are asked for when the settings disable authentication.
    `app.state` holds what a server or an adapter needs besides: `readiness`, for whoever stops the process, `metrics`,
    for whoever flushes them, `log`, `settings` and `model_version`.
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
        exception_handlers={HTTPException: _answer_routing_error},
    )
    routes = Routes(service, settings)
    served = {
        "/predict": (routes.predict, "POST", "predict"),
        "/predict/batch": (routes.predict_batch, "POST", "batch"),
        "/health": (routes.health, "GET", None),
        "/health/ready": (routes.ready, "GET", None),
        "/model": (routes.model, "GET", None),
    }
    # FastAPI knows the routes too: it answers what is asked of them by another method.
    for path, (endpoint, method, _) in served.items():
        app.add_route(path, endpoint, methods=[method])
    app.state.readiness = routes.readiness
    app.state.settings = settings
    app.state.log = EventLog(settings.log_level)
    app.state.metrics = Metrics(settings.service_name)
    app.state.model_version = service.bundle.version
    document = build_document(service, settings, routes.schema)
    app.openapi = lambda: document  # type: ignore[method-assign]
    app.add_middleware(
        RequestMiddleware,
        door=_door(settings, keys, routes, {path: scope for path, (_, _, scope) in served.items()}),
        endpoints={(path, method): endpoint for path, (endpoint, method, _) in served.items()},
        log=app.state.log,
        metrics=app.state.metrics,
        model_version=service.bundle.version,
    )
    return app


def _door(settings: Settings, keys: ApiKeys | None, routes: Routes, scopes: dict[str, str | None]) -> Door:
    return Door(
        keys=None if settings.auth_disabled else keys or ApiKeys(settings.api_keys()),
        open_paths=PROBES | (DOCS if settings.docs == "public" else frozenset()),
        routes={**dict.fromkeys(DOCS), **scopes},
        rates=Rates.of(settings),
        admission=routes.admission,
    )


async def _answer_routing_error(request: Request, error: Exception) -> Response:
    context = context_of(request.scope)
    context.fields["error_code"] = problem_of(error).code
    return problem_response(error, context.request_id)
