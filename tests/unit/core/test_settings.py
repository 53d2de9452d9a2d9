"""`load_settings`: where settings come from, and how each wrong one is named without its value."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import SettingsError
from core.settings import Settings, load_settings

SHOWN_NOWHERE = "s3cr3t-4111"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:keys"


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings(None)


def test_load_settings_key_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, API_KEY="k-1")

    assert settings.api_keys() == ("k-1",)
    assert settings.port == 8000
    assert settings.model_bundle == Path("models/creditcard")
    assert settings.docs == "key"


def test_load_settings_several_keys_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, API_KEY=" k-1, k-2 ,,k-3").api_keys() == ("k-1", "k-2", "k-3")


def test_load_settings_no_key_is_needed_where_authentication_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, AUTH_DISABLED="true").api_keys() == ()


def test_load_settings_no_key_refuses_and_names_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"^API_KEY is not set: .*AUTH_DISABLED=true") as caught:
        load(monkeypatch)
    assert "\n" not in str(caught.value)


def test_load_settings_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="API_KEY is not set"):
        load(monkeypatch, API_KEY="")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("API_KEY", ",,", "holds no key"),
        ("API_KEY", f"{SHOWN_NOWHERE} x", "printable ASCII without blanks"),
        ("API_KEY", f"{SHOWN_NOWHERE}\u00e9", "printable ASCII without blanks"),
        ("API_KEY", "good,ChangeMe", "placeholder"),
        ("API_KEYS_SECRET_ARN", SHOWN_NOWHERE, "string should match pattern"),
        ("API_KEYS_SECRET_ARN", "arn:aws:secretsmanager:", "string should match pattern"),
        ("AUTH_DISABLED", SHOWN_NOWHERE, "input should be a valid boolean"),
        ("SCORER", SHOWN_NOWHERE, "input should be 'embedded' or 'sagemaker'"),
        ("SAGEMAKER_ENDPOINT", f"{SHOWN_NOWHERE}_x", "string should match pattern"),
        ("AWS_REGION", SHOWN_NOWHERE, "string should match pattern"),
        ("MODEL_BUNDLE_SHA256", SHOWN_NOWHERE, "string should match pattern"),
        ("MAX_BATCH_ITEMS", "0", "greater than or equal to 1"),
        ("MAX_BATCH_ITEMS", "100001", "less than or equal to 100000"),
        ("MAX_BATCH_ITEMS", SHOWN_NOWHERE, "valid integer"),
        ("MAX_BATCH_ITEMS", "1e3", "valid integer"),
        ("MAX_BODY_BYTES", "1023", "greater than or equal to 1024"),
        ("MAX_BODY_BYTES", "1048577", "less than or equal to 1048576"),
        ("MAX_BATCH_BODY_BYTES", "67108865", "less than or equal to 67108864"),
        ("DOCS", SHOWN_NOWHERE, "'public', 'key' or 'off'"),
        ("LOG_LEVEL", SHOWN_NOWHERE, "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("DRAIN_SECONDS", "31", "less than or equal to 30"),
        ("DRAIN_SECONDS", "-0.1", "greater than or equal to 0"),
        ("DRAIN_SECONDS", "nan", "less than or equal to 30"),
        ("HOST", f"{SHOWN_NOWHERE} x", "string should match pattern"),
        ("HOST", "h\u00f4te", "string should match pattern"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("PORT", SHOWN_NOWHERE, "valid integer"),
    ],
)
def test_load_settings_wrong_value_is_one_line_with_name_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **{"API_KEY": "k-1", name: value})

    text = str(caught.value)
    assert text.startswith(f"{name}: ")
    assert allowed in text
    assert "\n" not in text
    assert SHOWN_NOWHERE not in text


def test_load_settings_two_wrong_values_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"PORT: .*; .*DOCS: |DOCS: .*; .*PORT: "):
        load(monkeypatch, API_KEY="k-1", PORT="x", DOCS="x")


def test_load_settings_two_sources_of_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="both set: set one of them"):
        load(monkeypatch, API_KEY="k-1", API_KEYS_SECRET_ARN=ARN)


def test_load_settings_file_is_read_below_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("API_KEY=from-file\nPORT=1234\n")
    monkeypatch.setenv("PORT", "4321")

    settings = load_settings(env_file)

    assert (settings.api_keys(), settings.port) == (("from-file",), 4321)


def test_load_settings_file_that_does_not_exist_is_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("API_KEY", "k-1")

    assert load_settings(tmp_path / ".env").api_keys() == ("k-1",)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("API_KEYS=x", "API_KEYS: unknown setting in the .env file; did you mean API_KEY?"),
        ("MAX_BATCH_ITEM=5", "MAX_BATCH_ITEM: unknown setting in the .env file; did you mean MAX_BATCH_ITEMS?"),
        ("COLOUR=red", "COLOUR: unknown setting in the .env file"),
    ],
)
def test_load_settings_unknown_one_in_the_file_is_refused_with_a_hint(tmp_path: Path, line: str, expected: str) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"API_KEY=k-1\n{line}\n")

    with pytest.raises(SettingsError) as caught:
        load_settings(env_file)

    assert str(caught.value) == expected


def test_load_settings_those_of_other_tools_in_the_file_are_left_alone(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("API_KEY=k-1\nAWS_PROFILE=x\nAWS_REGION=eu-west-1\nPOWERTOOLS_DEV=1\nCOMPOSE_PROJECT_NAME=x\n")

    assert load_settings(env_file).aws_region == "eu-west-1"


def test_load_settings_unknown_one_in_the_environment_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, API_KEY="k-1", MAX_BATCH_ITEM="5").max_batch_items == 5000


def test_load_settings_file_that_is_no_text_is_one_clear_line(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_bytes(b"API_KEY=caf\xe9\n")

    with pytest.raises(SettingsError, match=r"\.env is not a text file in UTF-8$"):
        load_settings(env_file)


def test_settings_unknown_argument_and_assignment_are_refused() -> None:
    with pytest.raises(ValidationError):
        Settings(_env_file=None, api_key="k-1", colour="red")  # type: ignore[call-arg]
    settings = Settings(_env_file=None, api_key="k-1")
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_settings_value_is_not_in_their_text_nor_in_that_of_an_error() -> None:
    assert SHOWN_NOWHERE not in repr(Settings(_env_file=None, api_key=SHOWN_NOWHERE))
    with pytest.raises(ValidationError) as caught:
        Settings(_env_file=None, api_key="k-1", port=SHOWN_NOWHERE)  # type: ignore[arg-type]
    assert SHOWN_NOWHERE not in str(caught.value)
