"""Clips kept on disk as the network takes them, so that an epoch reads instead of decoding.

    CACHE/<settings>/cache.json                     what decides the pixels: sizes, sampling, code, OpenCV
    CACHE/<settings>/<clip>-<content>.safetensors   one clip: frames, mask, labels

A file's name holds a digest of all that it was made from: change a size, the preprocessing or an annotation, and
another file is looked for. A file appears under its name only when it is whole.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import mmap
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from codriver import resize, tasks
from codriver.errors import ConfigError
from codriver.files.atomic import whole_file
from codriver.frames import preprocess
from codriver.network import memory
from codriver.sources import aide
from training.data import clip_files as records
from training.data import sampling
from training.data.clip_files import ClipRecord
from workshop.artifacts import write_json

Arrays = dict[str, NDArray[Any]]
DTYPES = {"U8": "u1", "F16": "<f2", "F32": "<f4", "I64": "<i8", "BOOL": "?"}  # safetensors' names
LAYOUT = 1  # raised when what a file holds is arranged otherwise
CODE = (preprocess, resize, tasks, memory, aide, records, sampling)  # their text decides pixels and keypoints


def settings(**chosen: Any) -> dict[str, Any]:
    """All that decides what the files hold, besides the clips themselves."""
    return {"layout": LAYOUT, "opencv": cv2.__version__, "code_sha256": _code_digest(CODE), **chosen}


def _code_digest(modules: Sequence[ModuleType]) -> str:
    return hashlib.sha256("".join(inspect.getsource(module) for module in modules).encode()).hexdigest()


def folder_for(cache: Path, chosen: Mapping[str, Any]) -> Path:
    """The folder of these settings, made if need be, with a cache.json that says what they are."""
    digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()
    folder = cache / digest[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "cache.json").is_file():
            write_json(folder / "cache.json", dict(chosen))
    except OSError as error:
        raise ConfigError(f"cache {cache}: {error}; expected a folder that can be written, name another") from error
    return folder


def file_for(folder: Path, record: ClipRecord) -> Path:
    """Where a clip belongs. A frame that was exchanged for one of the same size in bytes goes unnoticed."""
    digest = hashlib.sha256(record.ref.annotation.read_bytes())
    for view, paths in record.paths.items():
        for number in sorted({number for number in record.picked if number in paths}):
            digest.update(f"{view}/{paths[number].name}:{paths[number].stat().st_size}\n".encode())
    return folder / f"{record.ref.id}-{digest.hexdigest()[:16]}.safetensors"


def write(file: Path, arrays: Arrays) -> None:
    """Whole or not at all. A process that is killed may leave a hidden file, which nobody reads."""
    with whole_file(file) as fresh:
        fresh.write_bytes(save({name: np.ascontiguousarray(values) for name, values in arrays.items()}))


def read(file: Path) -> Arrays | None:
    """What `write` was given, not to be written to; None if it is not there or damaged.

    Mapped into memory: a lesson on one moment of a clip reads a fifth of it.
    """
    try:
        with file.open("rb") as opened, safe_open(file, "np"):  # which refuses a damaged one
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except (FileNotFoundError, SafetensorError):
        return None
    length = int.from_bytes(mapped[:8], "little")
    found = json.loads(mapped[8 : 8 + length])
    found.pop("__metadata__", None)
    return {name: _values(mapped, 8 + length, at) for name, at in found.items()}


def _values(mapped: mmap.mmap, start: int, at: Mapping[str, Any]) -> NDArray[Any]:
    """One array. start: of all arrays' bytes. at: what a safetensors header says of it."""
    count, offset = math.prod(at["shape"]), start + at["data_offsets"][0]
    return np.frombuffer(mapped, DTYPES[at["dtype"]], count, offset).reshape(at["shape"])


def check_room(folder: Path, clips: int, bytes_each: int) -> None:
    """Refuse at once what the disk cannot hold."""
    lacking = clips - sum(1 for _ in folder.glob("*.safetensors"))
    free = shutil.disk_usage(folder).free
    if lacking * bytes_each > free:
        need = f"{lacking} clips need {lacking * bytes_each / 1e9:.2f} GB, {free / 1e9:.2f} GB are free"
        raise ConfigError(f"cache {folder.parent}: {need}; free some or name another folder")


def run_all(work: Callable[[int], Any], count: int, progress: Callable[[Any], Any], workers: int) -> list[Any]:
    """work(0), work(1), ... in order; OpenCV decodes outside the interpreter's lock, so threads do.

    After an error or Ctrl-C, what has not begun is not begun."""
    pool = ThreadPoolExecutor(workers)
    try:
        return list(progress(pool.map(work, range(count))))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
