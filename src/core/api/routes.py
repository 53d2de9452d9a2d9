"""The routes. They read the request, call the service and write the reply; all else is in the core.

They are plain Starlette routes: FastAPI's own would parse the body with a lenient parser and echo the caller's
values in errors, and cost four times as much a request.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

import anyio.to_thread
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from core.api.admission import AT_WORK, Admission
from core.api.limits import CSV, JSON, read_body, require_media_type
from core.api.middleware import context_of
from core.api.query import asks_for_reasons, no_reasons_here
from core.api.replies import JsonReply, prediction_reply, predictions_reply
from core.csv_document import read_csv
from core.explanation import Explainer
from core.json_table import read_json_batch
from core.json_transaction import read_json_transaction
from core.readiness import Readiness
from core.service import Predictions, ScoringService
from core.settings import Settings
from core.transactions import Transactions, TransactionSchema, tabulate, too_many_to_explain

_BYTES_WORTH_A_THREAD = 65_536


class Routes:
    """The handlers of all routes, with the collaborators that they share."""

    def __init__(self, service: ScoringService, settings: Settings, readiness: Readiness, admission: Admission) -> None:
        """`readiness` and `admission` are of the process: they outlast the model that these routes serve."""
        self._service = service
        self._version = service.bundle.version
        self._settings = settings
        self.schema = TransactionSchema(service.bundle.manifest.fields)
        self._readiness = readiness
        self._admission = admission
        self._model = to_json(describe_model(service))

    async def predict(self, request: Request) -> Response:
        """Score one transaction."""
        require_media_type(request, (JSON,))
        explainer = self._explainer_for(request)
        body = await read_body(request, self._settings.max_body_bytes)
        transaction = read_json_transaction(body, self.schema)
        if explainer is None and self._service.gathers and len(request.scope.get(AT_WORK, ())) > 1:
            # No place is taken: it is done in these turns of the loop, and what waits for a turn waits at the door.
            scoring = self._service.score_in_company(transaction)
        else:
            scoring = self._score_in_turn(tabulate([transaction]), explainer)
        return prediction_reply(await self._noted(request, scoring, explainer), self._version)

    async def predict_batch(self, request: Request) -> Response:
        """Score a list of transactions, all or none."""
        media_type = require_media_type(request, (JSON, CSV))
        explainer = self._explainer_for(request)
        body = await read_body(request, self._settings.max_batch_body_bytes)
        parse = self._parse_csv if media_type == CSV else self._parse_json
        # A large body takes milliseconds to parse; other requests go on meanwhile.
        large = len(body) > _BYTES_WORTH_A_THREAD
        transactions = await anyio.to_thread.run_sync(parse, body) if large else parse(body)
        most = self._settings.max_explained_items
        if explainer is not None and len(transactions.ids) > most:
            raise too_many_to_explain(len(transactions.ids), most)
        scoring = self._score_in_turn(transactions, explainer)
        return predictions_reply(await self._noted(request, scoring, explainer), self._version)

    async def health(self, request: Request) -> Response:
        """Tell that the process is alive; touches nothing."""
        return _reply({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Tell that a transaction could be scored now."""
        self._readiness.check()
        await self._service.check_ready()
        return _reply({"status": "ready", "model_version": self._version})

    async def model(self, request: Request) -> Response:
        """Describe the model that answers."""
        return JsonReply(self._model)

    def _parse_json(self, body: bytes) -> Transactions:
        return read_json_batch(body, self.schema, self._settings.max_batch_items)

    def _parse_csv(self, body: bytes) -> Transactions:
        return read_csv(body, self.schema, self._settings.max_batch_items)

    def _explainer_for(self, request: Request) -> Explainer | None:
        """Return what explains scores, if the request asks for reasons."""
        if not asks_for_reasons(request.scope.get("query_string", b"")):
            return None
        if self._service.explainer is None:
            raise no_reasons_here()
        return self._service.explainer

    async def _score_in_turn(self, transactions: Transactions, explainer: Explainer | None) -> Predictions:
        await self._admission.enter()
        try:
            if explainer is None:
                return await self._service.score(transactions)
            return await self._service.explain(transactions, explainer)
        finally:
            self._admission.leave()

    async def _noted(
        self, request: Request, scoring: Awaitable[Predictions], explainer: Explainer | None
    ) -> Predictions:
        """Await `scoring`, and note for the log and the metrics what came out."""
        started = time.perf_counter_ns()
        predictions = await scoring
        elapsed_ms = (time.perf_counter_ns() - started) // 1000 / 1000
        decisions = predictions.decisions
        fields = context_of(request.scope).fields
        fields["scorer"] = self._service.scorer.name
        fields["model_version"] = self._version
        fields["n_transactions"] = len(decisions)
        if explainer is None:
            fields["score_ms"] = elapsed_ms
        else:
            fields["explained"] = len(decisions)
            fields["explain_ms"] = elapsed_ms
        fields["approve"] = decisions.count("approve")
        fields["review"] = decisions.count("review")
        fields["decline"] = decisions.count("decline")
        if predictions.degraded_by is not None:
            fields["degraded"] = True
            fields["error_code"] = predictions.degraded_by
        return predictions


def describe_model(service: ScoringService) -> dict[str, Any]:
    """Return what `GET /model` says of the bundle."""
    manifest = service.bundle.manifest
    return {
        "name": manifest.name,
        "model_version": manifest.version,
        "bundle_sha256": service.bundle.digest,
        "scorer": service.scorer.name,
        "fields": [field.model_dump(exclude_none=True) for field in manifest.fields],
        "features": [feature.name for feature in manifest.features],
        "thresholds": manifest.thresholds.model_dump(),
        "prevalence": manifest.prevalence,
        "holdout": manifest.holdout.model_dump(),
    }


def _reply(body: dict[str, Any]) -> Response:
    return JsonReply(to_json(body))
