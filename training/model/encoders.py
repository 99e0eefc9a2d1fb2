"""One frame in, one feature out. Built for INT8: plain 3x3 convolutions and ReLU.

No depthwise convolutions and no squeeze-and-excite: measured, INT8 depthwise runs slower than FP32 in ONNX Runtime
(reference/int8.md 3.4). Normalisation is part of the graph, which takes uint8 pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn_relu(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class ResidualBlock(nn.Module):
    """x + conv(conv(x)), then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_bn_relu(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.norm(self.second(self.first(x))))


class ImageEncoder(nn.Module):
    """(N, H, W, 3) uint8 BGR -> (N, C, H/stride, W/stride) float32."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], feature: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, count in zip(widths, blocks, strict=True):
            layers += [conv_bn_relu(channels, width, stride=2), *(ResidualBlock(width) for _ in range(count))]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.project = conv_bn_relu(channels, feature, kernel=1)

    def forward(self, pixels: Tensor) -> Tensor:
        # Dividing by 255 keeps zero at zero, so an unsigned 8-bit quantizer holds the pixels exactly.
        x = pixels.permute(0, 3, 1, 2).float() * (1.0 / 255.0)
        return self.project(self.layers(x))


class JointEncoder(nn.Module):
    """(N, P, 3) keypoints x, y, score -> (N, C) float32.

    The points enter as they are and relative to their mean, so that where the driver sits matters less than the pose.
    """

    def __init__(self, points: int, feature: int) -> None:
        super().__init__()
        # quantize.fold multiplies it into the first layer and leaves None.
        self.register_buffer("centre", beside_centred(points), persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(points * 5, 2 * feature, bias=False),
            nn.BatchNorm1d(2 * feature),
            nn.ReLU(),
            nn.Linear(2 * feature, feature, bias=False),
            nn.BatchNorm1d(feature),
            nn.ReLU(),
        )

    def forward(self, joints: Tensor) -> Tensor:
        points = joints.flatten(1)
        return self.layers(points if self.centre is None else F.linear(points, self.centre))


def beside_centred(points: int) -> Tensor:
    """(5 P, 3 P) matrix: keypoints -> themselves, then 4 * (x, y relative to the mean over all points).

    One matrix and not slices and a mean, because NNCF quantizes the inputs of those: 255 steps for a whole image.
    """
    same = torch.eye(3 * points)
    planar = torch.eye(3 * points)[[3 * p + k for p in range(points) for k in (0, 1)]]  # (2 P, 3 P), picks x and y
    mean = (planar.reshape(points, 2, -1).mean(dim=0)).repeat(points, 1)
    return torch.cat([same, 4.0 * (planar - mean)])
