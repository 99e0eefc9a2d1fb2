"""Run graphs: one module per runtime, all behind the same two methods."""

from __future__ import annotations

from codriver.engines.base import ENGINES, STAND_INS, Engine, GraphFiles, Signature
from codriver.errors import ConfigError


def open_engine(name: str, graph: GraphFiles, signature: Signature, *, threads: int | None = None) -> Engine:
    """Load a graph from its bytes; an EngineError says where it departs from the signature.

    name: one of ENGINES. threads: that one inference uses; None: the physical cores this process may use.
    """
    if name == "onnxruntime" or name in STAND_INS:
        from codriver.engines.ort import OrtEngine

        return OrtEngine(graph, signature, threads=threads, name=name)
    if name == "openvino":
        from codriver.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(graph, signature, threads=threads)
    if name == "tensorrt":
        from codriver.engines.trt.engine import TrtEngine

        return TrtEngine(graph, signature, threads=threads)
    if name == "fake":
        from codriver.engines.fake import FakeEngine

        return FakeEngine(signature)
    raise ConfigError(f"engine {name!r} is not known; this codriver has {', '.join(ENGINES)}")
