"""Google's gRPC client of the Gemini API (google-ai-generativelanguage on grpcio, BoringSSL), with a server on loopback."""

import subprocess
import sys
import tempfile
from pathlib import Path

from _common import Truth, arguments, check, marker, prompt

options = arguments("grpc_gemini")

import grpc  # noqa: E402
from google.ai import generativelanguage_v1beta as gl  # noqa: E402
from google.ai.generativelanguage_v1beta.services.generative_service.transports import (  # noqa: E402
    GenerativeServiceGrpcTransport,
)

truth = Truth(options)
with tempfile.TemporaryDirectory() as folder:
    key, cert = Path(folder) / "k.pem", Path(folder) / "c.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,DNS:generativelanguage.googleapis.com"]
    subprocess.run([*made, *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    server = [sys.executable, str(Path(__file__).with_name("_grpc_server.py")), str(cert), str(key)]
    process = subprocess.Popen(server, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        credentials = grpc.ssl_channel_credentials(root_certificates=cert.read_bytes())
        name = (("grpc.ssl_target_name_override", "generativelanguage.googleapis.com"),)
        channel = grpc.secure_channel(f"localhost:{port}", credentials, options=name)
        client = gl.GenerativeServiceClient(transport=GenerativeServiceGrpcTransport(channel=channel))
        for counter in range(options.n):
            mark = marker(options, 0, counter)
            request = {"model": options.model or "models/gemini-2.5-flash", "prompt": prompt(mark)}
            asked = gl.GenerateContentRequest(
                model=request["model"], contents=[gl.Content(role="user", parts=[gl.Part(text=request["prompt"])])]
            )
            with truth.exchange("gemini.generate", 0, counter, mark, request) as record:
                answers = client.stream_generate_content(asked) if options.stream else [client.generate_content(asked)]
                for answer in answers:
                    record["text"] += answer.candidates[0].content.parts[0].text
                    used = answer.usage_metadata
                record["usage"] = {
                    "input_tokens": used.prompt_token_count,
                    "output_tokens": used.candidates_token_count,
                }
            check(mark, record)
        channel.close()
    finally:
        process.terminate()
        process.wait(10)
