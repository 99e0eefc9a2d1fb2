"""A camera read by OpenCV: the kernel's devices with the driver's time, all else with none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from codriver.arrays import Image
from codriver.capture.camera import Camera, Ended


class OpenCvCapture:
    """device: what OpenCV, or somebody in its place, opened for this camera."""

    def __init__(self, camera: Camera, device: Any) -> None:
        self._device = device
        if not device.isOpened():
            device.release()
            raise Ended("cannot be opened")
        self.notes = tuple(_refused(camera, device))

    def read(self) -> tuple[Image | None, float | None]:
        came, image = self._device.read()
        if not came:
            raise Ended("stopped sending")
        if image is None:  # some drivers call this a frame
            return None, None
        return np.asarray(image), self._taken_s()

    def _taken_s(self) -> float | None:
        """V4L2 stamps buffers by CLOCK_MONOTONIC, and OpenCV hands that on.

        What it tells of GStreamer lacks the pipeline's base time; of RTSP it tells the container's.
        """
        import cv2

        if getattr(self._device, "getBackendName", str)() != "V4L2":  # who stands in its place may have no name
            return None
        return float(self._device.get(cv2.CAP_PROP_POS_MSEC)) / 1e3

    def close(self) -> None:
        self._device.release()


def opencv_device(camera: Camera) -> Any:
    """OpenCV's capture, which may not be open. A device is read by V4L2 where there is V4L2: it tells capture times."""
    import cv2

    if camera.pipeline:
        return cv2.VideoCapture(camera.where, cv2.CAP_GSTREAMER)
    if not camera.device:
        return cv2.VideoCapture(camera.where)
    v4l2 = cv2.videoio_registry.hasBackend(cv2.CAP_V4L2)
    capture = cv2.VideoCapture(camera.where, cv2.CAP_V4L2 if v4l2 else cv2.CAP_ANY)
    for _, number, value in _asked(camera):
        capture.set(number, value)
    return capture


def _refused(camera: Camera, device: Any) -> Iterator[str]:
    """What a camera does otherwise than it was asked to: drivers take the nearest they have, without a word."""
    for name, number, value in _asked(camera):
        found = float(device.get(number))
        if name == "format" and found != value:
            yield f"does not have the format {camera.format}"
        elif abs(found - value) > 0.01 * value:
            yield f"has {name} {found:g}, not {value:g} as asked"


def _asked(camera: Camera) -> list[tuple[str, int, float]]:
    """What is asked of a camera, in the order in which drivers take it: its name, OpenCV's number of it, the value."""
    import cv2

    width, height = camera.size_px or (0, 0)
    wishes = [
        ("format", cv2.CAP_PROP_FOURCC, int.from_bytes(camera.format.encode(), "little")),
        ("width", cv2.CAP_PROP_FRAME_WIDTH, width),
        ("height", cv2.CAP_PROP_FRAME_HEIGHT, height),
        ("rate", cv2.CAP_PROP_FPS, camera.rate_hz or 0),
    ]
    return [(name, number, float(value)) for name, number, value in wishes if value]
