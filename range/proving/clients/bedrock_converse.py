"""boto3's `bedrock-runtime`: converse, and converse_stream (AWS event stream), signed with SigV4."""

import json

from _common import WEATHER, Truth, arguments, check, marker, prompt

options = arguments("bedrock_converse", ("plain", "tools"))

import boto3  # noqa: E402

truth = Truth(options)
client = boto3.client("bedrock-runtime", region_name="us-east-1")
model = options.model or "anthropic.claude-sonnet-4-20250514-v1:0"
spec = {"name": WEATHER["name"], "description": WEATHER["description"], "inputSchema": {"json": WEATHER["parameters"]}}
for counter in range(options.n):
    mark = marker(options, 0, counter)
    messages = [{"role": "user", "content": [{"text": prompt(mark)}]}]
    asked = {"modelId": model, "messages": messages, "inferenceConfig": {"maxTokens": 4096}}
    if options.mode == "tools":
        asked["toolConfig"] = {"tools": [{"toolSpec": spec}]}
    request = {"model": model, "messages": [{"role": "user", "content": prompt(mark)}]}
    with truth.exchange("bedrock.converse", 0, counter, mark, request) as record:
        if not options.stream:
            answer = client.converse(**asked)
            for block in answer["output"]["message"]["content"]:
                record["text"] += block.get("text", "")
                if call := block.get("toolUse"):
                    record["tool_calls"].append({"name": call["name"], "arguments": json.dumps(call["input"])})
            record["finish"], usage = [answer["stopReason"]], answer["usage"]
        else:
            usage = {}
            for event in client.converse_stream(**asked)["stream"]:
                delta = event.get("contentBlockDelta", {}).get("delta", {})
                record["text"] += delta.get("text", "")
                if start := event.get("contentBlockStart", {}).get("start", {}).get("toolUse"):
                    record["tool_calls"].append({"name": start["name"], "arguments": ""})
                if "toolUse" in delta:
                    record["tool_calls"][-1]["arguments"] += delta["toolUse"]["input"]
                if "messageStop" in event:
                    record["finish"] = [event["messageStop"]["stopReason"]]
                usage = event.get("metadata", {}).get("usage", usage)
        record["usage"] = {"input_tokens": usage["inputTokens"], "output_tokens": usage["outputTokens"]}
    check(mark, record)
