"""Benchmarks: this tool beside its peers, on the same bytes and server, in one run. README.md says how to read them."""
