"""Which detectors there are."""

from __future__ import annotations

from leeward.ai.catalogue import Catalogue
from leeward.detect.baseline.detector import BaselineDetector
from leeward.detect.detector import Detection, Detector


def detection(catalogue: Catalogue) -> Detection:
    """All of them, new. catalogue: of AI services, asked whose a host or a key is."""
    detectors: list[Detector] = [BaselineDetector()]
    return Detection(detectors)
