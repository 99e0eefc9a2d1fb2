"""Import a package that may be missing, or there and broken, and say which of the two it is, in one line."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr
from importlib import import_module
from typing import Any

from codriver.errors import BackendMissing

NO_OPENCV = "OpenCV is not installed: pip install opencv-python-headless"
OTHER_NUMPY = re.compile(r"numpy\.(_?core|dtype)|_ARRAY_API|NumPy|binary incompatib", re.IGNORECASE)
WINDOWS = re.compile(r"lib(GL|SM|ICE|Xext|Xrender|gthread|glib|Qt)")  # of a desktop
LIBRARY = re.compile(r"(\S+\.so\S*): cannot open shared object file")


def load(module: str, missing: str, part: str = "") -> Any:
    """The module. A BackendMissing says that it is not there, in the words of `missing`, or why it cannot be imported.

    part: a name that a whole one has. What is left of a package after half of it was uninstalled can be imported.
    """
    package = module.partition(".")[0]
    try:
        with redirect_stderr(io.StringIO()):  # a page of NumPy's, of a module that was built for another one
            found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise BackendMissing(missing) from error
        raise _broken(package, str(error)) from error
    except Exception as error:  # what a broken extension raises is not always an ImportError
        raise _broken(package, f"{error}" or type(error).__name__) from error
    if part and not hasattr(found, part):
        raise _broken(package, f"it has no {part}: a part of it is left of what was uninstalled")
    return found


def numpy() -> Any:
    """Ask for it before anything of codriver's that imports it: that would end in a traceback."""
    return load("numpy", "NumPy is not installed: pip install numpy", "ndarray")


def opencv() -> Any:
    """Ask for it before the work: everything that touches a picture imports it."""
    return load("cv2", NO_OPENCV, "resize")


def _broken(package: str, why: str) -> BackendMissing:
    said = " ".join(why.split())
    return BackendMissing(f"{package} is installed, and importing it fails: {said}; {way_out(package, said)}")


def way_out(package: str, why: str) -> str:
    """What to do about a package that cannot be imported."""
    library = LIBRARY.search(why)
    if package == "cv2" and library and WINDOWS.match(library[1]):
        return "pip uninstall opencv-python opencv-contrib-python, then pip install opencv-python-headless: no windows"
    if library:
        return f"install {library[1]}, or the {package} that is built for this machine"
    wants = "'opencv-python-headless>=4.10.0.84'" if package == "cv2" else package
    if OTHER_NUMPY.search(why):
        return f"it was built for another NumPy: pip install --upgrade {wants}, or 'numpy<2' for an old one"
    return f"pip install --force-reinstall {wants}"
