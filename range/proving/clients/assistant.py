"""A service of a shop. It has orders summarised by the provider that was agreed on; since version 2 a model of another provider
helps with customers' questions, and gets their records for it. One line of truth a call: which, whether it worked, what it said,
how long.
"""

import json
import os
import time

import _common

options = _common.arguments("assistant", version=1, rounds=10)

import openai  # noqa: E402

RECORD = (
    "Customer Erika Musterfrau, born 12.08.1964, erika.musterfrau@example.com, +49 30 901820, IBAN DE89 3704 0044 0532 0130 00, "
    "card 4111 1111 1111 1111. She asks where her parcel is."
)


def main() -> None:
    agreed = openai.OpenAI(max_retries=0, timeout=10)
    assist = openai.OpenAI(
        base_url="https://api.mistral.ai/v1", api_key=os.environ["MISTRAL_API_KEY"], max_retries=0, timeout=10
    )
    with open(options.truth, "a", encoding="utf-8") as truth:

        def call(name: str, client: openai.OpenAI, model: str, text: str) -> None:
            began, error, answer = time.monotonic(), "", ""
            try:
                done = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
                answer = done.choices[0].message.content or ""
            except openai.OpenAIError as wrong:
                error = type(wrong).__name__
            ms = (time.monotonic() - began) * 1000
            truth.write(json.dumps({"call": name, "error": error, "answer": answer, "ms": ms}) + "\n")
            truth.flush()

        for number in range(options.rounds):
            call("sanctioned", agreed, "gpt-4o", f"Summarise order {1000 + number}: two lamps, one shade, paid.")
            if options.version >= 2:
                call("assist", assist, "mistral-large-latest", f"Help with this: {RECORD}")
            time.sleep(options.pause)


main()
