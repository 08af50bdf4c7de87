"""API keys of the right form, made at run time: they open nothing, but look like what they stand for.

Forms: gitleaks' published rules (MIT) for OpenAI, Anthropic, Google and Groq keys.
"""

from __future__ import annotations

import secrets
import string

_WORD = string.ascii_letters + string.digits


def _letters(count: int, alphabet: str = _WORD) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(count))


def environment() -> dict[str, str]:
    """A fresh key for each vendor, under the variable that its SDK reads."""
    return {
        "OPENAI_API_KEY": f"sk-proj-{_letters(74)}T3BlbkFJ{_letters(74)}",
        "ANTHROPIC_API_KEY": f"sk-ant-api03-{_letters(93, _WORD + '-_')}AA",
        "GROQ_API_KEY": f"gsk_{_letters(52)}",
        "MISTRAL_API_KEY": _letters(32),
        "CO_API_KEY": _letters(40),
        "HF_TOKEN": f"hf_{_letters(34)}",
        "AWS_ACCESS_KEY_ID": f"AKIA{_letters(16, string.ascii_uppercase + '234567')}",
        "AWS_SECRET_ACCESS_KEY": _letters(40),
        "GEMINI_API_KEY": f"AIza{_letters(35, _WORD + '-_')}",
    }
