"""Detection: exchanges, flows and system events in; findings out. One file a threat; what it knows is a data file in rules/."""
