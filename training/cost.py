"""What a step costs: parameters and multiply-accumulates, counted by PyTorch's own counter.

python -m training.cost --size edge
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from codriver.tasks import GROUPS, JOINTS, STREAMS
from training.model import SIZES, UVM3TL


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates of one step: the newest frame of every stream, then the fuser over all slots."""

    groups: dict[str, int]  # encoder and motion, by group of streams that share them
    fuser: int

    @property
    def total(self) -> int:
        return sum(self.groups.values()) + self.fuser


@torch.inference_mode()
def macs_per_step(model: UVM3TL) -> Cost:
    """Counts matrix products and convolutions, as is usual; sums, norms and activations are not counted."""
    config, model = model.config, model.eval()
    groups = {}
    for group, members in GROUPS.items():
        dtype = torch.float32 if group in JOINTS else torch.uint8
        frames = torch.zeros((len(members), *config.input_shape(members[0])), dtype=dtype)
        with FlopCounterMode(display=False) as counter:
            features = model.encode({group: frames})
            model.motion(features, features)
        groups[group] = counter.get_total_flops() // 2
    slots = {s: torch.zeros((1, config.slots, *config.slot_shape(s))) for s in STREAMS}
    with FlopCounterMode(display=False) as counter:
        model.fuse(slots, torch.ones(1, len(STREAMS), config.slots))
    return Cost(groups, counter.get_total_flops() // 2)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.cost",
        description="Parameters and multiply-accumulates of a step.",
        epilog="example: python -m training.cost --size edge",
    )
    parser.add_argument("--size", choices=SIZES, default="edge")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    model = UVM3TL(SIZES[args.size])
    cost, parameters = macs_per_step(model), sum(p.numel() for p in model.parameters())
    if args.json:
        sys.stdout.write(json.dumps({"parameters": parameters, "total": cost.total, **asdict(cost)}) + "\n")
        return 0
    rows = [*((f"{group} ({len(GROUPS[group])} streams)", macs) for group, macs in cost.groups.items())]
    rows += [("fuser", cost.fuser), ("a step", cost.total)]
    sys.stdout.write(f"size {args.size}: {parameters / 1e6:.2f} M parameters\n")
    for name, macs in rows:
        sys.stdout.write(f"  {name:22} {macs / 1e6:9.1f} M multiply-accumulates\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
