"""Sends documents to be embedded, with the official SDK: embed.py REQUESTS BYTES_EACH."""

import sys

import openai

client = openai.OpenAI(max_retries=0, timeout=20)
for number in range(int(sys.argv[1])):
    text = f"Document {number}. " + "The quick brown fox jumps over the lazy dog. " * (int(sys.argv[2]) // 45)
    step = len(text) // 16
    parts = [text[at : at + step] for at in range(0, len(text), step)]
    client.embeddings.create(model="text-embedding-3-small", input=parts)
