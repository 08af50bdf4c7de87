"""The tools that are measured, each a program of its own that reads texts and writes what it found (`worker.py`)."""
