"""API keys from AWS Secrets Manager. The only module that knows how the secret is laid out."""

from __future__ import annotations

import json

from core.errors import KeySourceError
from core.settings import split_keys

_TIMEOUT_S = 2.0


class SecretsManagerKeys:
    """Fetches the active API keys from one secret.

    The secret's text is the keys separated by commas, or a JSON object whose values are such texts (the names
    then say whose key it is).
    """

    def __init__(self, secret_arn: str) -> None:
        # Imported here: these cost 0.4 s, and only a service with this setting needs them.
        from aws_lambda_powertools.utilities.parameters import SecretsProvider
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": 2}
        config = Config(connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries=retries)
        self._secret_arn = secret_arn
        self._provider = SecretsProvider(config=config)

    def fetch(self) -> tuple[str, ...]:
        """Return the active keys, at least one; blocks for a call to AWS.

        Raises
        ------
        KeySourceError
            The secret cannot be read or holds no key.
        """
        from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

        try:
            secret = self._provider.get(self._secret_arn, force_fetch=True)
        except GetParameterError as error:
            reason = type(error.__cause__ or error).__name__
            raise KeySourceError(f"API_KEYS_SECRET_ARN: the secret cannot be read ({reason})") from error
        keys = _keys_of(str(secret))
        if not keys:
            raise KeySourceError("API_KEYS_SECRET_ARN: the secret holds no key")
        return keys


def _keys_of(secret: str) -> tuple[str, ...]:
    try:
        document = json.loads(secret)
    except ValueError:
        return split_keys(secret)
    if not isinstance(document, dict):
        return split_keys(secret)
    return tuple(key for value in document.values() if isinstance(value, str) for key in split_keys(value))
