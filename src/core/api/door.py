"""Who gets in: the key, its scopes, how often, and whether there is room. Decided before a body is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from starlette.types import Scope

from core.api.admission import Admission
from core.api.auth import NO_KEY_ID, ApiKeys
from core.api.headers import API_KEY, headers_of
from core.api.rates import Rate, neighbourhood
from core.errors import (
    ForbiddenError,
    OverloadedError,
    RateLimitedError,
    TooManyAuthFailuresError,
    UnauthorizedError,
)
from core.observability import EventLog, LogFields
from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Rates:
    """What is counted, a minute; None: any number."""

    requests_of_address: Rate | None
    requests_of_key: Rate | None
    failures_of_address: Rate | None

    @classmethod
    def of(cls, settings: Settings) -> Rates:
        numbers = (
            settings.address_requests_per_minute,
            settings.key_requests_per_minute,
            settings.auth_failures_per_minute,
        )
        return cls(*(Rate(number) if number else None for number in numbers))


class Door:
    """Lets requests in, or says why not."""

    def __init__(
        self,
        keys: ApiKeys | None,
        open_paths: Collection[str],
        routes: Mapping[str, str | None],
        rates: Rates,
        admission: Admission,
    ) -> None:
        """`routes` gives the scope that each route asks of a key, or None where any key will do."""
        self.open_paths = open_paths
        self.routes = routes
        self._keys = keys
        self._rates = rates
        self._admission = admission

    async def admit(self, scope: Scope, path: str, fields: LogFields, log: EventLog) -> str:
        """Return whose request it is; note it in `fields`, too, also if it goes no further.

        Raises
        ------
        FraudScoringError
            It goes no further.
        """
        rates = self._rates
        if rates.requests_of_address is not None:
            _count(rates.requests_of_address, _address(scope), RateLimitedError)
        keys = self._keys
        if keys is not None and keys.is_stale():
            await keys.refresh(log)
        holder = NO_KEY_ID if keys is None else self._holder(keys, scope, path, fields)
        if self._admission.refuses(scope):
            raise OverloadedError
        return holder

    def _holder(self, keys: ApiKeys, scope: Scope, path: str, fields: LogFields) -> str:
        caller = keys.identify(headers_of(scope).get(API_KEY))
        rates = self._rates
        if caller is None:
            # It costs the address its 401 only: an active key from there is still let in. Else one wrong client
            # would shut out all others behind the same proxy; and keys are not found by trying.
            if rates.failures_of_address is not None:
                _count(rates.failures_of_address, _address(scope), TooManyAuthFailuresError)
            raise UnauthorizedError
        fields["key_id"] = caller.key_id
        needed = self.routes.get(path)
        if needed is not None and needed not in caller.scopes:
            raise ForbiddenError
        if rates.requests_of_key is not None:
            _count(rates.requests_of_key, caller.key_id, RateLimitedError)
        return caller.key_id


def _count(rate: Rate, name: str, excess: type[RateLimitedError]) -> None:
    wait = rate.take(name)
    if wait:
        raise excess(wait)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return neighbourhood(client[0]) if client else ""
