"""What is normal for each workload, learned as it runs: rule baseline-deviation.

    activity ─► features (what is done, as words) ─► profile of the workload ─► surprise (bits) ─► deviations of ten minutes ─►
    Finding

Knowledge counts in *periods* of ten minutes in which the workload was active, not in events: a thousand connections to one place
in a minute say no more than one. No library for streaming statistics is used: river 0.26 brings 231 MB (numpy, scipy), 200 bytes
an object, and forgets by events, not by time; what is needed of it is the sixty lines in season.py and table.py.
"""
