"""`python -m codriver` is `codriver`."""

import sys

from codriver.cli.main import main

sys.exit(main())
