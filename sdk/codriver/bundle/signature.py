"""Whose bundle is it? An Ed25519 signature over the bytes of manifest.json, which holds the hash of every other file.

signature.json is one line of a fixed form, so that nothing parses what nobody has vouched for yet:

    {"schema": 1, "algorithm": "ed25519", "public_key": "<64 hex>", "signature": "<128 hex>"}

Keys are PEM as OpenSSL reads and writes them. The package `cryptography` is imported on use only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from codriver.device.imports import load
from codriver.errors import ConfigError, SignatureError
from codriver.files.safe_read import read_at_most

SIGNATURE_NAME = "signature.json"  # signs manifest.json, so it cannot be listed there
MAX_SIGNATURE_BYTES = 4096
MAX_KEY_BYTES = 1 << 16
FORM = re.compile(
    rb'\{"schema": 1, "algorithm": "ed25519", "public_key": "([0-9a-f]{64})", "signature": "([0-9a-f]{128})"\}\n'
)
FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)

Trust = str | bytes | os.PathLike[str]  # fingerprint or path of a PEM file; PEM or raw bytes of a key; path


class Signed(NamedTuple):
    """What signature.json says, not believed yet."""

    public_key: bytes  # 32
    signature: bytes  # 64


def fingerprint(public_key: bytes) -> str:
    """public_key: 32 raw bytes. Short enough to write into a device's configuration."""
    return f"sha256:{hashlib.sha256(public_key).hexdigest()}"


def verify_manifest(folder: Path, manifest: bytes, trusted_key: Trust) -> str:
    """Raise a SignatureError unless the trusted key signed these bytes; return that key's fingerprint."""
    expected = trusted_fingerprint(trusted_key)
    signed = read_signature(folder)
    found = fingerprint(signed.public_key)
    if not hmac.compare_digest(found, expected):
        pinned = isinstance(trusted_key, str) and FINGERPRINT.fullmatch(trusted_key)
        what = f"{folder}: signed by the key {found}, expected {expected}; fetch the bundle from whom you trust"
        raise SignatureError(what, code="key-not-pinned" if pinned else "signature-other-key")
    if not _is_signed(signed, manifest):
        what = f"{folder}: the signature does not belong to this manifest.json; fetch the bundle anew"
        raise SignatureError(what, code="signature-wrong")
    return found


def trusted_fingerprint(trusted_key: Trust) -> str:
    """The fingerprint of the key that `trusted_key` means; a ConfigError says what is no key."""
    if isinstance(trusted_key, str) and trusted_key.startswith("sha256:"):
        if not FINGERPRINT.fullmatch(trusted_key):
            raise ConfigError(
                f"trusted_key {trusted_key!r}: expected sha256: and 64 of 0-9 a-f, as targets.keygen prints it"
            )
        return trusted_key
    if isinstance(trusted_key, bytes):
        return fingerprint(trusted_key if len(trusted_key) == 32 else _public_key(trusted_key, "trusted_key"))
    if not isinstance(trusted_key, str | os.PathLike):
        expected = "expected a fingerprint, the path of a public key, or its bytes"
        raise ConfigError(f"trusted_key: got {type(trusted_key).__name__}, {expected}")
    return fingerprint(_public_key(read_key(Path(trusted_key)), str(trusted_key)))


def read_signature(folder: Path) -> Signed:
    """signature.json of a bundle, in its one form."""
    path = folder / SIGNATURE_NAME
    if not os.path.lexists(path):
        what = f"{folder}: not signed, there is no {SIGNATURE_NAME}; sign it with `python -m targets.sign`"
        raise SignatureError(what, code="signature-missing")
    match = FORM.fullmatch(read_at_most(path, MAX_SIGNATURE_BYTES) or b"")
    if match is None:
        what = f"{path}: not a signature as this codriver writes it; fetch the bundle anew, or update codriver"
        raise SignatureError(what, code="signature-malformed")
    return Signed(*(bytes.fromhex(part.decode()) for part in match.groups()))


def read_key(path: Path) -> bytes:
    """The bytes of a key file, a link to one allowed: it is the caller's own."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"key {path}: cannot be read ({why}); give the path of a PEM file") from error
    if len(data) > MAX_KEY_BYTES:
        raise ConfigError(f"key {path}: over {MAX_KEY_BYTES} bytes, expected a PEM file")
    return data


def cryptography_modules() -> tuple[Any, Any]:
    """Its ed25519 and serialization modules."""
    missing = "signatures need the package cryptography: pip install 'codriver[trust]'"
    load("cryptography.hazmat.primitives", missing)
    parts = ("asymmetric.ed25519", "serialization")
    ed25519, serialization = (load(f"cryptography.hazmat.primitives.{part}", missing) for part in parts)
    return ed25519, serialization


def _public_key(pem: bytes, where: str) -> bytes:
    ed25519, serialization = cryptography_modules()
    try:
        key = serialization.load_pem_public_key(pem)
    except Exception as error:  # its exceptions share no base class
        hint = "; that is a private key, give the .pub beside it" if b"PRIVATE KEY" in pem else ""
        raise ConfigError(f"key {where}: not a public key in PEM{hint}") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ConfigError(f"key {where}: of another kind, expected Ed25519; make one with targets.keygen")
    return bytes(key.public_bytes_raw())


def _is_signed(signed: Signed, manifest: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    ed25519, _ = cryptography_modules()
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(signed.public_key).verify(signed.signature, manifest)
    except InvalidSignature:
        return False
    return True
