"""`huggingface_hub`'s InferenceClient: chat completion through the router."""

from _common import Truth, arguments, check, marker, prompt

options = arguments("hf_inference")

from huggingface_hub import InferenceClient  # noqa: E402

truth = Truth(options)
client = InferenceClient(base_url="https://router.huggingface.co/v1")
for counter in range(options.n):
    mark = marker(options, 0, counter)
    messages = [{"role": "user", "content": prompt(mark)}]
    request = {"model": options.model or "meta-llama/Llama-3.3-70B-Instruct", "messages": messages}
    with truth.exchange("openai.chat", 0, counter, mark, request) as record:
        answer = client.chat.completions.create(**request, stream=options.stream)
        if options.stream:
            for chunk in answer:
                record["text"] += chunk.choices[0].delta.content or "" if chunk.choices else ""
        else:
            record["text"] = answer.choices[0].message.content
            used = answer.usage
            record["usage"] = {"prompt_tokens": used.prompt_tokens, "completion_tokens": used.completion_tokens}
    check(mark, record)
