"""Golden vectors of a variant whose runtime is not here, through ONNX Runtime node by node: the graph's own arithmetic.

It proves what the graph says, FP16 casts and Q/DQ included, not what TensorRT will make of it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from codriver.arrays import Arrays
from codriver.bundle.folder import Bundle
from codriver.bundle.loader import LoadedBundle, as_wholes
from codriver.bundle.manifest import VariantSpec
from codriver.device.cores import Cores
from codriver.engines.base import GraphFiles, Signature
from codriver.perceiver import Perceiver
from codriver.verify.golden import GoldenDifference, check_golden


class NodeByNode:
    """ONNX Runtime without optimisation: INT8 fused by it saturates on processors without VNNI, which is no fault of
    the graph's."""

    def __init__(self, graph: GraphFiles, signature: Signature) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session: Any = onnxruntime.InferenceSession(graph.model, options, providers=["CPUExecutionProvider"])
        self._outputs = list(signature.outputs)

    def infer(self, inputs: Arrays) -> Arrays:
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))

    def close(self) -> None:
        self._session = None


def rehearse(folder: Path, variant: VariantSpec) -> list[GoldenDifference]:
    """Per task, how far the graphs are off the variant's golden answers."""
    bundle = Bundle.open(folder)
    manifest = bundle.manifest
    engines: dict[str, Any] = {
        role: NodeByNode(bundle.graph(path), manifest.signature_of(role, variant.kept))
        for role, path in variant.graphs.items()
    }
    cores = Cores()
    loaded = LoadedBundle(
        folder=bundle,
        variant=replace(variant, engine="onnxruntime"),
        **cast(Any, as_wholes(engines, manifest.encoder_signature_in(variant.kept), cores)),
        cores=cores,
        policy=manifest.policy,
        color=manifest.color,
    )
    with Perceiver(loaded) as perceiver:
        return check_golden(perceiver)
