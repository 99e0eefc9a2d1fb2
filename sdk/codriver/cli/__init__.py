"""One module per command: `add(commands)` declares its arguments, `run(args)` returns the exit code."""

from codriver.cli.main import main as main
