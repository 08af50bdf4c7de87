"""The explicit proxy, for hosts where BPF is not to be had: the same stages and the same policies (DESIGN §4, rung 4)."""
