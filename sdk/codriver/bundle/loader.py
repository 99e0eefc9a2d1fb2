"""A bundle that is ready to run: a checked folder, one of its variants, and that variant's graphs in their engines."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from codriver.bundle.folder import Bundle
from codriver.bundle.manifest import PART, REST, ROLES, Manifest, VariantSpec
from codriver.bundle.signature import Trust
from codriver.bundle.variants import choose, choose_variant, variant_named, why_not
from codriver.config import Policy, check_policy
from codriver.dense.spec import NO_GRAPH
from codriver.device.cores import Cores
from codriver.device.cpu import cpu_features, default_threads
from codriver.engines import open_engine
from codriver.engines.base import ENGINES, Engine, Signature
from codriver.engines.by_stream import ByStream
from codriver.errors import ConfigError, EngineError

COLORS = ("bgr", "rgb")
FASTEST = "fastest"
Engines = dict[str, Engine]  # by role
MAX_THREADS = 256  # runtimes start as many as they are told


@dataclass(frozen=True, kw_only=True)
class LoadedBundle:
    """What a Perceiver runs. Whoever holds it closes it."""

    folder: Bundle
    variant: VariantSpec  # with the engine that runs it
    encoder: Engine = NO_GRAPH  # it and the fuser of a bundle that has no streams
    fuser: Engine = NO_GRAPH
    finder: Engine | None = None  # None: somebody else must say where the driver is
    dense: Engine | None = None  # None: no maps and no boxes
    policy: Policy
    color: str = "bgr"  # of the frames that will come
    threads: int | None = None  # of a step, as it was asked for
    cores: Cores = field(default_factory=Cores)  # that it shares out
    benchmark_ms: Mapping[str, float] = field(default_factory=dict)  # variant -> median of its encoder, for "fastest"

    @property
    def manifest(self) -> Manifest:
        return self.folder.manifest

    def signature_of(self, role: str) -> Signature:
        """role: of ROLES, of a graph that is there."""
        spelled = REST if role == "fuser" and self.variant.pooled else role
        return self.manifest.signature_of(spelled, self.variant.kept)

    def warm_up(self, runs: int) -> None:
        """Run each graph on zeros."""
        for _ in range(runs):
            for role in ROLES:
                if (engine := getattr(self, role)) is not None:
                    engine.infer(self.signature_of(role).zeros())

    def close(self) -> list[EngineError]:
        """Let go of each graph; returns why one did not."""
        errors = []
        for engine in filter(None, (self.encoder, self.fuser, self.finder, self.dense)):
            try:
                engine.close()
            except EngineError as error:
                errors.append(error)
        self.cores.close()
        return errors


def load_bundle(
    path: str | os.PathLike[str],
    *,
    engine: str,
    threads: int | None,
    color: str,
    variant: str | None,
    trusted_key: Trust | None,
    min_version: int | None,
    policy: Policy | None,
) -> LoadedBundle:
    """Check the folder, choose a variant and load its graphs. The options are those of `Perceiver.open`."""
    _check_options(engine, threads, color, min_version, variant)
    bundle = Bundle.open(path, trusted_key=trusted_key, min_version=min_version)
    if policy is not None:
        check_policy(policy, bundle.manifest.views)
    benchmark_ms: dict[str, float] = {}
    cores = Cores(threads or default_threads())
    if engine == FASTEST:
        chosen, engines, benchmark_ms = _fastest_variant(bundle, threads, cores)
    else:
        chosen = choose(bundle, engine, variant)
        engines = _open_engines(bundle, chosen, threads, cores)
    return LoadedBundle(
        folder=bundle,
        variant=chosen,
        **engines,
        policy=policy or bundle.manifest.policy,
        color=color,
        threads=threads,
        cores=cores,
        benchmark_ms=benchmark_ms,
    )


def _check_options(engine: str, threads: int | None, color: str, min_version: int | None, variant: str | None) -> None:
    if engine == FASTEST and variant is not None:
        raise ConfigError(f"engine {FASTEST!r} chooses among all variants; leave out variant {variant!r}")
    if min_version is not None and (isinstance(min_version, bool) or not isinstance(min_version, int)):
        raise ConfigError(f"min_version {min_version!r}: expected a whole number, or None")
    if color not in COLORS:
        raise ConfigError(f"color {color!r}: expected one of {', '.join(COLORS)}")
    if threads is not None and (type(threads) is not int or not 1 <= threads <= MAX_THREADS):
        raise ConfigError(f"threads {threads!r}: expected a whole number from 1 to {MAX_THREADS}, or None")
    if engine not in ("auto", FASTEST, *ENGINES):
        raise ConfigError(f"engine {engine!r}: expected auto, {FASTEST} or one of {', '.join(ENGINES)}")


def _open_engines(bundle: Bundle, variant: VariantSpec, threads: int | None, cores: Cores) -> Engines:
    """Every graph of the variant; if one does not load, those before it are closed."""
    opened: Engines = {}
    try:
        for role, path in variant.graphs.items():
            signature = bundle.manifest.signature_of(role, variant.kept)
            own = 1 if role.startswith(("fuser", PART)) else threads  # a fuser's layers are too small for two
            opened[role] = open_engine(variant.engine, bundle.graph(path), signature, threads=own)
    except BaseException:
        for engine in opened.values():
            engine.close()
        raise
    return as_wholes(opened, bundle.manifest.encoder_signature_in(variant.kept), cores)


def as_wholes(opened: Engines, encoder: Signature, cores: Cores) -> Engines:
    """By role; the parts of an encoder become one, and a fuser is one whether it pools or not."""
    parts = {role.removeprefix(PART): engine for role, engine in opened.items() if role.startswith(PART)}
    whole: Engines = {"encoder": ByStream(parts, encoder, cores)} if parts else {}
    whole |= {"fuser": opened[REST]} if REST in opened else {}
    return whole | {role: engine for role, engine in opened.items() if role in ROLES}


def _fastest_variant(
    bundle: Bundle, threads: int | None, cores: Cores
) -> tuple[VariantSpec, Engines, dict[str, float]]:
    """The variant whose encoder is the fastest here, its engines, and everybody's median in ms."""
    features = cpu_features()
    able = [variant for variant in bundle.manifest.variants if not why_not(variant, features)]
    if not able:
        choose_variant(bundle, features)  # raises, and says of each why not
    opened: dict[str, Engines] = {}
    winner = ""
    try:
        for variant in able:
            opened[variant.name] = _open_engines(bundle, variant, threads, cores)
        role = "encoder" if bundle.manifest.streams else "dense"
        racing = {name: engines[role] for name, engines in opened.items()}
        signatures = {variant.name: bundle.manifest.signature_of(role, variant.kept) for variant in able}
        winner, medians_ms = fastest(racing, signatures)
    finally:
        for name, engines in opened.items():
            if name != winner:
                for engine in engines.values():
                    engine.close()
    return variant_named(bundle, winner), opened[winner], {name: round(ms, 3) for name, ms in medians_ms.items()}


def fastest(
    engines: Mapping[str, Engine], signatures: Mapping[str, Signature], *, runs: int = 50, warm_up_runs: int = 5
) -> tuple[str, dict[str, float]]:
    """The name of the fastest, and each one's median in ms: INT8 does not always beat FP16 (reference/int8.md 2.2).

    The engines take turns, so that clocks and heat are the same for all. Their accuracy is another question: hand in
    only engines that are within their budget.
    """
    from statistics import median  # takes 5 ms to import

    inputs = {name: signatures[name].zeros() for name in engines}
    times_s: dict[str, list[float]] = {name: [] for name in engines}
    for run in range(warm_up_runs + runs):
        for name, engine in engines.items():
            start_s = time.perf_counter()
            engine.infer(inputs[name])
            if run >= warm_up_runs:
                times_s[name].append(time.perf_counter() - start_s)
    medians_ms = {name: median(times) * 1e3 for name, times in times_s.items()}
    return min(medians_ms, key=lambda name: medians_ms[name]), medians_ms
