"""`python -m codriver` is `codriver`."""

import sys

from codriver.cli import main

sys.exit(main())
