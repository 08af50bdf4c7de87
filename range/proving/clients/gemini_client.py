"""`google-genai` against the Gemini API over REST."""

from _common import Truth, arguments, check, marker, prompt

options = arguments("gemini_client")

from google import genai  # noqa: E402

truth = Truth(options)
client = genai.Client()
model = options.model or "gemini-2.5-flash"
for counter in range(options.n):
    mark = marker(options, 0, counter)
    request = {"model": model, "prompt": prompt(mark)}
    with truth.exchange("gemini.generate", 0, counter, mark, request) as record:
        if options.stream:
            for chunk in client.models.generate_content_stream(model=model, contents=request["prompt"]):
                record["text"] += chunk.text or ""
                used = chunk.usage_metadata
        else:
            answer = client.models.generate_content(model=model, contents=request["prompt"])
            record["text"], used = answer.text, answer.usage_metadata
        record["usage"] = {"input_tokens": used.prompt_token_count, "output_tokens": used.candidates_token_count}
    check(mark, record)
