"""What cameras the kernel has, as V4L2 tells: formats, sizes, rates, and by which clock they stamp. None is started.

Numbers and layouts are those of linux/videodev2.h on 64-bit machines.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codriver.capture.gstreamer import gstreamer
from codriver.capture.rtsp import pyav
from codriver.errors import BackendMissing

QUERYCAP, ENUM_FMT, SIZES, INTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
REQBUFS, QUERYBUF = 0xC0145608, 0xC0585609
CAPTURE, MMAP, DISCRETE = 1, 1, 1
MOST = 6  # of a list that people read
CLOCKS = {0x2000: "monotonic", 0x4000: "copied from another device"}  # by flags of a buffer
RAW = ("RG10", "BG10", "GR10", "BA10", "RG12", "BG12", "GR12", "BA12", "RGGB", "BA81", "GRBG", "GBRG")  # of a sensor
Ask = Callable[
    [int, bytearray], bool
]  # an ioctl's number and its record, which it fills; False: there is no such thing


@dataclass(frozen=True, kw_only=True)
class PixelFormat:
    letters: str  # MJPG, YUYV
    sizes: tuple[tuple[int, int, tuple[float, ...]], ...]  # width and height in pixels, rates in Hz


@dataclass(frozen=True, kw_only=True)
class CameraFound:
    """One device that captures pictures."""

    path: str
    lasting: str  # a name that stays its own after a restart; "" if udev made none
    name: str
    formats: tuple[PixelFormat, ...]
    clock: str  # of its frames' times; "monotonic" is ours
    why: str = ""  # it could not be asked


@dataclass(frozen=True, kw_only=True)
class CamerasHere:
    devices: tuple[CameraFound, ...]
    rtsp: str  # why network cameras cannot be read with the sender's time; "" if they can
    pipelines: str  # and GStreamer's with their own


def cameras_here(dev: Path = Path("/dev")) -> CamerasHere:
    paths = sorted(dev.glob("video*"), key=lambda path: (len(path.name), path.name))
    devices = tuple(found for path in paths if (found := _found(path, dev)) is not None)
    return CamerasHere(devices=devices, rtsp=_lacks(pyav), pipelines=_lacks(gstreamer))


def camera_lines(here: CamerasHere) -> Iterator[str]:
    """For people."""
    if not here.devices:
        yield "no camera: no /dev/video* captures pictures"
    for found in here.devices:
        yield f"{found.path}  {found.name}" + (f"  {found.lasting}" if found.lasting else "")
        if found.why:
            yield f"  cannot be asked: {found.why}"
            continue
        yield f"  clock: {found.clock}" + ("" if found.clock == "monotonic" else ": frames may have the arrival's time")
        for sizes in dict.fromkeys(form.sizes for form in found.formats):
            letters = [form.letters for form in found.formats if form.sizes == sizes]
            yield f"  {_few(', ', letters)}: {_few('; ', [_size(*size) for size in sizes])}"
        if found.formats and all(form.letters in RAW for form in found.formats):
            yield "  raw pictures of a sensor: on a Jetson read it as gst:nvarguscamerasrc ! ..., docs/device.md"
    yield f"rtsp:// with the sender's time: {here.rtsp or 'can be read'}"
    yield f"GStreamer pipelines with their time: {here.pipelines or 'can be read'}"


def _size(width: int, height: int, rates_hz: tuple[float, ...]) -> str:
    return f"{width}x{height} at {', '.join(f'{rate:g}' for rate in rates_hz) or 'a rate that is not told,'} Hz"


def _few(between: str, words: list[str]) -> str:
    return between.join(words[:MOST]) + (f" and {len(words) - MOST} more" if words[MOST:] else "")


def _found(path: Path, dev: Path) -> CameraFound | None:
    import fcntl

    links = (dev / "v4l" / "by-path").glob("*")
    lasting = next((str(link) for link in sorted(links) if link.resolve() == path.resolve()), "")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return CameraFound(path=str(path), lasting=lasting, name="", formats=(), clock="", why=f"{error.strerror}")

    def ask(number: int, record: bytearray) -> bool:
        try:
            fcntl.ioctl(descriptor, number, record)
        except OSError:
            return False
        return True

    try:
        return described(ask, str(path), lasting)
    finally:
        os.close(descriptor)


def described(ask: Ask, path: str, lasting: str = "") -> CameraFound | None:
    """None if it captures no pictures: cameras have devices for what describes pictures too."""
    about = bytearray(104)
    if not ask(QUERYCAP, about):
        return None
    capabilities, own = struct.unpack_from("<II", about, 84)
    if not (own if capabilities & 1 << 31 else capabilities) & CAPTURE:
        return None
    name = bytes(about[16:48]).split(b"\0")[0].decode(errors="replace")
    return CameraFound(path=path, lasting=lasting, name=name, formats=tuple(_formats(ask)), clock=_clock(ask))


def _formats(ask: Ask) -> Iterator[PixelFormat]:
    for record in _each(ask, ENUM_FMT, 64, "<II", CAPTURE):
        letters = bytes(record[44:48])
        named = bytes(letter & 0x7F for letter in letters).decode().strip()  # the last bit is the order of bytes
        yield PixelFormat(letters=named, sizes=tuple(_sizes(ask, letters)))


def _sizes(ask: Ask, letters: bytes) -> Iterator[tuple[int, int, tuple[float, ...]]]:
    """Each size of a device with a list of them; of one that takes any size the largest."""
    for record in _each(ask, SIZES, 44, "<I4s", letters):
        kind, width, height_or_most, _, _, most_height = struct.unpack_from("<6I", record, 8)
        size = (width, height_or_most) if kind == DISCRETE else (height_or_most, most_height)
        yield *size, tuple(_rates_hz(ask, letters, size))
        if kind != DISCRETE:
            return


def _rates_hz(ask: Ask, letters: bytes, size_px: tuple[int, int]) -> Iterator[float]:
    """Each rate of a list, or the highest of those between two."""
    for record in _each(ask, INTERVALS, 52, "<I4sII", letters, *size_px):
        kind, above, below = struct.unpack_from("<3I", record, 16)
        yield round(below / above, 2) if above else 0.0
        if kind != DISCRETE:
            return


def _each(ask: Ask, number: int, size: int, layout: str, *of: Any) -> Iterator[bytearray]:
    """Entries of a list of the driver's until it has no more."""
    for index in range(256):
        record = bytearray(size)
        struct.pack_into(layout, record, 0, index, *of)
        if not ask(number, record):
            return
        yield record


def _clock(ask: Ask) -> str:
    """As a buffer that is asked for, and given back without being filled, says."""
    buffers, buffer = bytearray(20), bytearray(88)
    struct.pack_into("<III", buffers, 0, 1, CAPTURE, MMAP)
    if not ask(REQBUFS, buffers):
        return "not told while another program has it"
    struct.pack_into("<II", buffer, 0, 0, CAPTURE)
    struct.pack_into("<I", buffer, 60, MMAP)
    told = ask(QUERYBUF, buffer)
    flags = struct.unpack_from("<I", buffer, 12)[0] & 0xE000
    struct.pack_into("<III", buffers, 0, 0, CAPTURE, MMAP)
    ask(REQBUFS, buffers)
    return CLOCKS.get(flags, "not told") if told else "not told"


def _lacks(package: Callable[[], object]) -> str:
    try:
        package()
    except BackendMissing as error:
        return str(error)
    return ""
