"""With `trust`, only bundles of the trusted key open; keys are those that OpenSSL knows."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codriver.bundle.folder import Bundle
from codriver.bundle.signature import Trust, read_signature
from codriver.cli.main import main
from codriver.errors import BackendMissing, BundleError, ConfigError, SignatureError
from codriver.perceiver import Perceiver
from targets.keygen import main as keygen
from targets.sign import main as sign
from tests import ROOT
from tests.clips import make_clip
from tests.tiny import make_tiny_bundle
from workshop.signing import new_key, sign_bundle

pytest.importorskip("cryptography")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "team.key"
    new_key(path)
    return path


@pytest.fixture(scope="module")
def public(key: Path) -> Path:
    return key.with_name("team.key.pub")


@pytest.fixture(scope="module")
def signed_path(key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny signed bundle of version 3. Read only."""
    path = make_tiny_bundle(tmp_path_factory.mktemp("signed") / "b", golden=False, version=3)
    sign_bundle(path, key)
    return path


def forms(public: Path) -> list[Trust]:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    raw = load_pem_public_key(public.read_bytes()).public_bytes_raw()  # type: ignore[union-attr]
    return [public, str(public), public.read_bytes(), raw]


def test_a_bundle_of_the_trusted_key_opens_however_the_key_is_given(signed_path: Path, public: Path) -> None:
    signed_by = Bundle.open(signed_path, trusted_key=public).signed_by
    assert signed_by is not None
    for trust in [*forms(public), signed_by]:
        assert Bundle.open(signed_path, trusted_key=trust).signed_by == signed_by
    with Perceiver.open(signed_path, engine="fake", trusted_key=signed_by) as perceiver:
        assert perceiver.bundle.folder.signed_by == signed_by


def test_without_trust_nobody_is_asked_for(signed_path: Path, bundle_path: Path) -> None:
    assert Bundle.open(signed_path).signed_by is None
    assert Bundle.open(bundle_path).signed_by is None


def test_a_bundle_without_signature_is_refused(bundle_path: Path, public: Path) -> None:
    with pytest.raises(SignatureError, match=r"not signed, there is no signature\.json") as refusal:
        Perceiver.open(bundle_path, trusted_key=public)
    assert refusal.value.code == "signature-missing"


def test_a_signature_of_another_key_is_refused_with_both_fingerprints(signed_path: Path, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other")
    for trust, code in ((tmp_path / "other.pub", "signature-other-key"), (other, "key-not-pinned")):
        with pytest.raises(SignatureError, match=rf"signed by the key sha256:\w+, expected {other}") as refusal:
            Bundle.open(signed_path, trusted_key=trust)
        assert refusal.value.code == code


def test_openssl_reads_our_keys_and_checks_our_signature(signed_path: Path, public: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "sig").write_bytes(read_signature(signed_path).signature)
    check = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin", "-sigfile", "sig"]
    manifest = str(signed_path / "manifest.json")
    done = subprocess.run([*check, "-in", manifest], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "Successfully" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key"),
        (b"x" * 70_000, "over 65536 bytes"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_key_is_refused_with_its_path(
    signed_path: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "k.pub").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"k\.pub: {message}"):
        Bundle.open(signed_path, trusted_key=tmp_path / "k.pub")


def test_a_private_key_as_trust_is_refused_with_a_hint(signed_path: Path, key: Path) -> None:
    with pytest.raises(ConfigError, match=r"that is a private key, give the \.pub beside it"):
        Bundle.open(signed_path, trusted_key=key)


@pytest.mark.parametrize("trust", ["sha256:abc", 5, b"short", "", "a\0b"])
def test_what_is_no_trust_is_refused(signed_path: Path, trust: Any) -> None:
    with pytest.raises(ConfigError, match=r"key |trust"):
        Bundle.open(signed_path, trusted_key=trust)


def test_a_key_of_another_kind_is_refused(signed_path: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    other = ec.generate_private_key(ec.SECP256R1())
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "k").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ConfigError, match="of another kind, expected Ed25519"):
        Bundle.open(signed_path, trusted_key=public)
    with pytest.raises(ConfigError, match="of another kind, expected Ed25519"):
        sign_bundle(signed_path, tmp_path / "k")


def test_an_older_version_is_refused_and_the_same_or_a_newer_one_is_not(signed_path: Path, public: Path) -> None:
    for min_version in (0, 3):
        assert Bundle.open(signed_path, trusted_key=public, min_version=min_version).manifest.version == 3
    with pytest.raises(BundleError, match="version 3, expected 4 or newer") as refusal:
        Perceiver.open(signed_path, trusted_key=public, min_version=4)
    assert refusal.value.code == "version-too-old"


def test_a_missing_package_is_named_with_the_pip_command(
    signed_path: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(BackendMissing, match=r"pip install 'codriver\[trust\]'"):
        Bundle.open(signed_path, trusted_key=public)


def test_keys_are_new_private_and_never_overwritten(tmp_path: Path) -> None:
    new_key(tmp_path / "k")
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    before = (tmp_path / "k").read_bytes()
    with pytest.raises(ConfigError, match="File exists"):
        new_key(tmp_path / "k")
    assert (tmp_path / "k").read_bytes() == before
    (tmp_path / "k").unlink()
    with pytest.raises(ConfigError, match="File exists"):  # the .pub of before is still there
        new_key(tmp_path / "k")
    assert not (tmp_path / "k").exists()


def test_a_changed_bundle_is_not_signed(bundle_path: Path, key: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(bundle_path, tmp_path / "own"))
    (own / "card.md").write_text("changed")
    with pytest.raises(BundleError, match=r"card\.md"):
        sign_bundle(own, key)
    assert not (own / "signature.json").exists()


def test_keygen_sign_and_verify_work_as_commands(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, key = str(shutil.copytree(bundle_path, tmp_path / "own")), str(tmp_path / "k")
    assert keygen([key, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)["fingerprint"]
    assert main(["verify", own, "--key", f"{key}.pub"]) == 1
    assert "not signed" in capsys.readouterr().out
    assert sign([own, "--key", key]) == 0
    capsys.readouterr()
    for trust in (made, f"{key}.pub"):
        assert main(["verify", own, "--key", trust, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["ok"] and result["signed_by"] == made and result["code"] == ""
    assert main(["verify", own]) == 0
    assert "signature not checked" in capsys.readouterr().out
    assert main(["verify", own, "--key", made, "--min-version", "9", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "version-too-old"
    assert sign([own, "--key", f"{key}.pub"]) == 2
    assert "not a private key" in capsys.readouterr().err


def test_the_pages_commands_and_lines_work_in_their_order(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
    shell, first, second = re.findall(r"^```\w*\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    shutil.copytree(bundle_path, tmp_path / "demo.bundle")
    make_clip(tmp_path, frames=3)
    monkeypatch.chdir(tmp_path)
    runs = {"codriver": main, "targets.keygen": keygen, "targets.sign": sign}
    for line in shell.splitlines():
        name, *arguments = line.split("#")[0].removeprefix("python -m ").split()
        assert runs[name](arguments) == 0, line
    capsys.readouterr()
    for code in (first, second, second):
        exec(code, {})
    assert (tmp_path / "newest-version").read_text() == "0"
