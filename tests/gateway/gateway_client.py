"""Real SDKs: gateway_client.py openai|anthropic|gcp.gemini|aws.bedrock|ollama BASE_URL TEXT [stream]. Prints a line of JSON for
each piece or error."""

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


def ask_gemini(url: str, text: str) -> None:
    from google import genai
    from google.genai import errors, types

    client = genai.Client(api_key="test", http_options=types.HttpOptions(base_url=url))
    try:
        say(text=client.models.generate_content(model="gemini-2.5-pro", contents=text).text)
    except errors.ClientError as error:
        say(error=error.status, status=error.code, message=error.message)


def ask_bedrock(url: str, text: str) -> None:
    import boto3
    from botocore.exceptions import ClientError

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
    client = boto3.client("bedrock-runtime", endpoint_url=url, **keys)
    try:
        answer = client.converse(modelId="a.b", messages=[{"role": "user", "content": [{"text": text}]}])
        say(text=answer["output"]["message"]["content"][0]["text"])
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        say(error=error.response["Error"]["Code"], status=status, message=error.response["Error"]["Message"])


def ask_ollama(url: str, text: str) -> None:
    import ollama

    try:
        answer = ollama.Client(host=url).chat(model="llama3", messages=[{"role": "user", "content": text}])
        say(text=answer.message.content)
    except ollama.ResponseError as error:
        say(error=type(error).__name__, status=error.status_code, message=error.error)


OTHERS = {"anthropic": ask_anthropic, "gcp.gemini": ask_gemini, "aws.bedrock": ask_bedrock, "ollama": ask_ollama}

if __name__ == "__main__":
    which, url, text, *more = sys.argv[1:]
    if which == "openai":
        ask_openai(url, text, bool(more))
    else:
        OTHERS[which](url, text)
