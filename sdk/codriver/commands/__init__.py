"""One module per command of `codriver`: `add(commands)` declares its arguments, `run(args)` returns the exit code."""
