"""Post-training quantization of convolutions alone, as in the fuser and on maps: our placement, NNCF's quantizers.

NNCF's own placement quantizes whatever it can, softmax's neighbours, sums of vectors and the mask too: of demo's fuser
117 places (DECISIONS.md). Here the convolutions are in 8 bits and nothing else. They hold all of the work but the
products of attention and of single vectors: quantizing and restoring those takes longer than computing them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from quantize.graphs.dialects import OPENVINO, PAIRED, Dialect
from quantize.ptq.quantizers import quantizers

# What only looks at its input in another shape: a quantizer behind it would be one too many.
VIEWS = ("flatten", "unflatten", "reshape", "__getitem__")
ENLARGING = "interpolate"
JOINING = ("__add__", "__iadd__", "add", "cat", "concat")
LEAST = 1e-5  # of a range: a channel of zeros has one too


def quantized_convolutions(graph_of: nn.Module, seen: Sequence[tuple[Tensor, ...]], some: Dialect) -> nn.Module:
    """The graph with fake quantizers at its convolutions. graph_of: folded; seen: its inputs on real data.

    Ranges are those from the least to the greatest that these show.
    """
    from nncf.torch.function_hook.nncf_graph.nncf_graph_builder import build_nncf_graph
    from nncf.torch.function_hook.wrapper import get_hook_storage, wrap_model

    wrapped: Any = wrap_model(copy.deepcopy(graph_of).eval())
    with torch.no_grad():
        graph = build_nncf_graph(wrapped, seen[0])
    points = list(dict.fromkeys(points_of(graph, closed=some.recipe == PAIRED)))
    ranges = _observed(wrapped, points, seen)
    storage = get_hook_storage(wrapped)
    for point in points:
        storage.register_post_function_hook(point, 0, _of_activations(ranges[point], some))
    weights = dict(wrapped.named_parameters())
    for convolution in _convolutions(graph):
        name = next(
            node.node_name for node in graph.get_previous_nodes(convolution) if node.node_name.endswith("weight")
        )
        quantizer = _of_weights(weights[name], some)
        quantizer.weight_name, quantizer.reach = name, reach_of(some)
        storage.register_pre_function_hook(convolution.node_name, 1, quantizer)
    return wrapped


def points_of(graph: Any, *, closed: bool) -> Iterator[str]:
    """Operations whose output is quantized: what a convolution reads, and, if `closed`, what it gives, behind a ReLU.

    ONNX Runtime runs a convolution in 8 bits only between two quantizers; to others the one in front is enough. It adds
    two quantized tensors in 8 bits only if their sum is quantized too.
    """
    convolutions = dict.fromkeys(_around_convolutions(graph, closed=closed))
    yield from convolutions
    if closed:
        for node in graph.get_all_nodes():
            if node.node_type in JOINING and all(
                some.node_name in convolutions for some in graph.get_previous_nodes(node)
            ):
                yield _with_relu(graph, node)


def _around_convolutions(graph: Any, *, closed: bool) -> Iterator[str]:
    for node in _convolutions(graph):
        source = _source(graph, _read_by(graph, node))
        yield source.node_name
        if source.node_type == ENLARGING:  # codes go through it: it stands between two quantizers of one range
            yield _source(graph, _read_by(graph, source)).node_name
        if closed:
            yield _with_relu(graph, node)


def _with_relu(graph: Any, node: Any) -> str:
    """Where the node's output is quantized: behind a ReLU if that alone reads it."""
    readers = graph.get_next_nodes(node)
    name: str = (readers[0] if [reader.node_type for reader in readers] == ["relu"] else node).node_name
    return name


def _convolutions(graph: Any) -> list[Any]:
    """Of maps; the gates' 1-D ones stay in floating point with the softmax that they feed."""
    return [node for node in graph.get_all_nodes() if node.node_type == "conv2d"]


def _read_by(graph: Any, node: Any) -> Any:
    """Whose output is the node's data. Weights are inputs too, and come first where a layer is called again."""
    return next(edge.from_node for edge in graph.get_input_edges(node) if edge.input_port_id == 0)


def _source(graph: Any, node: Any) -> Any:
    while node.node_type in VIEWS:
        (node,) = graph.get_previous_nodes(node)
    return node


class _Observer(nn.Module):
    """Passes a tensor on and keeps its least and greatest value."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = float("inf"), float("-inf")

    def forward(self, x: Tensor) -> Tensor:
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        return x


@torch.no_grad()
def _observed(
    wrapped: nn.Module, points: Sequence[str], contexts: Sequence[tuple[Tensor, ...]]
) -> dict[str, tuple[float, float]]:
    from nncf.torch.function_hook.wrapper import register_post_function_hook

    watching = {point: _Observer() for point in points}
    handles = [register_post_function_hook(wrapped, point, 0, observer) for point, observer in watching.items()]
    for context in contexts:
        wrapped(*context)
    for handle in handles:
        handle.remove()
    return {point: (observer.low, observer.high) for point, observer in watching.items()}


def _of_activations(reach: tuple[float, float], some: Dialect) -> nn.Module:
    """PAIRED takes all codes from the least to the greatest value, TensorRT signed ones, OpenVINO unsigned ones where
    nothing is negative. Zero is always among them."""
    low, high = min(reach[0], 0.0), max(reach[1], 0.0, LEAST)
    if some.recipe == PAIRED:
        quantizer = _quantizer("asymmetric", None, (1,))
        quantizer.input_low.data.fill_(low)
        quantizer.input_range.data.fill_(high - low)
        return quantizer
    quantizer = _quantizer("symmetric", not (some.recipe == OPENVINO and low == 0.0), (1,))
    quantizer.scale.data.fill_(max(-low, high))
    return quantizer


def reach_of(some: Dialect) -> float:
    """Of a weight's quantizer, as a multiple of the largest weight. 7 bits: the largest weight is code 63 of 127."""
    return 127 / 63 if some.weight_bits == 7 else 1.0


def _of_weights(weight: Tensor, some: Dialect) -> Any:
    """Symmetric, per channel."""
    quantizer = _quantizer("symmetric", True, (len(weight), *[1] * (weight.ndim - 1)), narrow=True)
    quantizer.scale.data.copy_(_largest(weight) * reach_of(some))
    return quantizer


def _largest(weight: Tensor) -> Tensor:
    """Of each channel."""
    return weight.detach().abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True).clamp(min=LEAST)


@torch.no_grad()
def hold_seven_bits(wrapped: nn.Module) -> None:
    """Where weights of 7 bits have grown beyond code 63 in training, let their quantizer reach further, in place.

    Nothing in training keeps them below, and beyond code 64 two products can saturate.
    """
    weights = dict(wrapped.named_parameters())
    for quantizer in quantizers(wrapped).values():
        if getattr(quantizer, "reach", 1.0) > 1.0:
            least = _largest(weights[quantizer.weight_name]) * quantizer.reach
            quantizer.scale.data.copy_(torch.maximum(quantizer.scale, least))


def _quantizer(mode: str, signed: bool | None, shape: tuple[int, ...], narrow: bool = False) -> Any:
    from nncf.common.quantization.structs import QuantizationScheme
    from nncf.torch.quantization.layers import AsymmetricQuantizer, PTQuantizerSpec, SymmetricQuantizer

    spec = PTQuantizerSpec(
        num_bits=8,
        mode=QuantizationScheme(mode),
        signedness_to_force=signed,
        narrow_range=narrow,
        half_range=False,
        scale_shape=shape,
        logarithm_scale=False,
    )
    return (AsymmetricQuantizer if mode == "asymmetric" else SymmetricQuantizer)(spec)
