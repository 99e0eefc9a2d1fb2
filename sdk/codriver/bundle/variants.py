"""Which of a bundle's variants this machine can run."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from codriver.bundle.folder import Bundle
from codriver.bundle.manifest import VariantSpec
from codriver.device.cpu import cpu_features
from codriver.device.jetson import is_jetson
from codriver.device.machine import how_to_install, is_installed, runtime_version
from codriver.engines.base import STAND_INS
from codriver.errors import BackendMissing, BundleError, ConfigError


def run_by(variant: VariantSpec, engine: str) -> VariantSpec | None:
    """The variant with the engine that is to run it; None if that cannot. A stand-in asks nothing of the processor."""
    if engine in ("auto", variant.engine):
        return variant
    if variant.engine in STAND_INS.get(engine, ()):
        return replace(variant, engine=engine, requires=(), versions=())
    return None


def why_not(variant: VariantSpec, features: Collection[str]) -> str:
    """What this machine lacks for a variant, to be put behind its name; empty if it runs here."""
    lacking = [feature for feature in variant.requires if feature not in features]
    parts = [f"requires {', '.join(lacking)}"] if lacking else []
    if not is_installed(variant.engine.partition("-")[0]):
        parts.append(f"needs {variant.engine}, not installed here ({how_to_install(variant.engine, is_jetson())})")
    elif variant.versions and not _is_among(runtime_version(variant.engine), variant.versions):
        wanted, here = " or ".join(variant.versions), runtime_version(variant.engine)
        parts.append(f"is for {variant.engine} {wanted}, here is {here}: install one of these, or build for this one")
    return " and ".join(parts)


def _is_among(version: str | None, wanted: Collection[str]) -> bool:
    """Whether "10.3.0.26" is one of "10.3", ...; a version that cannot be told is left to the engine."""
    numbers = re.match(r"\d+\.\d+", version or "")
    return numbers is None or numbers[0] in wanted


def choose(bundle: Bundle, engine: str, variant: str | None) -> VariantSpec:
    """The variant, with the engine that is to run it."""
    if engine == "fake":
        return replace(variant_named(bundle, variant) if variant else bundle.manifest.variants[0], engine="fake")
    if variant is None:
        return choose_variant(bundle, cpu_features(), engine)
    wanted = variant_named(bundle, variant)
    chosen = run_by(wanted, engine)
    if chosen is None:
        raise ConfigError(f"engine {engine!r}: variant {variant} is for {wanted.engine}; use that, auto or fake")
    return chosen


def choose_variant(bundle: Bundle, features: Collection[str], engine: str = "auto") -> VariantSpec:
    """The first variant that this machine can run right. features: see `cpu.cpu_features`.

    engine: one of RUNTIMES or STAND_INS, to look at what it can run alone. An error says of each variant why not:
    BackendMissing if installing a runtime would help, else BundleError.
    """
    wanted = [found for variant in bundle.manifest.variants if (found := run_by(variant, engine))]
    if not wanted:
        there = ", ".join(dict.fromkeys(variant.engine for variant in bundle.manifest.variants))
        raise ConfigError(f"engine {engine!r}: the bundle has variants for {there}; use one of these, auto or fake")
    for variant in wanted:
        if not why_not(variant, features):
            return variant
    target = f"the bundle is for {bundle.manifest.target}:"
    why = "; ".join(f"{variant.name} {why_not(variant, features)}" for variant in wanted)
    if any(set(variant.requires) <= set(features) for variant in wanted):
        raise BackendMissing(f"{bundle.path}: {why}; {target} install the runtime, or take one built for this machine")
    has = ", ".join(sorted(features)) or "no feature that is known"
    what = f"{bundle.path}: {why}; this machine has {has}; {target} take one built for this machine"
    raise BundleError(what, code="other-target")


def variant_named(bundle: Bundle, name: str) -> VariantSpec:
    """A variant by its name; a BundleError lists them otherwise."""
    for variant in bundle.manifest.variants:
        if variant.name == name:
            return variant
    names = ", ".join(variant.name for variant in bundle.manifest.variants)
    raise BundleError(f"{bundle.path}: no variant {name!r}; it has {names}", code="no-such-variant")
