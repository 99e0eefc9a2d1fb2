"""How a bundle is opened: which options can be meant, which variant runs here, and its two engines."""

from __future__ import annotations

from dataclasses import replace

from codriver.bundle import Bundle
from codriver.cpu import cpu_features
from codriver.engines import ENGINES, Engine, open_engine
from codriver.errors import ConfigError
from codriver.manifest import VariantSpec

COLORS = ("bgr", "rgb")
Engines = tuple[Engine, Engine]  # encoder, fuser


def check_options(engine: str, threads: int | None, color: str, min_version: int | None) -> None:
    if min_version is not None and (isinstance(min_version, bool) or not isinstance(min_version, int)):
        raise ConfigError(f"min_version {min_version!r}: expected a whole number, or None")
    if color not in COLORS:
        raise ConfigError(f"color {color!r}: expected one of {', '.join(COLORS)}")
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads {threads!r}: expected a whole number from 1, or None")
    if engine not in ("auto", *ENGINES):
        raise ConfigError(f"engine {engine!r}: expected auto or one of {', '.join(ENGINES)}")


def choose(bundle: Bundle, engine: str, variant: str | None) -> VariantSpec:
    """The variant, with the engine that is to run it."""
    if engine == "fake":
        return replace(bundle.variant(variant) if variant else bundle.manifest.variants[0], engine="fake")
    if variant is None:
        return bundle.choose_variant(cpu_features(), engine)
    chosen = bundle.variant(variant)
    if engine not in ("auto", chosen.engine):
        raise ConfigError(f"engine {engine!r}: variant {variant} is for {chosen.engine}; use that, auto or fake")
    return chosen


def open_engines(bundle: Bundle, variant: VariantSpec, threads: int | None) -> Engines:
    manifest = bundle.manifest
    encoder = open_engine(variant.engine, bundle.graph(variant.encoder), manifest.encoder_signature, threads=threads)
    try:
        fuser = open_engine(variant.engine, bundle.graph(variant.fuser), manifest.fuser_signature, threads=threads)
    except BaseException:
        encoder.close()
        raise
    return encoder, fuser
