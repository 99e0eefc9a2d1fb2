"""The fake-quantized torch model of a dialect as files, so that what comes after quantization starts from files.

    Q/<dialect>/fake_quant.safetensors   weights, folded, and the range of every quantizer
    Q/<dialect>/fake_quant.json          sizes of the model, and where NNCF's quantizers sit in each graph; null without

A full-precision dialect has them too: the folded model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from codriver.errors import SourceError
from quantize.graphs.fold import folded
from quantize.graphs.graphs import ModulePair, pair_of
from training.model.uvm3tl import UVM3TL, ModelConfig
from workshop.artifacts import write_json
from workshop.command import one_line

SCHEMA = 2
WEIGHTS, CONFIG = "fake_quant.safetensors", "fake_quant.json"


def save_fake_quant(folder: Path, pair: ModulePair) -> None:
    """Write both files into an existing folder. pair: of a folded model, as it is or as it was quantized."""
    import nncf
    from nncf.torch.function_hook.wrapper import is_wrapped

    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in pair.state_dict().items()}
    save_file(weights, str(folder / WEIGHTS))
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes it for its owner alone
    placed = {
        name: nncf.torch.get_config(graph) if is_wrapped(graph) else None for name, graph in pair.named_children()
    }
    content = {"schema": SCHEMA, "kind": "fake_quant", "model": pair.model.config.to_dict(), "nncf": placed}
    write_json(folder / CONFIG, content)


def load_fake_quant(folder: Path, dialect: str) -> ModulePair:
    """Both graphs around the folded model, in evaluation mode. folder: the quantized one.

    They compute bit by bit what they computed when they were saved. A SourceError says what is missing or damaged.
    """
    here = folder / dialect
    if not (here / CONFIG).is_file() or not (here / WEIGHTS).is_file():
        raise SourceError(f"{here} lacks {CONFIG} or {WEIGHTS}; make them with quantize.run --dialect {dialect}")
    advice = "quantize the run again"
    try:
        content = json.loads((here / CONFIG).read_text(encoding="utf-8"))
        if content.get("schema") != SCHEMA or content.get("kind") != "fake_quant":
            raise SourceError(f"{here / CONFIG}: schema {content.get('schema')!r}, expected {SCHEMA}; {advice}")
        pair = _rebuilt(ModelConfig.from_dict(content["model"]), content["nncf"])
        pair.load_state_dict(load_file(str(here / WEIGHTS)))
    except (ValueError, SafetensorError, RuntimeError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"{here} holds no whole fake-quantized model: {one_line(error)}; {advice}") from error
    pair.eval()
    return pair


def _rebuilt(config: ModelConfig, placed: dict[str, dict[str, Any] | None]) -> ModulePair:
    """The same modules with weights that mean nothing yet."""
    pair = pair_of(folded(UVM3TL(config)))
    return ModulePair(*(_with_quantizers(getattr(pair, name), placed[name]) for name in ("encoder", "fuser")))


def _with_quantizers(graph: nn.Module, placed: dict[str, Any] | None) -> nn.Module:
    if placed is None:
        return graph
    import nncf

    restored: nn.Module = nncf.torch.load_from_config(graph, placed)
    return restored
