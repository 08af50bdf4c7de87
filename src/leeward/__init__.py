"""Leeward: runtime security for AI workloads on Linux."""

__version__ = "0.1.0"
