"""What every command of the workshop needs before its first import: training, quantize and targets ask for it."""

import sys

from codriver.console import say
from codriver.device.imports import numpy
from codriver.errors import BackendMissing


def need_numpy(package: str) -> None:
    """End `python -m package...` with one line and code 2 if NumPy is missing or broken; else raise a BackendMissing.

    Python imports a command's package before the command, and its own imports would end in NumPy's traceback.
    """
    try:
        numpy()
    except BackendMissing as error:
        if sys.argv[0] != "-m":  # which it is until the command itself is found
            raise
        say(f"{package}: {error}")
        sys.exit(2)
