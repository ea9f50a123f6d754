"""Certificates and tokens, as a training script gives them."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Samplerd, random_columns, write_parquet

import swift_sampler
import swift_sampler.torch

TOKENS = {role: f"sst_secret_of_{role}" for role in ("read", "publish")}


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Samplerd, Path]]:
    """A daemon with TLS and tokens, and the file of its authority."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(tmp_path, "req", "-x509", *key, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(tmp_path, "req", *key, "-subj", "/CN=samplerd", "-keyout", "daemon.key", "-out", "daemon.csr")
    (tmp_path / "daemon.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    sign = ["x509", "-req", "-in", "daemon.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    openssl(tmp_path, *sign, "-extfile", "daemon.ext", "-out", "daemon.pem")
    stanzas = [
        f'[[token]]\nname = "{role}"\nsha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\nrole = "{role}"\n'
        for role, token in TOKENS.items()
    ]
    (tmp_path / "tokens.toml").write_text("".join(stanzas))
    folder = tmp_path / "samplerd"
    folder.mkdir()
    files = {"--tls-cert": "daemon.pem", "--tls-key": "daemon.key", "--tokens": "tokens.toml"}
    daemon = Samplerd(folder, [text for flag, name in files.items() for text in (flag, str(tmp_path / name))])
    yield daemon, tmp_path / "ca.pem"
    daemon.kill()


def test_a_script_trains_over_tls_with_a_token(secured: tuple[Samplerd, Path], tmp_path: Path) -> None:
    daemon, ca = secured
    address = f"https://{daemon.address}"
    publisher = swift_sampler.Client(address, tls_ca=ca, token=TOKENS["publish"])
    publisher.import_dataset("d", write_parquet(tmp_path / "features.parquet", random_columns(100, seed=1)))
    held = tmp_path / "token"
    held.write_text(TOKENS["read"] + "\n")
    reader = swift_sampler.Client(address, tls_ca=ca, token_file=held)
    batches = swift_sampler.torch.BatchSampler(reader, dataset="d", job="j", batch_size=10)
    assert len([*batches]) == 10
    assert [dataset.name for dataset in pickle.loads(pickle.dumps(reader)).datasets()] == ["d"]
    with pytest.raises(swift_sampler.PermissionDenied, match="publish"):
        reader.rollback("d")


def test_what_is_missing_is_said(secured: tuple[Samplerd, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    daemon, ca = secured
    address = f"https://{daemon.address}"
    with pytest.raises(swift_sampler.Unauthenticated, match="wants a token"):
        swift_sampler.Client(address, tls_ca=ca).datasets()
    with pytest.raises(swift_sampler.Unavailable, match="no authority that is trusted"):
        swift_sampler.Client(address, token=TOKENS["read"], first_contact_deadline=0.2).datasets()
    with pytest.raises(swift_sampler.Unavailable, match="https://"):
        swift_sampler.Client(daemon.address, token=TOKENS["read"], first_contact_deadline=0.2).datasets()
    with pytest.raises(swift_sampler.InvalidArgument, match="others can read it") as refused:
        swift_sampler.Client("192.0.2.1:7431", token=TOKENS["read"]).datasets()
    assert TOKENS["read"] not in str(refused.value)
    assert TOKENS["read"] not in repr(swift_sampler.Client(address, token=TOKENS["read"]))
    monkeypatch.setenv("SWIFTSAMPLER_TLS_CA", str(ca))
    monkeypatch.setenv("SWIFTSAMPLER_TOKEN", TOKENS["read"])
    assert swift_sampler.Client(address).datasets() == []
