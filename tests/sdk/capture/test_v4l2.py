"""What cameras there are, told by a kernel that a test writes down in the structures of linux/videodev2.h."""

from __future__ import annotations

import ctypes as c
import json
from dataclasses import replace
from pathlib import Path

import pytest

from codriver.capture import v4l2
from codriver.capture.v4l2 import CameraFound, CamerasHere, PixelFormat, camera_lines, described
from codriver.cli.main import main

U32 = c.c_uint32


class Capability(c.Structure):
    _fields_ = (
        ("driver", c.c_char * 16),
        ("card", c.c_char * 32),
        ("bus_info", c.c_char * 32),
        ("version", U32),
        ("capabilities", U32),
        ("device_caps", U32),
        ("reserved", U32 * 3),
    )


class FormatDescription(c.Structure):
    _fields_ = (
        ("index", U32),
        ("type", U32),
        ("flags", U32),
        ("description", c.c_char * 32),
        ("pixelformat", c.c_char * 4),
        ("mbus_code", U32),
        ("reserved", U32 * 3),
    )


class FrameSize(c.Structure):
    _fields_ = (("index", U32), ("pixelformat", c.c_char * 4), ("type", U32), ("of", U32 * 6), ("reserved", U32 * 2))


class FrameInterval(c.Structure):
    _fields_ = (
        ("index", U32),
        ("pixelformat", c.c_char * 4),
        ("width", U32),
        ("height", U32),
        ("type", U32),
        ("of", U32 * 6),
        ("reserved", U32 * 2),
    )


class Requested(c.Structure):
    _fields_ = (("count", U32), ("type", U32), ("memory", U32), ("capabilities", U32), ("reserved", U32))


class Buffer(c.Structure):
    _fields_ = (
        ("index", U32),
        ("type", U32),
        ("bytesused", U32),
        ("flags", U32),
        ("field", U32),
        ("seconds", c.c_long),
        ("microseconds", c.c_long),
        ("timecode", U32 * 4),
        ("sequence", U32),
        ("memory", U32),
        ("where", c.c_ulong),
        ("length", U32),
        ("reserved2", U32),
        ("request_fd", c.c_int32),
    )


class Kernel:
    """A camera of one driver. sizes: of every format, as (kind, numbers). busy: another program has its buffers."""

    def __init__(self, *, capabilities=1, formats=(b"MJPG", b"YUYV"), sizes=(), clock=0x2000, busy=False):
        self.capabilities, self.formats, self.sizes, self.clock, self.busy = capabilities, formats, sizes, clock, busy
        self.buffers = 0
        self.answers = {
            Capability: self.capability,
            FormatDescription: self.format,
            FrameSize: self.size,
            FrameInterval: self.interval,
            Requested: self.request,
            Buffer: self.buffer,
        }

    def ask(self, number, record):
        """The number of an ioctl holds how large its record is, and which it is of the letter V."""
        assert number >> 8 & 0xFF == ord("V")
        kinds = {0: Capability, 2: FormatDescription, 74: FrameSize, 75: FrameInterval, 8: Requested, 9: Buffer}
        kind = kinds[number & 0xFF]
        assert number >> 16 & 0x3FFF == c.sizeof(kind) == len(record)
        return self.answers[kind](kind.from_buffer(record))

    def capability(self, found):
        found.card, found.capabilities, found.device_caps = b"USB Camera", 1 << 31 | 0x4000001, self.capabilities
        return True

    def format(self, found):
        if found.type != 1 or found.index >= len(self.formats):
            return False
        found.pixelformat = self.formats[found.index]
        return True

    def size(self, found):
        if found.pixelformat not in self.formats or found.index >= len(self.sizes):
            return False
        found.type, numbers = self.sizes[found.index]
        found.of[: len(numbers)] = numbers
        return True

    def interval(self, found):
        if found.index > 1 or (found.width, found.height) == (320, 240):
            return False
        found.type = 1
        found.of[:2] = (1, 30) if found.index == 0 else (1001, 30000)
        return True

    def request(self, found):
        if self.busy:
            return False
        assert (found.type, found.memory) == (1, 1)
        self.buffers = found.count
        return True

    def buffer(self, found):
        assert (self.buffers, found.type, found.memory, found.index) == (1, 1, 1, 0)
        found.flags = self.clock | 0x1
        return True


def test_a_camera_is_told_with_its_formats_sizes_rates_and_clock():
    kernel = Kernel(sizes=[(1, (1280, 720)), (1, (320, 240))])
    found = described(kernel.ask, "/dev/video0")
    sizes = ((1280, 720, (30.0, 29.97)), (320, 240, ()))
    formats = tuple(PixelFormat(letters=letters, sizes=sizes) for letters in ("MJPG", "YUYV"))
    assert found == CameraFound(path="/dev/video0", lasting="", name="USB Camera", formats=formats, clock="monotonic")
    assert kernel.buffers == 0, "what was asked for is given back"


def test_of_a_camera_that_takes_any_size_the_largest_is_told():
    stepwise = (3, (16, 1920, 2, 16, 1080, 2))  # widths from, to, by; heights from, to, by
    found = described(Kernel(formats=(b"YUYV",), sizes=[stepwise, stepwise]).ask, "/dev/video0")
    assert [size[:2] for size in found.formats[0].sizes] == [(1920, 1080)]


def test_a_device_that_captures_no_pictures_is_no_camera():
    assert described(Kernel(capabilities=0x00A00000).ask, "/dev/video1") is None  # what describes pictures
    assert described(lambda number, record: False, "/dev/video2") is None


@pytest.mark.parametrize(
    ("kernel", "says"),
    [
        (Kernel(clock=0), "not told: frames may have the arrival's time"),
        (Kernel(clock=0x4000), "copied from another device"),
        (Kernel(busy=True), "not told while another program has it"),
        (Kernel(formats=(b"RG10",)), "gst:nvarguscamerasrc"),
        (Kernel(formats=tuple(b"FM%02d" % n for n in range(9)), sizes=[(1, (320, 240))]), "FM05 and 3 more: 320x240"),
    ],
)
def test_what_matters_of_a_camera_is_said_in_words(kernel, says):
    here = CamerasHere(devices=(described(kernel.ask, "/dev/video0"),), rtsp="", pipelines="")
    assert says in "\n".join(camera_lines(here))


def test_without_any_camera_it_says_so_and_what_else_can_be_read(tmp_path):
    said = list(camera_lines(replace(v4l2.cameras_here(tmp_path), rtsp="", pipelines="no gi")))
    assert said[0] == "no camera: no /dev/video* captures pictures"
    assert said[1].endswith("can be read") and said[2].endswith("no gi")


def test_the_command_gives_the_same_as_json(capsys):
    assert main(["doctor", "--cameras", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"devices", "rtsp", "pipelines"}
    assert len(found["devices"]) <= len(list(Path("/dev").glob("video*")))


def test_a_device_that_may_not_be_opened_is_told_with_the_reason(tmp_path):
    (tmp_path / "video0").mkdir()
    (found,) = v4l2.cameras_here(tmp_path).devices
    assert found.why == "Is a directory"
