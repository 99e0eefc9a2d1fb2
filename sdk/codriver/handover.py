"""Whether one loaded bundle can go on where another one stopped, and with what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from codriver.bundle.manifest import weights_of
from codriver.errors import BundleError, ConfigError, SignatureError

if TYPE_CHECKING:
    from codriver.bundle.loader import LoadedBundle


def check_fits(now: LoadedBundle, fresh: LoadedBundle) -> None:
    """Raise unless whoever hands in frames and reads percepts will not notice another model, and trusts it as much.

    The cameras, the order of their colors, and the tasks with their labels must be the same; streams, context, target
    and variants may be others. The key and the least version that the one at work was opened with hold for the next.
    """
    for what, of in (("cameras", _cameras), ("answers", _questions)):
        here, there = of(now), of(fresh)
        if here != there:
            raise ConfigError(
                f"{fresh.manifest.id}: its {what} are {there}, this stream's are {here}; "
                "open it with Perceiver.open, as another stream"
            )
    key, least = now.folder.signed_by, now.folder.min_version
    if key is not None and fresh.folder.signed_by != key:
        found = fresh.folder.signed_by or "no key that was asked for"
        what = f"{fresh.manifest.id}: opened with {found}, this stream trusts {key}; open it with this trusted_key"
        raise SignatureError(what, code="signature-other-key")
    if least is not None and fresh.manifest.version < least:
        what = f"{fresh.manifest.id}: version {fresh.manifest.version}, this stream takes {least} or newer"
        raise BundleError(f"{what}; install a newer bundle", code="version-too-old")


def heir(now: LoadedBundle, fresh: LoadedBundle) -> LoadedBundle:
    """The fresh one, under the least version that the other was opened with as well as its own."""
    versions = [bundle.folder.min_version for bundle in (now, fresh) if bundle.folder.min_version is not None]
    return replace(fresh, folder=replace(fresh.folder, min_version=max(versions, default=None)))


def _cameras(bundle: LoadedBundle) -> str:
    return f"{', '.join(bundle.manifest.views)} in {bundle.color}"


def _questions(bundle: LoadedBundle) -> str:
    return "; ".join(f"{task.name} ({', '.join(task.labels)})" for task in bundle.manifest.tasks)


def same_encoder(now: LoadedBundle, fresh: LoadedBundle) -> bool:
    """Whether what one remembers means the same to the other: the same bytes, engine and inputs."""
    return _encoder(now) == _encoder(fresh) and bool(_encoder_hashes(now))


def _encoder(bundle: LoadedBundle) -> tuple[object, ...]:
    manifest = bundle.manifest
    return bundle.variant.engine, _encoder_hashes(bundle), manifest.streams, manifest.context, manifest.color


def _encoder_hashes(bundle: LoadedBundle) -> list[str]:
    """Of the encoder's graph and weights; none of a bundle that was never written."""
    files, variant = bundle.manifest.files, bundle.variant
    graphs = [graph for graph in (variant.encoder, *variant.encoders) if graph]
    return [files[path].sha256 for graph in graphs for path in (graph, weights_of(graph)) if path and path in files]
