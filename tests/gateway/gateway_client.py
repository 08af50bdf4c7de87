"""Real SDKs: gateway_client.py openai|anthropic BASE_URL TEXT [stream]. Prints a line of JSON for each piece or error."""

import json
import sys


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def ask_openai(url: str, text: str, stream: bool) -> None:
    import openai

    client = openai.OpenAI(api_key="sk-test-0123456789", base_url=url, max_retries=0)
    try:
        answer = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": text}], stream=stream
        )
        if not stream:
            say(text=answer.choices[0].message.content)
            return
        for chunk in answer:
            if chunk.choices[0].delta.content:
                say(piece=chunk.choices[0].delta.content)
        say(done=True)
    except openai.APIStatusError as error:
        say(error=type(error).__name__, status=error.status_code, message=error.message, code=error.code)


def ask_anthropic(url: str, text: str) -> None:
    import anthropic

    client = anthropic.Anthropic(api_key="sk-ant-test-0123456789", base_url=url, max_retries=0)
    try:
        answer = client.messages.create(
            model="claude-sonnet-5", max_tokens=9, messages=[{"role": "user", "content": text}]
        )
        say(text=answer.content[0].text)
    except anthropic.APIStatusError as error:
        say(error=type(error).__name__, status=error.status_code, message=str(error.body))


if __name__ == "__main__":
    which, url, text, *more = sys.argv[1:]
    if which == "openai":
        ask_openai(url, text, bool(more))
    else:
        ask_anthropic(url, text)
