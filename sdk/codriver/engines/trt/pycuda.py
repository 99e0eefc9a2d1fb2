"""CUDA through pycuda, for devices that have it and not cuda-python."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from codriver.engines.trt.cuda import Buffer, Gpu, _failed, _no_gpu


class PyCuda:
    """As CudaBindings, on the primary context: `pycuda.autoinit` would make one of its own, apart from TensorRT's."""

    records = False

    def __init__(self) -> None:
        import pycuda.driver as driver

        self._driver = driver
        self._check(driver.init)
        if not self._check(driver.Device.count):
            raise _no_gpu("none is visible")
        self._gpu = self._check(driver.Device, 0)
        self._context = self._check(self._gpu.retain_primary_context)

    def attach(self) -> None:
        self._check(self._context.push)
        if threading.current_thread() is threading.main_thread():
            atexit.register(self._context.pop)  # pycuda aborts a process that ends with a context on its stack

    def gpu(self) -> Gpu:
        major, minor = self._gpu.compute_capability()
        version = self._driver.get_driver_version()
        attribute = self._driver.device_attribute.MULTIPROCESSOR_COUNT
        return Gpu(
            name=self._gpu.name(),
            compute_capability=f"{major}.{minor}",
            multiprocessors=self._gpu.get_attribute(attribute),
            driver=f"{version // 1000}.{version % 1000 // 10}",
        )

    def new_stream(self) -> Any:
        return self._check(self._driver.Stream)

    def handle(self, stream: Any) -> int:
        return int(stream.handle)

    def new_buffer(self, size: int) -> Buffer:
        host = self._check(self._driver.pagelocked_empty, size, np.uint8)
        device = self._check(self._driver.mem_alloc, size)
        return Buffer(host, int(device), device)

    def copy_in(self, buffer: Buffer, stream: Any) -> None:
        self._check(self._driver.memcpy_htod_async, buffer.owner, buffer.host, stream)

    def copy_out(self, buffer: Buffer, stream: Any) -> None:
        self._check(self._driver.memcpy_dtoh_async, buffer.host, buffer.owner, stream)

    def wait(self, stream: Any) -> None:
        self._check(stream.synchronize)

    def begin_recording(self, *_: Any) -> Any:
        raise NotImplementedError("pycuda has no stream capture: records is False")

    end_recording = replay = free_graph = begin_recording

    def free_buffer(self, buffer: Buffer) -> None:
        pinned: Any = buffer.host.base
        self._check(buffer.owner.free)
        self._check(pinned.free)

    def free_stream(self, stream: Any) -> None:
        """It goes with its last reference."""

    def _check(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except self._driver.Error as error:
            if "no device" in str(error) or "no CUDA-capable device" in str(error):
                raise _no_gpu(str(error)) from error
            raise _failed(str(error)) from error
