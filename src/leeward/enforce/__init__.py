"""What is done about it: held writes and their verdicts, sockets destroyed, connections refused (DESIGN §4)."""
