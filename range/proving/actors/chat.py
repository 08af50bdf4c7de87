"""Asks an OpenAI-compatible API with the official SDK: chat.py MODEL[,MODEL...] PERIOD COUNT [WORDS] [MAX_TOKENS]. The key and
the base URL are the SDK's usual variables. Errors are counted, not fatal."""

import sys
import time

import openai

TEXT = "please read what the customer wrote about an order that came late and say in two lines how we should answer it"
WORDS = TEXT.split(" ")
models, period, count = sys.argv[1].split(","), float(sys.argv[2]), int(sys.argv[3])
words = int(sys.argv[4]) if len(sys.argv) > 4 else 60
most = int(sys.argv[5]) if len(sys.argv) > 5 else 256
client = openai.OpenAI(max_retries=0, timeout=10)
due = time.monotonic()
errors = 0
for number in range(count):
    text = f"Question {number}: " + " ".join(WORDS[(number * 7 + n) % len(WORDS)] for n in range(words))
    try:
        client.chat.completions.create(
            model=models[number % len(models)], messages=[{"role": "user", "content": text}], max_tokens=most
        )
    except openai.APIError:
        errors += 1
    due += period
    time.sleep(max(0.0, due - time.monotonic()))
print(f"{count} asked, {errors} errors")
