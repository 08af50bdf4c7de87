"""Coverage-guided fuzzing of every parser: `make fuzz` (an hour in all), `python -m fuzz list|run TARGET`. See `__main__`."""
