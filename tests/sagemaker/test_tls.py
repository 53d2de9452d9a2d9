"""The same promises over TLS, as the real endpoint is called."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.bundle import Bundle
from core.errors import ScorerResponseError, ScorerTimeoutError, ScorerUnavailableError
from tests.sagemaker.conftest import MakeScorer, point_boto3_at
from tests.sagemaker_runtime import faults
from tests.sagemaker_runtime.container import Container
from tests.sagemaker_runtime.server import ENDPOINT, REGION, Runtime, serving


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and its own certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "runtime of the tests")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return path


@pytest.fixture
def runtime(container: Container, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """The healthy endpoint behind TLS, in place of the plain one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(Runtime({(REGION, ENDPOINT): container}), tls=context) as served:
        point_boto3_at(served, monkeypatch)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        yield served


def test_scores_come_through_on_one_connection(creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime) -> None:
    scorer = make_scorer()
    scores = [asyncio.run(scorer.score(row[np.newaxis]))[0] for row in creditcard.golden_features()]

    assert np.abs(np.array(scores) - np.array(creditcard.golden.raw_scores)).max() <= 1e-6
    assert runtime.connections == 1


@pytest.mark.parametrize("fault", [faults.drips(0.1), faults.stalls_after_headers, faults.keeps_silent])
def test_deadline_holds(creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, fault: faults.Fault) -> None:
    runtime.script = faults.always(fault)
    scorer = make_scorer(deadline_s=0.5)
    started = time.monotonic()

    with pytest.raises(ScorerTimeoutError):
        asyncio.run(scorer.score(creditcard.golden_features()[:1]))

    assert time.monotonic() - started < 1.5


def test_reply_that_is_cut_off_is_refused(creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime) -> None:
    runtime.script = faults.always(faults.truncates)
    with pytest.raises(ScorerResponseError):
        asyncio.run(make_scorer().score(creditcard.golden_features()[:1]))


def test_certificate_that_nobody_vouches_for_is_refused(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(ScorerUnavailableError, match="safely"):
        asyncio.run(make_scorer().score(creditcard.golden_features()[:1]))
    assert runtime.hits == 0
