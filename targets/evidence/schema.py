"""evidence.json: read with care, written whole or not at all, merged only where the clips are the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codriver.errors import ConfigError

SCHEMA = 2
Evidence = Mapping[str, Any]


def parts_folder(out: Path) -> Path:
    """Where the results of single trials wait for the others."""
    return out.with_name(f"{out.name}.parts")


def read_evidence(path: Path) -> dict[str, Any]:
    """One file of targets.validate; a ConfigError says what it is instead."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist; make it with targets.validate --out") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not JSON ({error}); make it anew with targets.validate --out") from error
    kind, schema = (found.get(key) if isinstance(found, dict) else None for key in ("kind", "schema"))
    if kind != "evidence" or schema != SCHEMA:
        what = f"kind {kind!r}, schema {schema!r}; expected 'evidence', {SCHEMA}"
        raise ConfigError(f"{path}: {what}; make it anew with targets.validate --out")
    return dict(found)


def check_same_clips(found: Mapping[str, Evidence]) -> None:
    """found: by file. A ConfigError if they speak of different clips: no figure could be set beside another."""
    (first, reference), *others = found.items()
    for name, evidence in others:
        here, there = reference["clips"], evidence["clips"]
        if here["sha256"] == there["sha256"]:
            continue
        what = "the same clips with other labels" if here["ids_sha256"] == there["ids_sha256"] else "different clips"
        raise ConfigError(
            f"{first} and {name} are about {what}: {here['n']} clips, sha256 {here['sha256'][:12]}, "
            f"and {there['n']} clips, sha256 {there['sha256'][:12]}; validate on the same test split, "
            "or make a page for each"
        )


def subjects_of(evidence: Sequence[Evidence]) -> list[Mapping[str, Any]]:
    return [subject for some in evidence for subject in some["subjects"]]
