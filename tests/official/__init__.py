"""Our metrics beside the benchmarks' official tools, on the same files: `python -m tests.official --help`."""
