"""Numbers and terms of health records. The lists are the bench's own choice of what is common in notes."""

from __future__ import annotations

from random import Random

from bench.data.grammar import render
from bench.data.values import listed

DIAGNOSES = listed("diagnoses")
DRUGS = listed("drugs")
ICD = listed("icd10")  # codes of ICD-10-CM


def record_number(random: Random) -> str:
    return render(
        "([0-9]{7,8}|[0-9]{2}-[0-9]{2}-[0-9]{2}|[0-9]{3}-[0-9]{2}-[0-9]{3}|[A-Z]{1,2}[0-9]{6,8}|[0-9]{6})", random
    )
