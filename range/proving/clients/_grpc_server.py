"""The Gemini API's GenerativeService over gRPC and TLS on loopback: CERT KEY; prints its port."""

import sys
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

cert, key = (Path(name).read_bytes() for name in sys.argv[1:3])


def _answer(text: str, last: bool, asked: str) -> GenerateContentResponse:
    usage = GenerateContentResponse.UsageMetadata(prompt_token_count=len(asked), candidates_token_count=7)
    candidate = Candidate(content=Content(role="model", parts=[Part(text=text)]), index=0)
    if last:
        candidate.finish_reason = Candidate.FinishReason.STOP
    return GenerateContentResponse(candidates=[candidate], usage_metadata=usage if last else None)


def whole(request: GenerateContentRequest, _context: grpc.ServicerContext) -> GenerateContentResponse:
    asked = request.contents[-1].parts[0].text
    return _answer(f"{asked} ← naïve ✓ {asked[::-1]}", True, asked)


def stream(request: GenerateContentRequest, _context: grpc.ServicerContext):
    asked = request.contents[-1].parts[0].text
    text = f"{asked} ← naïve ✓ {asked[::-1]}"
    for at in range(0, len(text), 40):
        yield _answer(text[at : at + 40], at + 40 >= len(text), asked)


forms = {
    "request_deserializer": GenerateContentRequest.deserialize,
    "response_serializer": GenerateContentResponse.serialize,
}
handlers = {
    "GenerateContent": grpc.unary_unary_rpc_method_handler(whole, **forms),
    "StreamGenerateContent": grpc.unary_stream_rpc_method_handler(stream, **forms),
}
server = grpc.server(futures.ThreadPoolExecutor(4))
service = "google.ai.generativelanguage.v1beta.GenerativeService"
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, cert)]))
server.start()
print(port, flush=True)
server.wait_for_termination()
