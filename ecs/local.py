"""`make run`: serve on this machine, with a key of its own and with commands to paste. Not part of any deployment."""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import sys
from pathlib import Path

from fastapi import FastAPI
from server import EXIT_CONFIGURATION, run

from core.errors import StartupError
from core.keys import split_scopes
from core.settings import Settings, load_settings

ENV_FILE = Path(".env")
EXAMPLE_FILE = Path(".env.example")
_BATCH_EXAMPLES = (("events/batch.json", "application/json"), ("events/batch.csv", "text/csv"))


def create_env_file(path: Path, example: str) -> bool:
    """Write `path` from the example with a new random key, unless it exists; tell whether it was written."""
    text = example.replace("\nAPI_KEY=\n", f"\nAPI_KEY={secrets.token_urlsafe(32)}\n")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a path would not keep the mode
        file.write(text)
    return True


def banner(settings: Settings, port: int, model_version: str) -> str:
    """Return what a newcomer wants to know once the server listens."""
    base = f"http://{'localhost' if settings.host in ('127.0.0.1', '0.0.0.0') else settings.host}:{port}"  # noqa: S104
    keys = [split_scopes(entry)[0] for entry in settings.api_keys()]
    header = f" -H {shlex.quote(f'x-api-key: {keys[0]}')}" if keys and not settings.auth_disabled else ""
    post = "curl -sw '\\n' {base}{path}{header} -H 'content-type: {media_type}' --data-binary @{file}"
    predict = post.format(
        base=base, path="/predict", header=header, media_type="application/json", file="events/predict_fraud.json"
    )
    batches = [
        post.format(base=base, path="/predict/batch", header=header, media_type=media_type, file=file)
        for file, media_type in _BATCH_EXAMPLES
    ]
    docs = {"public": f"{base}/docs", "key": f"{base}/openapi.json (with the key)", "off": "off (DOCS=off)"}
    lines = [
        "",
        f"  Fraud scoring is up: {base}   model {model_version}",
        f"  API key   {keys[0] if header else 'none needed (AUTH_DISABLED=true)'}",
        f"  Docs      {docs[settings.docs]}",
        "",
        "  Paste into another terminal, in this folder:",
        f"    {predict}",
        *(f"    {batch}" for batch in batches),
        f"    curl -sw '\\n' {base}/model{header}",
        f"    curl -sw '\\n' {base}/health",
        f"    curl -sw '\\n' {base}/health/ready",
        "",
        "  Ctrl-C stops the server. One JSON line for each request follows.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Serve; return the exit code."""
    try:
        if create_env_file(ENV_FILE, EXAMPLE_FILE.read_text(encoding="utf-8")):
            print(f"created {ENV_FILE} with a new random API key")
        settings = load_settings(ENV_FILE)

        def greet(app: FastAPI, listener: socket.socket) -> None:
            print(banner(settings, listener.getsockname()[1], app.state.releases.current.version), flush=True)

        exit_code = run(settings, greet)
    except StartupError as error:
        print(f"fraud-scoring: {error}", file=sys.stderr)
        return EXIT_CONFIGURATION
    print("\nstopped")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
