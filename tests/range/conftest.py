"""The proving ground is not part of the product's package: its directory is put on the path here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "range"))
