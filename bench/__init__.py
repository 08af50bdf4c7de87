"""Benchmarks: what Leeward costs, beside others. `make bench` prints a ratio each; nothing here decides a test."""
