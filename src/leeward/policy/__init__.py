"""What may be done with AI, by whom: policy files, their conditions, and what follows from them. No I/O but reading its files."""
