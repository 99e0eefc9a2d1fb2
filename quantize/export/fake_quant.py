"""The fake-quantized torch model of a dialect as files, so that what comes after quantization starts from files.

    Q/<dialect>/fake_quant.safetensors   weights, folded, and the range of every quantizer
    Q/<dialect>/fake_quant.json          sizes of the model, and where NNCF's quantizers sit; null without any

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
from quantize.graphs.graphs import EncoderGraph, FuserGraph
from training.model.uvm3tl import UVM3TL, ModelConfig
from workshop.artifacts import write_json
from workshop.command import one_line

SCHEMA = 1
WEIGHTS, CONFIG = "fake_quant.safetensors", "fake_quant.json"


def save_fake_quant(folder: Path, encoder: nn.Module, config: ModelConfig) -> None:
    """Write both files into an existing folder. encoder: a folded EncoderGraph, as it is or as NNCF returned it."""
    import nncf
    from nncf.torch.function_hook.wrapper import is_wrapped

    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in encoder.state_dict().items()}
    save_file(weights, str(folder / WEIGHTS))
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes it for its owner alone
    placed = nncf.torch.get_config(encoder) if is_wrapped(encoder) else None
    write_json(folder / CONFIG, {"schema": SCHEMA, "kind": "fake_quant", "model": config.to_dict(), "nncf": placed})


def load_fake_quant(folder: Path, dialect: str) -> tuple[nn.Module, nn.Module, UVM3TL]:
    """Encoder, fuser and the folded model whose weights both use, in evaluation mode. folder: the quantized one.

    The encoder computes bit by bit what it computed when it was saved. A SourceError says what is missing or damaged.
    """
    here = folder / dialect
    if not (here / CONFIG).is_file() or not (here / WEIGHTS).is_file():
        raise SourceError(f"{here} lacks {CONFIG} or {WEIGHTS}; make them with quantize.run --dialect {dialect}")
    advice = "quantize the run again"
    try:
        content = json.loads((here / CONFIG).read_text(encoding="utf-8"))
        if content.get("schema") != SCHEMA or content.get("kind") != "fake_quant":
            raise SourceError(f"{here / CONFIG}: schema {content.get('schema')!r}, expected {SCHEMA}; {advice}")
        encoder = _rebuilt(ModelConfig.from_dict(content["model"]), content["nncf"])
        encoder.load_state_dict(load_file(str(here / WEIGHTS)))
    except (ValueError, SafetensorError, RuntimeError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"{here} holds no whole fake-quantized model: {one_line(error)[:300]}; {advice}") from error
    encoder.eval()
    model: Any = encoder.model
    return encoder, FuserGraph(model).eval(), model


def _rebuilt(config: ModelConfig, placed: dict[str, Any] | None) -> nn.Module:
    """The same modules with weights that mean nothing yet."""
    encoder = EncoderGraph(folded(UVM3TL(config))).eval()
    if placed is None:
        return encoder
    import nncf

    restored: nn.Module = nncf.torch.load_from_config(encoder, placed)
    return restored
