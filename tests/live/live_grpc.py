"""Google's gRPC API of Gemini (grpcio, BoringSSL): live_grpc.py serve CERTIFICATE KEY | call PORT CERTIFICATE COUNT.

The server prints its port, and on end of its standard input a JSON object: bodies: a request's number → its text. The client
waits for a line and prints what live_mixed.py does.
"""

import json
import sys
import time
from concurrent import futures
from pathlib import Path

import grpc
from google.ai.generativelanguage_v1beta.types import (
    Candidate,
    Content,
    GenerateContentRequest,
    GenerateContentResponse,
    Part,
)
from live_mixed import KINDS, body

SERVICE = "google.ai.generativelanguage.v1beta.GenerativeService"


def serve(certificate: str, key: str) -> None:
    bodies: dict[str, str] = {}

    def generate(request: GenerateContentRequest, context: grpc.ServicerContext) -> GenerateContentResponse:
        number = dict(context.invocation_metadata())["x-number"]
        bodies[number] = request.contents[0].parts[0].text
        return GenerateContentResponse(candidates=[Candidate(content=Content(role="model", parts=[Part(text="ok")]))])

    server = grpc.server(futures.ThreadPoolExecutor(4))
    forms = (GenerateContentRequest.deserialize, GenerateContentResponse.serialize)
    handlers = {"GenerateContent": grpc.unary_unary_rpc_method_handler(generate, *forms)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    pair = (Path(key).read_bytes(), Path(certificate).read_bytes())
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([pair]))
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    print(json.dumps({"bodies": bodies}), flush=True)
    server.stop(None)


def call(port: str, certificate: str, count: str) -> None:
    credentials = grpc.ssl_channel_credentials(Path(certificate).read_bytes())
    done: dict[str, list] = {}
    sys.stdin.readline()
    for number in range(int(count)):
        kind = KINDS[number % 3]
        began = time.monotonic()
        part = Part(text=body(kind)["messages"][0]["content"])
        request = GenerateContentRequest(model="models/gemini-2.5-flash", contents=[Content(role="user", parts=[part])])
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            generate = channel.unary_unary(
                f"/{SERVICE}/GenerateContent", GenerateContentRequest.serialize, GenerateContentResponse.deserialize
            )
            try:
                answer = generate(request, timeout=10, metadata=(("x-number", str(number)),))
                result: object = 200 if answer.candidates[0].content.parts[0].text == "ok" else 0
            except grpc.RpcError as error:
                result = error.code().name
        done[str(number)] = [kind, result, (time.monotonic() - began) * 1000]
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
