"""Human parts of PASCAL-Part: human_parts/NAME.mat, and the lists in ImageSets/Parts.

    anno.objects[].class, .class_ind, .mask, .parts[].part_name, .mask      masks are the picture's size
    ImageSets/Parts/{train,val}.txt     JSON in spite of its name: picture -> class_ind of each object, -1: too small

Sources: PASCAL-Part's README; facebookresearch/astmt, fblib/dataloaders/pascal_context.py, which merges parts into six.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from training.dense.benchmarks.files import json_file, matlab, of_size
from training.dense.geometry import IGNORE

PERSON = 15  # class_ind
TOO_SMALL = -1
HEAD = ("hair", "head", "lear", "lebrow", "leye", "mouth", "nose", "rear", "rebrow", "reye")
PART_OF = {  # part_name -> class of the task
    **dict.fromkeys(HEAD, 1),
    **dict.fromkeys(("neck", "torso"), 2),
    **dict.fromkeys(("luarm", "ruarm"), 3),
    **dict.fromkeys(("lhand", "llarm", "rhand", "rlarm"), 4),
    **dict.fromkeys(("luleg", "ruleg"), 5),
    **dict.fromkeys(("lfoot", "llleg", "rfoot", "rlleg"), 6),
}


def part_list(path: Path) -> dict[str, list[int]] | None:
    """What the list of one split says of each picture; None if there is no list, which public code writes by itself."""
    if not path.is_file():
        return None
    found = json_file(path)
    if not (isinstance(found, dict) and all(isinstance(some, list) for some in found.values())):
        raise SourceError(f"{path}: expected JSON of lists of class numbers by picture; remove it to do without")
    return found


def human_parts(path: Path, size: tuple[int, ...], listed: list[int] | None) -> NDArray[np.uint8]:
    """(h, w): 0 background, 1 to 6 parts; later persons over earlier ones. IGNORE throughout if no person has parts.

    listed: what the list says of this picture's objects; a picture in whose list no person stands has no parts.
    """
    objects = _objects(path)
    classes = [int(np.squeeze(some["class_ind"])) for some in objects]
    if listed is not None and not _agree(listed, classes):
        raise SourceError(f"{path}: holds objects of classes {classes}, but the list of parts says {listed}")
    target = np.zeros(size, dtype=np.uint8)
    if listed is None or PERSON in listed:
        for one, number in zip(objects, classes, strict=True):
            for part in one["parts"].ravel() if number == PERSON else ():
                name = str(np.squeeze(part["part_name"]))
                if name not in PART_OF:
                    raise SourceError(f"{path}: a person's part {name!r}, expected one of {', '.join(PART_OF)}")
                target[of_size(part["mask"], size, path) > 0] = PART_OF[name]
    return target if target.any() else np.full(size, IGNORE, dtype=np.uint8)


def _objects(path: Path) -> list[Any]:
    try:
        objects = list(matlab(path, "anno")[0, 0]["objects"].ravel())
        for one in objects:
            if missing := {"class_ind", "parts"}.difference(one.dtype.names):
                raise KeyError(f"an object without {', '.join(sorted(missing))}")
            if one["parts"].size and (missing := {"part_name", "mask"}.difference(one["parts"].dtype.names or ())):
                raise KeyError(f"a part without {', '.join(sorted(missing))}")
    except (IndexError, ValueError, KeyError, TypeError) as error:
        expected = "anno.objects[] with class_ind, mask and parts[] of part_name and mask"
        raise SourceError(f"{path}: {error}; expected {expected}") from error
    return objects


def _agree(listed: list[int], classes: list[int]) -> bool:
    return len(listed) == len(classes) and all(a in (b, TOO_SMALL) for a, b in zip(listed, classes, strict=True))
