"""Benchmarks' own files, written from footage: `picture` writes one picture's, `lists` what is written at the end."""
