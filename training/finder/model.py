"""One in-car frame in, where the driver is out. Our instantiation; the paper takes boxes and keypoints for granted.

Coordinates are classified along x and along y (SimCC, arXiv 2107.03332): a map per point, then two linear layers that
all points share. Plain convolutions, ReLU, additions, one nearest upsampling: every dialect takes it in INT8.
What the logits mean is read outside the graph: codriver/finder/peaks.py.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from codriver.finder_graph import BINS_X, BINS_Y, HEIGHT_PX, PRESENCE, WIDTH_PX, points_of
from training.model.encoders import ResidualBlock, conv_bn_relu

FINE, COARSE = 8, 16  # strides of the two maps that meet


@dataclass(frozen=True, kw_only=True)
class FinderConfig:
    """Widths and residual blocks at strides 2, 4, 8 and 16, the width where the last two meet, and what is found."""

    widths: tuple[int, int, int, int] = (8, 16, 24, 48)
    blocks: tuple[int, int, int, int] = (0, 0, 1, 1)
    merged: int = 32
    gesture: bool = False  # also the 42 points of the hands, beside face, body and posture

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> FinderConfig:
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return FinderConfig(**{"gesture": True, **plain})  # those of before, which all looked for hands, do not say


SIZES = {
    "tiny": FinderConfig(widths=(4, 4, 8, 8), blocks=(0, 0, 0, 0), merged=8),  # for tests
    "demo": FinderConfig(),
    "edge": FinderConfig(widths=(16, 32, 64, 128), blocks=(0, 1, 1, 1), merged=64),
}


class Finder(nn.Module):
    """(N, 144, 256, 3) uint8 BGR -> logits along x (N, P, 192), along y (N, P, 108), and of presence (N, 3)."""

    def __init__(self, config: FinderConfig) -> None:
        super().__init__()
        self.config = config
        stages, channels = [], 3
        for width, count in zip(config.widths, config.blocks, strict=True):
            stages.append(
                nn.Sequential(conv_bn_relu(channels, width, stride=2), *(ResidualBlock(width) for _ in range(count)))
            )
            channels = width
        self.fine = nn.Sequential(*stages[:3])
        self.coarse = stages[3]
        self.fine_lateral = conv_bn_relu(config.widths[2], config.merged, kernel=1)
        self.coarse_lateral = conv_bn_relu(config.widths[3], config.merged, kernel=1)
        self.merge = conv_bn_relu(config.merged, config.merged)
        self.points = points_of(gesture=config.gesture)
        self.maps = nn.Conv2d(config.merged, self.points, 1)
        cells = (HEIGHT_PX // FINE) * (WIDTH_PX // FINE)
        self.along_x, self.along_y = nn.Linear(cells, BINS_X), nn.Linear(cells, BINS_Y)
        self.presence = nn.Linear(config.widths[3], len(PRESENCE))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = self.fine(pixels.permute(0, 3, 1, 2).float() * (1.0 / 255.0))
        coarse = self.coarse(fine)
        up = F.interpolate(self.coarse_lateral(coarse), scale_factor=COARSE // FINE, mode="nearest")
        maps = self.maps(self.merge(self.fine_lateral(fine) + up)).flatten(2)  # (N, P, cells)
        presence = self.presence(F.adaptive_avg_pool2d(coarse, 1).flatten(1))
        return self.along_x(maps), self.along_y(maps), presence
