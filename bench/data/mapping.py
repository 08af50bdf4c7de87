"""What the tools' own labels mean in Leeward's kinds, and which kinds count as the same answer.

A match may mean several kinds (`LOCATION` is a place or an address): it is right if one of them is gold, and if it is wrong
it counts against the first. A label that is missing here means nothing that is judged. Nothing is held against a tool for a
kind that it does not know.
"""

from __future__ import annotations

import re

# presidio-analyzer 2.2.366's entities. Vehicle plates, tax numbers of companies, URLs, UUIDs and dates are none of our kinds.
PRESIDIO: dict[str, tuple[str, ...]] = {
    "PERSON": ("pii.person",),
    "ORGANIZATION": ("pii.organisation",),
    "LOCATION": ("pii.location", "pii.address"),
    "EMAIL_ADDRESS": ("pii.email",),
    "PHONE_NUMBER": ("pii.phone",),
    "IP_ADDRESS": ("pii.ip",),
    "MAC_ADDRESS": ("pii.mac",),
    "CREDIT_CARD": ("financial.card",),
    "IBAN_CODE": ("financial.iban",),
    "US_BANK_NUMBER": ("financial.account",),
    "ABA_ROUTING_NUMBER": ("financial.account",),
    "US_HEALTH_INSURANCE_MEMBER_ID": ("health.record_number",),
    "UK_NHS": ("pii.national_id.gb", "health.record_number"),
    "US_MBI": ("pii.national_id.us", "health.record_number"),
    "ZA_MOBILE_NUMBER": ("pii.phone",),
    "ZA_TELEPHONE_NUMBER": ("pii.phone",),
}
_NATIONAL = {
    "us": "US_SSN US_ITIN",
    "gb": "UK_NINO",
    "ca": "CA_SIN",
    "au": "AU_TFN AU_MEDICARE",
    "in": "IN_AADHAAR IN_PAN IN_VOTER",
    "sg": "SG_NRIC_FIN",
    "za": "ZA_ID_NUMBER ZA_INCOME_TAX_NUMBER",
    "de": "DE_TAX_ID DE_SOCIAL_SECURITY DE_ID_CARD DE_HEALTH_INSURANCE DE_TAX_NUMBER",
    "es": "ES_NIF ES_NIE",
    "it": "IT_FISCAL_CODE IT_IDENTITY_CARD",
    "pl": "PL_PESEL",
    "fi": "FI_PERSONAL_IDENTITY_CODE",
    "kr": "KR_RRN KR_FRN",
    "se": "SE_PERSONNUMMER",
    "th": "TH_TNIN",
    "tr": "TR_NATIONAL_ID",
    "ng": "NG_NIN",
    "ph": "PH_TIN PH_UMID",
}
PRESIDIO |= {
    label: (f"pii.national_id.{country}",) for country, labels in _NATIONAL.items() for label in labels.split()
}
PRESIDIO |= {
    f"{country}_PASSPORT": ("pii.passport",) for country in ["US", "UK", "DE", "ES", "IT", "IN", "KR", "PH", "ZA"]
}
_LICENCES = (
    "US_DRIVER_LICENSE UK_DRIVING_LICENCE DE_FUEHRERSCHEIN IT_DRIVER_LICENSE KR_DRIVER_LICENSE ZA_DRIVER_LICENSE"
)
PRESIDIO |= dict.fromkeys(_LICENCES.split(), ("pii.driver_licence",))
# What the Spanish identity number is also used for there: the driving licence bears it.
PRESIDIO["ES_NIF"] += ("pii.driver_licence",)

# detect-secrets 1.5.0's types; each of them is a secret, whoever issued it. Its "Public IP" is not here: its own default
# filters drop all that has no letter.
DETECT_SECRETS = {
    "AWS Access Key": "secret.aws",
    "Artifactory Credentials": "secret.artifactory",
    "Azure Storage Account access key": "secret.azure",
    "Base64 High Entropy String": "secret.generic",
    "Basic Auth Credentials": "secret.basic_auth",
    "Cloudant Credentials": "secret.ibm",
    "Discord Bot Token": "secret.discord",
    "GitHub Token": "secret.github",
    "GitLab Token": "secret.gitlab",
    "Hex High Entropy String": "secret.generic",
    "IBM Cloud IAM Key": "secret.ibm",
    "IBM COS HMAC Credentials": "secret.ibm",
    "JSON Web Token": "secret.jwt",
    "Mailchimp Access Key": "secret.mailchimp",
    "NPM tokens": "secret.npm",
    "OpenAI Token": "secret.openai",
    "Private Key": "secret.private_key",
    "PyPI Token": "secret.pypi",
    "Secret Keyword": "secret.generic",
    "SendGrid API Key": "secret.sendgrid",
    "Slack Token": "secret.slack",
    "SoftLayer Credentials": "secret.ibm",
    "Square OAuth Secret": "secret.square",
    "Stripe Access Key": "secret.stripe",
    "Telegram Bot Token": "secret.telegram",
    "Twilio API Key": "secret.twilio",
}


def meanings(tool: str, label: str) -> tuple[str, ...]:
    """The kinds that a tool's label may mean; () for none. Leeward's labels are the kinds themselves.

    `presidio` is its default configuration, `presidio-all` with the recognizers whose labels begin with `+` (presidio_tool.py).
    """
    if tool.startswith("leeward"):
        return (label,)
    if tool == "detect-secrets":
        return (DETECT_SECRETS[label],) if label in DETECT_SECRETS else ()
    return PRESIDIO.get(label.removeprefix("+") if tool == "presidio-all" else label, ())


def known(tool: str) -> frozenset[str]:
    """The rows that a tool can have an answer in."""
    if tool == "detect-secrets":
        return frozenset(row(kind) for kind in DETECT_SECRETS.values())
    return frozenset(row(kind) for kinds in PRESIDIO.values() for kind in kinds)


def countries(tool: str) -> frozenset[str]:
    """The countries whose national identifiers presidio knows."""
    return frozenset(_NATIONAL) if tool.startswith("presidio") else frozenset()


def row(kind: str) -> str:
    """The row of the table: all secrets are one, national identifiers of all countries are one."""
    if kind.startswith("secret."):
        return "secret"
    return "pii.national_id" if kind.startswith("pii.national_id.") else kind


# Gold and answer: a place is an address or a location, whoever calls it which; numbers of the NHS and of Medicare are both.
_SAME = frozenset(
    (
        ("pii.address", "pii.location"),
        ("pii.location", "pii.address"),
        ("pii.national_id.gb", "health.record_number"),
        ("pii.national_id.au", "health.record_number"),
    )
)


def accepts(gold: str, predicted: str) -> bool:
    """Whether `predicted` is an answer to a span of kind `gold`. Any secret answers a secret, any country's number a number."""
    return row(gold) == row(predicted) or (gold, predicted) in _SAME


def names(gold: str, predicted: str) -> bool:
    """Whether the answer also says whose it is: the country of a number, the issuer of a secret."""
    if row(gold) == "secret":
        issuer, label = (re.sub(r"[^a-z0-9]", "", kind.removeprefix("secret.").lower()) for kind in (gold, predicted))
        return issuer in label or label in issuer
    return gold == predicted


# Kinds that are true inside a span of another kind: the city in an address, the founder's name in that of a company.
INSIDE = {
    "pii.address": ("pii.location", "pii.address", "pii.person", "pii.organisation"),
    "pii.organisation": ("pii.person", "pii.location", "pii.organisation"),
    "pii.person": ("pii.person",),
}
