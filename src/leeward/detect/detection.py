"""Which detectors there are."""

from __future__ import annotations

from leeward.ai.catalogue import Catalogue
from leeward.detect.agent_commands import AgentCommands
from leeward.detect.agent_config import AgentConfig
from leeward.detect.ai_destination import NewAiDestination
from leeward.detect.ai_keys import AiKeys
from leeward.detect.api_access import ApiAccess
from leeward.detect.blind import BlindSpot
from leeward.detect.credentials import Credentials
from leeward.detect.detector import Detection, Detector
from leeward.detect.escalation import Escalation
from leeward.detect.escape import Escape
from leeward.detect.extraction import ModelExtraction
from leeward.detect.fileless import Fileless
from leeward.detect.injection import Injection
from leeward.detect.llmjacking import Llmjacking
from leeward.detect.model_server import ModelServer
from leeward.detect.model_server_auth import ModelServerAuth
from leeward.detect.reverse_shell import ReverseShell
from leeward.detect.tokens import TokenSpike


def detection(catalogue: Catalogue) -> Detection:
    """All of them, new. catalogue: of AI services, asked whose a host or a key is."""
    detectors: list[Detector] = [
        NewAiDestination(),
        AiKeys(catalogue),
        TokenSpike(),
        Llmjacking(),
        ModelServerAuth(),
        ModelExtraction(),
        ApiAccess(),
        BlindSpot(),
        ReverseShell(),
        Escalation(),
        Escape(),
        ModelServer(),
        Credentials(),
        Fileless(),
        Injection(),
        AgentConfig(),
        AgentCommands(),
    ]
    return Detection(detectors)
