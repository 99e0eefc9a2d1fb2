"""Which way a camera is read, by what is installed."""

from __future__ import annotations

from collections.abc import Mapping

from codriver.capture.camera import Camera, Capture
from codriver.capture.gstreamer import GstCapture, gstreamer
from codriver.capture.opencv import OpenCvCapture, opencv_device
from codriver.capture.rtsp import RtspCapture, pyav
from codriver.errors import BackendMissing


def opened(camera: Camera) -> Capture:
    """Open it, which may take seconds, or raise Ended. Where OpenCV has to stand in, it says so."""
    lacks = ""
    try:
        if camera.pipeline:
            gstreamer()
            return GstCapture(camera)
        if camera.rtsp:
            pyav()
            return RtspCapture(camera)
    except BackendMissing as error:
        lacks = str(error)
    capture = OpenCvCapture(camera, opencv_device(camera))
    if lacks:
        capture.notes += (f"is read by OpenCV, without capture times: {lacks}",)
    return capture


def check_pipelines(cameras: Mapping[str, Camera]) -> None:
    """A BackendMissing if one is a pipeline, and nothing here reads any."""
    import cv2

    views = ", ".join(view for view, camera in cameras.items() if camera.pipeline)
    if not views or cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        return
    try:
        gstreamer()
    except BackendMissing as error:
        raise BackendMissing(f"{views}: {error}") from error
