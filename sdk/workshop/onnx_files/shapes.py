"""Sizes that a file leaves open are asked for, never made up: a share or a time at 1x1 pixels says nothing."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx

from codriver.errors import ConfigError

Shape = tuple[int, ...]
Declared = Mapping[str, Sequence[int | None] | None]  # input -> sizes, None for an open one; None: not even a rank


@dataclass(frozen=True)
class Shapes:
    """Sizes that the user gave, and the command that they belong to, for the message where some are missing."""

    given: Mapping[str, Shape]
    command: str

    @classmethod
    def read(cls, texts: Sequence[str], command: str) -> Shapes:
        """From `name=1,3,640,640`, one for each input."""
        given: dict[str, Shape] = {}
        for text in texts:
            name, _, sizes = text.rpartition("=")
            try:
                shape = tuple(int(size) for size in sizes.split(",")) if sizes else ()
            except ValueError:
                shape = (0,)
            if not name or any(size < 1 for size in shape):
                raise ConfigError(f"--shape {text}: expected an input's name and its sizes, as image=1,3,224,224")
            given[name] = shape
        return cls(given, command)

    def settled(self, declared: Declared) -> dict[str, Shape]:
        """Every input's sizes. A ConfigError names what is open or contradicts the file, with the command to give."""
        self.require_known(declared)
        return {name: self._one(name, sizes, declared) for name, sizes in declared.items()}

    def or_plausible(self, declared: Declared) -> dict[str, Shape]:
        """Sizes to compare two files at, where any will do: what is open and not given becomes something plausible."""
        self.require_known(declared)
        return {name: self.given.get(name) or _plausible(sizes) for name, sizes in declared.items()}

    def require_known(self, inputs: Collection[str]) -> None:
        unknown = [name for name in self.given if name not in inputs]
        if unknown:
            raise ConfigError(f"--shape {unknown[0]}: there is no such input, only {', '.join(sorted(inputs))}")

    def among(self, names: Sequence[str]) -> Shapes:
        """Those for these inputs: of several graphs each takes its own."""
        return Shapes({name: shape for name, shape in self.given.items() if name in names}, self.command)

    def _one(self, name: str, sizes: Sequence[int | None] | None, declared: Declared) -> Shape:
        given = self.given.get(name)
        if given is not None:
            fits = sizes is None or len(sizes) == len(given)
            if not fits or any(a not in (None, b) for a, b in zip(sizes or (), given, strict=False)):
                raise ConfigError(f"--shape {name}={_text(given)}: the file says {_text(sizes or ())}")
            return given
        if sizes is None or None in sizes:
            told = "without a shape" if sizes is None else f"with open sizes: {_text(sizes)}"
            raise ConfigError(f"input {name!r} comes {told}; say at which it runs: {self._hint(declared)}")
        return tuple(size for size in sizes if size is not None)

    def _hint(self, declared: Declared) -> str:
        """The command to give, with plausible sizes where the file has none."""
        words = [self.command]
        for name, sizes in declared.items():
            if name in self.given or sizes is None or None in sizes:
                shape = self.given.get(name) or _plausible(sizes)
                words.append(f"--shape {shlex.quote(f'{name}={_text(shape)}')}")
        return " ".join(words)


def _plausible(sizes: Sequence[int | None] | None) -> Shape:
    sizes = (None,) * 4 if sizes is None else sizes
    small = (1, 3) if len(sizes) == 4 else (1,)
    return tuple(size or (small[axis] if axis < len(small) else 224) for axis, size in enumerate(sizes))


def _text(sizes: Sequence[int | None]) -> str:
    return ",".join("?" if size is None else str(size) for size in sizes)


def add_shape_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=1,3,640,640",
        help="sizes of an input that the file leaves open; repeat for more",
    )


def declared_inputs(model: onnx.ModelProto) -> dict[str, tuple[int | None, ...] | None]:
    """Inputs that a caller must give, with their sizes."""
    stored = {tensor.name for tensor in model.graph.initializer}
    found: dict[str, tuple[int | None, ...] | None] = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        if value.name not in stored and value.type.WhichOneof("value") == "tensor_type":
            dims = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim)
            found[value.name] = dims if kind.HasField("shape") else None
    return found


def with_shapes(model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> onnx.ModelProto:
    """A copy whose inputs have these sizes. What the file says of other tensors' sizes is dropped: it may be old."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for value in copy.graph.input:
        if value.name in shapes:
            value.type.tensor_type.shape.ClearField("dim")
            value.type.tensor_type.shape.dim.extend(
                onnx.TensorShapeProto.Dimension(dim_value=size) for size in shapes[value.name]
            )
    for value in copy.graph.output:
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.ClearField("shape")
    return copy
