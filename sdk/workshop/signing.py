"""Make keys and sign bundles. This is the workshop's side: no device needs a private key."""

from __future__ import annotations

import os
from pathlib import Path

from codriver.bundle.folder import Bundle
from codriver.bundle.manifest_json import read_manifest_bytes
from codriver.bundle.signature import SIGNATURE_NAME, Signed, cryptography_modules, fingerprint, read_key
from codriver.errors import BundleError, ConfigError
from codriver.files.atomic import whole_file


def new_key(path: Path) -> str:
    """Write a private key to `path`, readable by its owner alone, and its public key to `path`.pub.

    Returns the fingerprint. Nothing is overwritten.
    """
    ed25519, serialization = cryptography_modules()
    key = ed25519.Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes_raw()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(path, private, 0o600)
    try:
        _write_new(path.with_name(path.name + ".pub"), public, 0o644)
    except ConfigError:
        path.unlink()
        raise
    return fingerprint(raw)


def sign_bundle(folder: Path, key_path: Path) -> str:
    """Check the bundle, sign its manifest and write signature.json, in the place of an older one.

    Returns the fingerprint of the key.
    """
    ed25519, serialization = cryptography_modules()
    try:
        key = serialization.load_pem_private_key(read_key(key_path), password=None)
    except ConfigError:
        raise
    except Exception as error:  # its exceptions share no base class
        raise ConfigError(f"key {key_path}: not a private key in PEM without a password") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigError(f"key {key_path}: of another kind, expected Ed25519; make one with targets.keygen")
    manifest = Bundle.open(folder).manifest
    data = read_manifest_bytes(folder)
    if data != manifest.to_json().encode():
        raise BundleError(f"{folder}: changed while it was signed; sign it again", code="changed-since-check")
    raw = key.public_key().public_bytes_raw()
    with whole_file(folder / SIGNATURE_NAME) as temporary:
        temporary.write_bytes(signature_json(Signed(raw, key.sign(data))))
    return fingerprint(raw)


def signature_json(signed: Signed) -> bytes:
    """signature.json in its one form, which the device matches as a whole."""
    head = f'{{"schema": 1, "algorithm": "ed25519", "public_key": "{signed.public_key.hex()}", '
    return f'{head}"signature": "{signed.signature.hex()}"}}\n'.encode()


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise ConfigError(f"{path} cannot be made ({error.strerror}); give a new name in a folder of yours") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
