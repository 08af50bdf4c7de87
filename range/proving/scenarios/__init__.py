"""The scenarios, a module for each kind of behaviour; every module declares its own (see range/README.md)."""
