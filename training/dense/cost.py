"""What the model on maps costs, part by part: parameters, and multiply-accumulates of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from training.dense.model import DenseConfig, DenseUVM3TL


@dataclass(frozen=True)
class PartCost:
    """Of one part of the network."""

    parameters: int
    macs: int  # of one picture


@torch.inference_mode()
def cost_by_part(config: DenseConfig) -> dict[str, PartCost]:
    """Encoder, DB-SCME's branches, and the head of each task. Matrix products and convolutions count, as is usual."""
    model = DenseUVM3TL(config).eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, config.height, config.width, 3, dtype=torch.uint8))
    whole = type(model).__name__

    def part(name: str) -> PartCost:
        counts = counter.get_flop_counts().get(f"{whole}.{name}", {})
        return PartCost(sum(p.numel() for p in model.get_submodule(name).parameters()), sum(counts.values()) // 2)

    heads = {f"head of {task}": part(f"heads.{task}") for task in model.task_set.names}
    encoder = part("pyramid")
    apart = (encoder, *heads.values())
    branches = PartCost(
        sum(p.numel() for p in model.parameters()) - sum(some.parameters for some in apart),
        counter.get_total_flops() // 2 - sum(some.macs for some in apart),
    )
    return {"encoder": encoder, "branches": branches, **heads}


def all_of(parts: dict[str, PartCost]) -> PartCost:
    return PartCost(sum(some.parameters for some in parts.values()), sum(some.macs for some in parts.values()))


def page(config: DenseConfig, parts: dict[str, PartCost]) -> str:
    """The cost for people."""
    lines = [f"{config.task_set}, {config.width}x{config.height}", f"{'':26} {'parameters':>12} {'MACs':>12}"]
    for name, some in {**parts, "all": all_of(parts)}.items():
        lines.append(f"{name:26} {some.parameters / 1e6:10.3f} M {some.macs / 1e6:10.1f} M")
    return "\n".join(lines)
