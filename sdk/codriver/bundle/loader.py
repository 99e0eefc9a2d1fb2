"""How a bundle is opened: which options can be meant, which variant runs here, and its two engines."""

from __future__ import annotations

from codriver.bundle.folder import Bundle
from codriver.bundle.manifest import VariantSpec
from codriver.bundle.variants import choose_variant, variant_named, why_not
from codriver.device.cpu import cpu_features
from codriver.engines import open_engine
from codriver.engines.base import ENGINES, Engine
from codriver.errors import ConfigError

COLORS = ("bgr", "rgb")
FASTEST = "fastest"
Engines = tuple[Engine, Engine]  # encoder, fuser


def check_options(engine: str, threads: int | None, color: str, min_version: int | None, variant: str | None) -> None:
    if engine == FASTEST and variant is not None:
        raise ConfigError(f"engine {FASTEST!r} chooses among all variants; leave out variant {variant!r}")
    if min_version is not None and (isinstance(min_version, bool) or not isinstance(min_version, int)):
        raise ConfigError(f"min_version {min_version!r}: expected a whole number, or None")
    if color not in COLORS:
        raise ConfigError(f"color {color!r}: expected one of {', '.join(COLORS)}")
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads {threads!r}: expected a whole number from 1, or None")
    if engine not in ("auto", FASTEST, *ENGINES):
        raise ConfigError(f"engine {engine!r}: expected auto, {FASTEST} or one of {', '.join(ENGINES)}")


def open_engines(bundle: Bundle, variant: VariantSpec, threads: int | None) -> Engines:
    manifest = bundle.manifest
    encoder = open_engine(variant.engine, bundle.graph(variant.encoder), manifest.encoder_signature, threads=threads)
    try:
        fuser = open_engine(variant.engine, bundle.graph(variant.fuser), manifest.fuser_signature, threads=threads)
    except BaseException:
        encoder.close()
        raise
    return encoder, fuser


def race(bundle: Bundle, threads: int | None) -> tuple[VariantSpec, Engines, dict[str, float]]:
    """The variant whose encoder is the fastest here, its engines, and everybody's median in ms."""
    from codriver.engines.race import fastest  # brings the statistics module, which takes 5 ms to import

    features = cpu_features()
    able = [variant for variant in bundle.manifest.variants if not why_not(variant, features)]
    if not able:
        choose_variant(bundle, features)  # raises, and says of each why not
    opened: dict[str, Engines] = {}
    winner = ""
    try:
        for variant in able:
            opened[variant.name] = open_engines(bundle, variant, threads)
        encoders = {name: engines[0] for name, engines in opened.items()}
        winner, medians_ms = fastest(encoders, bundle.manifest.encoder_signature)
    finally:
        for name, engines in opened.items():
            if name != winner:
                for engine in engines:
                    engine.close()
    return variant_named(bundle, winner), opened[winner], {name: round(ms, 3) for name, ms in medians_ms.items()}
