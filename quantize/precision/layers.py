"""An encoder's quantizers under names for people, their layers, and how to leave a layer in floating point.

NNCF names a quantizer after the operation it sits at, and counts: `pre_hooks.change/conv2d/2__1.0` is the second input
of the third `change` convolution. Groups of streams run in one order, so the count is the group: face.change.weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from codriver.errors import ConfigError
from codriver.tasks import GROUPS, JOINTS
from quantize.graphs.graphs import ENCODER_OUTPUTS
from quantize.ptq.quantizers import quantizers

IMAGES = tuple(group for group in GROUPS if group not in JOINTS)
PLACE = re.compile(r"(?P<side>pre|post)_hooks\.(?P<path>.*/)(?P<operation>\w+)/(?P<count>\d+)__(?P<port>\d+)\.\d+")
FUSER = "fuser:"  # in front of the names of the fuser's quantizers
OUTPUT = re.compile(r"pre_hooks\.output_(?P<index>\d+)__\d+\.\d+")


@dataclass(frozen=True)
class QuantizedConv:
    """A convolution with quantized weights."""

    name: str  # group and path, such as face.change
    weights: str  # NNCF's name of its quantizer
    input: str | None  # of the quantizer that its input comes from


def readable(hook: str) -> str:
    """NNCF's name -> group, place and what is quantized there; as it is if it has another form."""
    if hook.startswith(FUSER):
        return f"{FUSER}{hook.removeprefix(FUSER).partition('_hooks.')[2].partition('__')[0].strip('./')}"
    if found := OUTPUT.fullmatch(hook):
        return ENCODER_OUTPUTS[int(found["index"])].replace("_", ".")
    if not (found := PLACE.fullmatch(hook)):
        return hook
    path = found["path"].strip("./").replace("/", ".")
    own = () if path else (found["operation"],)  # written out in forward, such as the difference of two features
    groups = JOINTS if own == ("relu",) else tuple(GROUPS)  # images come first
    part = "output" if found["side"] == "post" else "weights" if found["port"] == "1" else "input"
    words = (groups[int(found["count"])], *([path] if path else own), part)
    return ".".join(words)


class _Calls(TorchFunctionMode):
    """Who reads which tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, tuple[Any, ...]]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ != "__get__":  # a look at a shape reads no values
            self.reads.append((func.__name__, args))
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Layers:
    """All layers, and who else reads what feeds them."""

    all: tuple[QuantizedConv, ...]
    readers: Mapping[str, frozenset[str]]  # quantizer of an activation -> layers, or "" for anything else

    def removed_with(self, kept: Iterable[str]) -> frozenset[str]:
        """Quantizers that go when these layers stay in floating point: weights, and inputs that nobody else reads.

        As NNCF's IgnoredScope does it. Raises ConfigError for a name that is no layer.
        """
        kept, there = set(kept), {layer.name: layer for layer in self.all}
        if unknown := sorted(kept - set(there)):
            raise ConfigError(f"layer {', '.join(unknown)} is not there; the layers are {', '.join(there)}")
        own = {there[name].weights for name in kept}
        return frozenset(own | {name for name, readers in self.readers.items() if readers and readers <= kept})


@torch.no_grad()
def layers_of(encoder: nn.Module, example: Sequence[Tensor]) -> Layers:
    """Run once and watch which convolution takes what from which quantizer."""
    gave: list[tuple[str, Tensor]] = []  # kept until the end, so that no tensor takes another one's id
    hooks = [
        some.register_forward_hook(lambda module, given, tensor, name=name: gave.append((name, tensor)))
        for name, some in quantizers(encoder).items()
    ]
    with _Calls() as calls:
        outputs = encoder(*example)
    for hook in hooks:
        hook.remove()
    made = {id(tensor): name for name, tensor in gave}
    layers: list[QuantizedConv] = []
    readers: dict[str, set[str]] = {name: set() for name in made.values()}
    for function, given in calls.reads:
        names, reader = [made.get(id(value)) for value in given], ""
        if function == "conv2d" and names[1] is not None:
            reader = readable(names[1]).removesuffix(".weights")
            layers.append(QuantizedConv(reader, names[1], names[0]))
        for name in filter(None, names):
            readers[name].add(reader)
    for value in outputs:
        readers.get(made.get(id(value), ""), set()).add("")
    weights = {layer.weights for layer in layers}
    return Layers(tuple(layers), {name: frozenset(some) for name, some in readers.items() if name not in weights})


@contextmanager
def only(encoder: nn.Module, enabled: Iterable[str]) -> Iterator[None]:
    """With these quantizers alone; all are back when the block ends."""
    enabled, every = set(enabled), quantizers(encoder)
    try:
        for name, some in every.items():
            some.enabled[0] = int(name in enabled)
        yield
    finally:
        for some in every.values():
            some.enabled[0] = 1


def keep_float(encoder: nn.Module, names: Sequence[str], example: Sequence[Tensor]) -> frozenset[str]:
    """Take the quantizers of these layers out for good; returns NNCF's names of what went."""
    from nncf.torch.function_hook.wrapper import get_hook_storage

    gone = layers_of(encoder, example).removed_with(names)
    storage = get_hook_storage(encoder)
    for name in gone:
        storage.delete_hook(name)
    return frozenset(gone)
