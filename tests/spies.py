"""A perceiver with its graphs watched: what they are given, and what becomes of what they give."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from codriver.arrays import Arrays
from codriver.bundle.manifest import Manifest
from codriver.engines import open_engine
from codriver.engines.base import Engine, GraphFiles
from codriver.errors import EngineError
from codriver.perceiver import Perceiver
from tests.tiny import loaded, tiny_encoder, tiny_finder, tiny_fuser


class Spy:
    """An engine that notes what it was given."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.forget()

    def infer(self, inputs: Arrays) -> Arrays:
        if self.fails:
            raise EngineError("device lost")
        self.inputs.append({name: values.copy() for name, values in inputs.items()})
        outputs = self.engine.infer(inputs)
        self.given += [(name, weakref.ref(values)) for name, values in outputs.items()]
        if self.spoil:
            outputs[self.spoil][:] = np.nan
        return outputs

    def held(self) -> list[str]:
        """Names of the arrays that it gave and somebody still holds."""
        return [name for name, kept in self.given if kept() is not None]

    def forget(self) -> None:
        """Be as new."""
        self.inputs: list[Arrays] = []
        self.spoil: str | None = None  # name of an output to fill with NaN
        self.fails = False
        self.given: list[tuple[str, weakref.ref[Any]]] = []

    def close(self) -> None:
        self.engine.close()


def spied(manifest: Manifest) -> tuple[Perceiver, Spy, Spy]:
    """A perceiver of the tiny graphs of a draft, and its encoder and fuser as they are seen from inside."""
    graphs = (
        (tiny_encoder(manifest), manifest.encoder_signature),
        (tiny_fuser(manifest), manifest.fuser_signature),
    )
    encoder, fuser = (
        Spy(open_engine("onnxruntime", GraphFiles(graph.SerializeToString()), signature, threads=1))
        for graph, signature in graphs
    )
    graph = GraphFiles(tiny_finder(manifest).SerializeToString()) if manifest.finder else None
    finder = open_engine("onnxruntime", graph, manifest.signature_of("finder"), threads=1) if graph else None
    return Perceiver(loaded(manifest, encoder, fuser, finder=finder)), encoder, fuser
