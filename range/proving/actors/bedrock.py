"""Asks Bedrock for models with a maximum of -1 tokens: bedrock.py REGION[,REGION...] MODELS. Signed by botocore."""

import json
import sys

import boto3
import botocore.exceptions

regions, count = sys.argv[1].split(","), int(sys.argv[2])
MODELS = [
    "anthropic.claude-v2",
    "anthropic.claude-v2:1",
    "anthropic.claude-instant-v1",
    "anthropic.claude-3-opus-20240229-v1:0",
    "anthropic.claude-3-sonnet-20240229-v1:0",
    "anthropic.claude-3-5-sonnet-20241022-v2:0",
    "meta.llama3-70b-instruct-v1:0",
    "mistral.mistral-large-2402-v1:0",
    "cohere.command-r-plus-v1:0",
]
for region in regions:
    client = boto3.client("bedrock-runtime", region_name=region)
    for model in MODELS[:count]:
        body = json.dumps({"prompt": "\n\nHuman:\n\nAssistant:", "max_tokens_to_sample": -1})
        try:
            client.invoke_model(modelId=model, body=body)
        except botocore.exceptions.ClientError as error:
            print(model, error.response["Error"]["Code"])
