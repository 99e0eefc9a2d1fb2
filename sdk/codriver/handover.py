"""Whether one perceiver can go on where another one stopped, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codriver.bundle.manifest import Manifest, weights_of
from codriver.errors import ConfigError

if TYPE_CHECKING:
    from codriver.perceiver import Perceiver


def check_fits(now: Perceiver, fresh: Perceiver) -> None:
    """Raise a ConfigError unless whoever hands in frames and reads percepts will not notice another model.

    The cameras, the order of their colors, and the tasks with their labels must be the same; streams, context, target
    and variants may be others.
    """
    for what, of in (("cameras", _cameras), ("answers", _questions)):
        here, there = of(now), of(fresh)
        if here != there:
            raise ConfigError(
                f"{fresh.manifest.id}: its {what} are {there}, this stream's are {here}; "
                "open it with Perceiver.open, as another stream"
            )


def _cameras(perceiver: Perceiver) -> str:
    return f"{', '.join(perceiver.manifest.views)} in {perceiver.color}"


def _questions(perceiver: Perceiver) -> str:
    return "; ".join(f"{task.name} ({', '.join(task.labels)})" for task in perceiver.manifest.tasks)


def same_encoder(now: Perceiver, fresh: Perceiver) -> bool:
    """Whether what one remembers means the same to the other: the same bytes, engine and inputs."""
    return _encoder(now) == _encoder(fresh) and bool(_encoder_hashes(now))


def _encoder(perceiver: Perceiver) -> tuple[object, ...]:
    manifest = perceiver.manifest
    return perceiver.engine, _encoder_hashes(perceiver), manifest.streams, manifest.context, manifest.color


def _encoder_hashes(perceiver: Perceiver) -> list[str]:
    """Of the encoder's graph and weights; none of a bundle that was never written."""
    manifest: Manifest = perceiver.manifest
    path = next(variant.encoder for variant in manifest.variants if variant.name == perceiver.variant)
    return [manifest.files[name].sha256 for name in (path, weights_of(path)) if name and name in manifest.files]
