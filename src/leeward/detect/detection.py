"""Which detectors there are."""

from __future__ import annotations

from leeward.ai.catalogue import Catalogue
from leeward.detect.beaconing import Beaconing
from leeward.detect.cryptomining import Cryptomining
from leeward.detect.detector import Detection, Detector
from leeward.detect.dns_tunnel import DnsTunnel
from leeward.detect.exfiltration import Exfiltration
from leeward.detect.lateral import Lateral
from leeward.detect.metadata import Metadata
from leeward.detect.scan import Scan


def detection(catalogue: Catalogue) -> Detection:
    """All of them, new. catalogue: of AI services, asked whose a host or a key is."""
    detectors: list[Detector] = [
        Beaconing(catalogue.is_ai_host),
        Exfiltration(catalogue.is_ai_host),
        DnsTunnel(catalogue.is_ai_host),
        Scan(),
        Lateral(),
        Cryptomining(),
        Metadata(),
    ]
    return Detection(detectors)
