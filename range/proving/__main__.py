"""`python -m proving`: see `proving.run`."""

import sys

from proving.run import main

sys.exit(main(sys.argv[1:]))
