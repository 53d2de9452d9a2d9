"""API keys from AWS Secrets Manager. The only module that knows how the secret is laid out."""

from __future__ import annotations

from core.errors import KeySourceError
from core.keys import parse_keys

_TIMEOUT_S = 2.0


class SecretsManagerKeys:
    """Fetches the active API keys from one secret.

    The secret's text is the keys separated by commas, or a JSON object whose values are such texts.
    """

    def __init__(self, secret_arn: str) -> None:
        # Imported here: these cost 0.4 s, and only a service with this setting needs them.
        from aws_lambda_powertools.utilities.parameters import SecretsProvider
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": 2}
        region = secret_arn.split(":")[3]
        config = Config(region, connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries=retries)
        self._secret_arn = secret_arn
        self._provider = SecretsProvider(boto_config=config)

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
            reason = error.__context__ or error  # Powertools does not chain what it caught
            raise KeySourceError(
                f"API_KEYS_SECRET_ARN: the secret cannot be read ({type(reason).__name__})"
            ) from reason
        keys = parse_keys(str(secret))
        if not keys:
            raise KeySourceError("API_KEYS_SECRET_ARN: the secret holds no key")
        return keys
