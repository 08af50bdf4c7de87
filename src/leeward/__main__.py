"""`python -m leeward`."""

from leeward.cli.main import main

main()
