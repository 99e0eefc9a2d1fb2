"""A GStreamer pipeline read at its appsink: the time of each picture is the pipeline's own, of the monotonic clock."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from codriver.arrays import Image
from codriver.capture.camera import Camera, Ended
from codriver.device.imports import load, opencv
from codriver.errors import BackendMissing

MISSING = (
    "a GStreamer pipeline needs GStreamer and its Python bindings: sudo apt install gstreamer1.0-plugins-good "
    "python3-gst-1.0 gir1.2-gst-plugins-base-1.0, in a virtual environment made with --system-site-packages: "
    "docs/device.md, Cameras"
)
WAIT_S = 0.5  # for a sample, before it is asked whether the pipeline failed
CHANNELS = {"BGR": 3, "BGRx": 4, "BGRA": 4}
CAPS = f"video/x-raw, format=(string){{{', '.join(CHANNELS)}}}"
NTP_S = 2_208_988_800  # from 1900, where NTP begins, to 1970


def gstreamer() -> Any:
    """The module Gst, ready. A BackendMissing says what to install."""
    gi = load("gi", MISSING, "require_version")
    try:
        for name in ("Gst", "GstApp", "GstVideo"):
            gi.require_version(name, "1.0")
        from gi.repository import Gst, GstApp, GstVideo
    except (ImportError, ValueError) as error:
        raise BackendMissing(f"{MISSING} ({error})") from error
    Gst.init(None)
    assert GstApp and GstVideo  # imported for what they give to samples and sinks
    return Gst


class GstCapture:
    """Its newest frame, always: an appsink keeps one. Of a pipeline that is not live no time is known."""

    notes: tuple[str, ...] = ()

    def __init__(self, camera: Camera) -> None:
        self._gst = gst = gstreamer()
        try:
            self._pipeline = gst.parse_launch(camera.where)
        except Exception as error:  # GLib's, whose class comes with gi
            raise Ended(f"is no pipeline: {getattr(error, 'message', error)}") from error
        self._sink = _appsink(gst, self._pipeline)
        self._sink.set_property("caps", gst.Caps.from_string(CAPS))
        self._sink.set_property("max-buffers", 1)
        self._sink.set_property("drop", True)
        self._pipeline.use_clock(gst.SystemClock.obtain())  # CLOCK_MONOTONIC, whatever elements would offer
        self._live = self._pipeline.set_state(gst.State.PAUSED) == gst.StateChangeReturn.NO_PREROLL
        self._sink.set_property("sync", not self._live)  # live ones have their pace, and we their newest frame
        self._pipeline.set_state(gst.State.PLAYING)

    def read(self) -> tuple[Image | None, float | None]:
        while (sample := self._sink.try_pull_sample(int(WAIT_S * self._gst.SECOND))) is None:
            self._check()
        buffer = sample.get_buffer()
        return _image(self._gst, sample, buffer), self._taken_s(sample, buffer)

    def _check(self) -> None:
        """An Ended if the pipeline failed or is over; else it is silent, which its reader sees."""
        kinds = self._gst.MessageType
        message = self._pipeline.get_bus().pop_filtered(kinds.ERROR | kinds.EOS)
        if message is not None and message.type == kinds.ERROR:
            error, detail = message.parse_error()
            raise Ended(f"stopped sending: {error.message} {_reason(detail)}".strip())
        if message is not None or self._sink.is_eos():
            raise Ended("stopped sending")

    def _taken_s(self, sample: Any, buffer: Any) -> float | None:
        """By the sender, if the pipeline brings its time along; else by the pipeline."""
        sent = buffer.get_reference_timestamp_meta(self._gst.Caps.from_string("timestamp/x-ntp"))
        if sent is not None:  # rtspsrc add-reference-timestamp-meta=true
            return float(sent.timestamp / 1e9 - NTP_S - time.time_ns() / 1e9 + time.monotonic())
        if not self._live or buffer.pts == self._gst.CLOCK_TIME_NONE:
            return None
        running_ns = sample.get_segment().to_running_time(self._gst.Format.TIME, buffer.pts)
        return float((self._pipeline.get_base_time() + running_ns) / 1e9)

    def close(self) -> None:
        self._pipeline.set_state(self._gst.State.NULL)


def _appsink(gst: Any, pipeline: Any) -> Any:
    from gi.repository import GstApp

    sinks = [pipeline] if not isinstance(pipeline, gst.Bin) else list(_each(gst, pipeline.iterate_sinks()))
    for sink in sinks:
        if isinstance(sink, GstApp.AppSink):
            return sink
    raise Ended("is a pipeline without an appsink, where frames are taken from")


def _each(gst: Any, iterator: Any) -> Any:
    while True:
        result, element = iterator.next()
        if result != gst.IteratorResult.OK:
            return
        yield element


def _image(gst: Any, sample: Any, buffer: Any) -> Image | None:
    """(H, W, 3) uint8, a copy: the buffer goes back to the camera."""
    from gi.repository import GstVideo

    form = sample.get_caps().get_structure(0)
    height, width, channels = (form.get_value("height"), form.get_value("width"), CHANNELS[form.get_value("format")])
    mapped, memory = buffer.map(gst.MapFlags.READ)
    if not mapped:
        return None
    try:
        meta = GstVideo.buffer_get_video_meta(buffer)
        row = meta.stride[0] if meta is not None else memory.size // height
        held = np.frombuffer(memory.data, np.uint8)[: row * height]
        rows = np.pad(held, (0, row * height - held.size))  # a copy; the last row may end with its last pixel
        pixels = rows.reshape(height, row)[:, : width * channels].reshape(height, width, channels)
        if channels == 4:  # NumPy takes 8 ms to leave it out of 1280x720, OpenCV .2
            pixels = opencv().cvtColor(pixels, opencv().COLOR_BGRA2BGR)
        return np.ascontiguousarray(pixels)
    finally:
        buffer.unmap(memory)


def _reason(detail: str) -> str:
    """The last line of what an element says is why; those before it are its source code's."""
    return (detail or "").strip().splitlines()[-1][:100] if detail else ""
