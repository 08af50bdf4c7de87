"""Which detectors there are."""

from __future__ import annotations

from collections.abc import Iterable

from leeward.ai.catalogue import Catalogue
from leeward.detect.agent_commands import AgentCommands
from leeward.detect.agent_config import AgentConfig
from leeward.detect.ai_destination import NewAiDestination
from leeward.detect.ai_keys import AiKeys
from leeward.detect.api_access import ApiAccess
from leeward.detect.baseline.detector import BaselineDetector
from leeward.detect.beaconing import Beaconing
from leeward.detect.blind import BlindSpot
from leeward.detect.credentials import Credentials
from leeward.detect.cryptomining import Cryptomining
from leeward.detect.detector import Detection, Detector
from leeward.detect.dns_tunnel import DnsTunnel
from leeward.detect.escalation import Escalation
from leeward.detect.escape import Escape
from leeward.detect.exfiltration import Exfiltration
from leeward.detect.extraction import ModelExtraction
from leeward.detect.fileless import Fileless
from leeward.detect.injection import Injection
from leeward.detect.lateral import Lateral
from leeward.detect.llmjacking import Llmjacking
from leeward.detect.metadata import Metadata
from leeward.detect.model_server import ModelServer
from leeward.detect.model_server_auth import ModelServerAuth
from leeward.detect.reverse_shell import ReverseShell
from leeward.detect.scan import Scan
from leeward.detect.tokens import TokenSpike
from leeward.detect.web_shell import WebShell


def detection(catalogue: Catalogue, more: Iterable[Detector] = ()) -> Detection:
    """All of them, new. catalogue: of AI services, asked whose a host or a key is. more: the user's own, new as well."""
    detectors: list[Detector] = [
        BaselineDetector(),
        NewAiDestination(),
        AiKeys(catalogue),
        TokenSpike(),
        Llmjacking(),
        ModelServerAuth(),
        ModelExtraction(),
        ApiAccess(),
        BlindSpot(),
        Beaconing(catalogue.is_ai_host),
        Exfiltration(catalogue.is_ai_host),
        DnsTunnel(catalogue.is_ai_host),
        Scan(),
        Lateral(),
        Cryptomining(),
        Metadata(),
        ReverseShell(),
        Escalation(),
        Escape(),
        ModelServer(),
        Credentials(),
        Fileless(),
        Injection(),
        AgentConfig(),
        AgentCommands(),
        WebShell(),
    ]
    return Detection([*detectors, *more])
