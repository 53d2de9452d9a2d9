"""All settings in one frozen object: the only reader of the environment and of `.env`."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import SettingsError
from core.keys import parse_keys, split_scopes

_FOREIGN_PREFIXES = ("aws_", "powertools_", "compose_")
"""Settings of tools that share the file `.env` with us."""
_OWN_DESPITE_PREFIX = "aws_region"
_PLACEHOLDERS = frozenset({"changeme", "change-me", "changethis", "your-api-key", "secret", "example"})


SecretArn = Annotated[str, Field(pattern=r"^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$")]
S3Uri = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/\s].*$")]
EndpointName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")]
"""As SageMaker spells the names of endpoints, variants and components."""


class Settings(BaseSettings):
    """What can be configured; the environment variable is the field's name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True)

    api_key: SecretStr | None = Field(
        None, description="Active API keys, separated by commas; `KEY:predict+batch` limits one to these scopes."
    )
    api_keys_file: Path | None = Field(
        None, description="File that holds the active API keys, in place of `API_KEY`; read again every 30 s."
    )
    api_keys_secret_arn: SecretArn | None = Field(
        None,
        description="Secret in AWS Secrets Manager that holds the active API keys, in place of `API_KEY`.",
    )
    auth_disabled: bool = Field(False, description="`true` serves without API keys: for isolated tests only.")
    sagemaker_endpoint: EndpointName | None = Field(None, description="SageMaker endpoint that hosts the model.")
    scorer: Literal["embedded", "sagemaker"] = Field(
        default_factory=lambda known: "sagemaker" if known.get("sagemaker_endpoint") else "embedded",
        description="Where the model runs; default: on the endpoint if `SAGEMAKER_ENDPOINT` names one.",
    )
    scorer_fallback: Literal["none", "embedded"] = Field(
        "none", description="`embedded` answers with the bundle's own copy of the model while the endpoint does not."
    )
    aws_region: Annotated[str, Field(pattern=r"^[a-z]{2,8}(-[a-z]+)+-[0-9]{1,2}$")] | None = Field(
        None, description="Region of the endpoint; default: that of the AWS profile."
    )
    sagemaker_target_variant: EndpointName | None = Field(None, description="Production variant to call.")
    sagemaker_inference_component: EndpointName | None = Field(None, description="Inference component to call.")
    sagemaker_deadline_s: float = Field(2, ge=0.1, le=25, description="Longest wait for the score of one transaction.")
    sagemaker_batch_deadline_s: float = Field(20, ge=0.1, le=25, description="Longest wait for the scores of a batch.")
    sagemaker_connect_timeout_s: float = Field(0.3, ge=0.05, le=10, description="Longest wait for a connection.")
    sagemaker_concurrency: int = Field(
        4, ge=1, le=64, description="Most calls under way for single transactions, and as many for batches."
    )
    sagemaker_rows_per_call: int = Field(1000, ge=1, le=100_000, description="Most transactions in one call.")
    sagemaker_coalesce: bool = Field(
        True, description="Let single transactions that wait at the same time share a call."
    )
    model_bundle: Annotated[S3Uri | Path, Field(union_mode="left_to_right")] = Field(
        Path("models/creditcard"), description="Directory of the model bundle, or `s3://BUCKET/PREFIX`."
    )
    model_bundle_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="Accept only the bundle whose `manifest.json` has this sha256."
    )
    max_batch_items: int = Field(5000, ge=1, le=100_000, description="Most transactions in one batch request.")
    max_explained_items: int = Field(
        100, ge=1, le=1000, description="Most transactions in one batch request with `explain=true`."
    )
    max_body_bytes: int = Field(65_536, ge=1024, le=1 << 20, description="Largest body of `/predict`.")
    max_batch_body_bytes: int = Field(4_194_304, ge=1024, le=64 << 20, description="Largest body of `/predict/batch`.")
    max_in_flight: int = Field(
        256, ge=1, le=10_000, description="Most requests at work at once; as many more wait, for 0.1 s at most."
    )
    head_timeout_s: float = Field(
        4, ge=0.1, le=60, description="Longest time from the first byte of a request to the end of its headers."
    )
    body_timeout_s: float = Field(10, ge=0.1, le=300, description="Longest time from there to the end of its body.")
    key_requests_per_minute: int = Field(
        0, ge=0, le=1_000_000, description="Most requests of one API key to one process; 0: any number."
    )
    address_requests_per_minute: int = Field(
        0, ge=0, le=1_000_000, description="Most requests of one client address to one process; 0: any number."
    )
    auth_failures_per_minute: int = Field(
        20, ge=0, le=1_000_000, description="Most 401 replies to one client address; then it is 429. 0: any number."
    )
    trusted_proxies: Annotated[str, Field(pattern=r"^[0-9A-Fa-f.:/, ]+$")] | None = Field(
        None, description="Addresses and networks, separated by commas, whose `X-Forwarded-For` names the client."
    )
    docs: Literal["public", "key", "off"] = Field(
        "key", description="`/docs` and `/openapi.json`: for everybody, with an API key, or not at all."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe log line.")
    service_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = Field(
        "fraud-scoring", description="Dimension `service` of the metrics; tells deployments in one account apart."
    )
    jobs_engine: Literal["none", "local", "aws"] = Field(
        "none",
        description="Who runs `/jobs`: this machine (`local`), Step Functions (`aws`), or nobody: no such routes.",
    )
    jobs_dir: Path = Field(Path("jobs"), description="Folder of the local engine: inputs, records and results.")
    jobs_workers: int = Field(
        0, ge=0, le=256, description="Processes that score a job of the local engine; 0 takes one for each core."
    )
    jobs_max_upload_bytes: int = Field(1 << 30, ge=1024, description="Largest file that may be uploaded for a job.")
    jobs_patience_s: float = Field(
        600, ge=0, le=86_400, description="How long a job waits for a scorer that gives no scores before it fails."
    )
    jobs_table: str | None = Field(None, description="DynamoDB table of the job records, for `JOBS_ENGINE=aws`.")
    jobs_bucket: str | None = Field(
        None, description="S3 bucket of uploads and results, for `JOBS_ENGINE=aws`; nothing else may be in it."
    )
    jobs_state_machine_arn: (
        Annotated[str, Field(pattern=r"^arn:[a-z-]+:states:[a-z0-9-]+:[0-9]{12}:stateMachine:.+$")] | None
    ) = Field(None, description="Step Functions state machine that scores a file, for `JOBS_ENGINE=aws`.")
    jobs_concurrency: int = Field(
        100, ge=1, le=10_000, description="Most batches of a job that are scored at the same time in AWS."
    )
    drain_seconds: float = Field(
        0, ge=0, le=30, description="How long a stopping server reports itself not ready before it closes."
    )
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:%_-]+$")] = Field(
        "127.0.0.1", description="Address that the server listens on."
    )
    port: int = Field(8000, ge=0, le=65_535, description="Port that the server listens on; 0 takes a free one.")

    @model_validator(mode="before")
    @classmethod
    def _ignore_foreign_settings(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value
            for name, value in values.items()
            if name.lower() == _OWN_DESPITE_PREFIX or not name.lower().startswith(_FOREIGN_PREFIXES)
        }

    @field_validator("model_bundle")
    @classmethod
    def _uri_is_whole(cls, value: str | Path) -> str | Path:
        if isinstance(value, Path) and value.parts[:1] == ("s3:",):
            raise ValueError("a bundle in S3 is at s3://BUCKET/PREFIX")
        return value

    @field_validator("api_key")
    @classmethod
    def _keys_are_usable(cls, value: SecretStr | None) -> SecretStr | None:
        keys = () if value is None else parse_keys(value.get_secret_value())
        if value is not None and not keys:
            raise ValueError("holds no key")
        for key in keys:
            if not (key.isascii() and key.isprintable()) or " " in key:
                raise ValueError("a key has characters other than printable ASCII without blanks")
            if split_scopes(key)[0].lower() in _PLACEHOLDERS:
                raise ValueError("a key is still the placeholder of an example")
        return value

    @model_validator(mode="after")
    def _somebody_may_call(self) -> Settings:
        sources = ("api_key", "api_keys_file", "api_keys_secret_arn")
        given = [name.upper() for name in sources if getattr(self, name) is not None]
        if not given and not self.auth_disabled:
            raise ValueError(
                "API_KEY is not set: set one key or several, or API_KEYS_FILE, or API_KEYS_SECRET_ARN, "
                "or AUTH_DISABLED=true to serve without"
            )
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both set: set one of them")
        return self

    @model_validator(mode="after")
    def _endpoint_is_named(self) -> Settings:
        if self.sagemaker_endpoint is not None:
            return self
        if self.scorer == "sagemaker":
            raise ValueError("SAGEMAKER_ENDPOINT is not set, and SCORER=sagemaker needs it")
        for name in ("scorer_fallback", "sagemaker_target_variant", "sagemaker_inference_component"):
            if getattr(self, name) not in (None, "none"):
                raise ValueError(f"{name.upper()} is set and SAGEMAKER_ENDPOINT is not: set both or none")
        return self

    def api_keys(self) -> tuple[str, ...]:
        """Return the entries of the active keys; empty when authentication is disabled without any."""
        return () if self.api_key is None else parse_keys(self.api_key.get_secret_value())


def opt_out_of_telemetry() -> None:
    """Tell ONNX Runtime, before it is loaded, that it has nothing to report to anybody."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def load_settings(env_file: Path | None = Path(".env"), **fixed: Any) -> Settings:  # noqa: ANN401 - any setting
    """Read the environment and, below it in precedence, `env_file` where it exists; `fixed` wins over both.

    Raises
    ------
    SettingsError
        One line that names each wrong setting and what is allowed, without its value.
    """
    try:
        return Settings(_env_file=env_file, **fixed)
    except ValidationError as error:
        reasons = [_reason(detail) for detail in error.errors(include_url=False, include_input=False)]
        raise SettingsError("; ".join(reasons)) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{env_file} is not a text file in UTF-8") from None


def _reason(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return str(message)
    name = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name.lower(), Settings.model_fields, n=1)
        hint = f"; did you mean {close[0].upper()}?" if close else ""
        return f"{name.upper()}: unknown setting in the .env file{hint}"
    return f"{name.upper()}: {message[0].lower()}{message[1:]}"
