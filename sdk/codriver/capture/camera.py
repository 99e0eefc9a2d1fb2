"""A camera as it is described, opened by OpenCV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from codriver.errors import BackendMissing


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera, and what is asked of it; None and "" leave it as it is."""

    where: int | str  # index, device, address, or a GStreamer pipeline that ends in appsink
    pipeline: bool = False
    size_px: tuple[int, int] | None = None  # width, height
    rate_hz: float | None = None
    format: str = ""  # of its pixels, in four letters: MJPG, YUYV

    def __str__(self) -> str:
        return f"{self.where}"[:60]

    @property
    def device(self) -> bool:
        """Whether the kernel has it, as /dev/videoN."""
        return isinstance(self.where, int) or self.where.startswith("/dev/")


def opened(camera: Camera) -> Any:
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


def driver_time_s(capture: Any) -> float | None:
    """When its driver says that the frame just read was taken, on the driver's clock; None where OpenCV does not know.

    V4L2 stamps buffers by CLOCK_MONOTONIC, and OpenCV hands that on. What it tells of GStreamer lacks the pipeline's
    base time; of RTSP it tells the container's.
    """
    import cv2

    if capture.getBackendName() != "V4L2":
        return None
    return float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3


def refused(camera: Camera, capture: Any) -> Iterator[str]:
    """What a camera does otherwise than it was asked to: drivers take the nearest they have, without a word."""
    for name, number, value in _asked(camera):
        found = float(capture.get(number))
        if name == "format" and found != value:
            yield f"does not have the format {camera.format}"
        elif abs(found - value) > 0.01 * value:
            yield f"has {name} {found:g}, not {value:g} as asked"


def check_pipelines(cameras: Mapping[str, Camera]) -> None:
    """A BackendMissing if one is a pipeline, and this OpenCV cannot read any."""
    import cv2

    if not any(camera.pipeline for camera in cameras.values()) or cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        return
    views = ", ".join(view for view, camera in cameras.items() if camera.pipeline)
    raise BackendMissing(
        f"{views}: a GStreamer pipeline, and this OpenCV {cv2.__version__} has no GStreamer, as none of pip's has; "
        "pip uninstall opencv-python-headless, sudo apt install python3-opencv (on a Jetson: libopencv-python), in a "
        "virtual environment made with --system-site-packages: docs/device.md, Cameras"
    )


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
