"""`python -m codriver` is `codriver`."""

from codriver.cli.main import command

command()
