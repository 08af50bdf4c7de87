"""A model server's API without a model, without credentials: modelserver.py ollama|openai|ray|langflow ADDRESS PORT. Words that
follow are ignored, so that it may be started with a command line like the real one's.

ray: POST /api/jobs/ runs the entrypoint, as Ray's job API does. langflow: POST /api/v1/validate/code executes the function
definitions' decorators, as Langflow did before 1.3.0 (CVE-2025-3248): here, the first @decorator's text is executed."""

import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
NAMES = [f"model-{n}:7b" for n in range(3)] + ["llama3.1:8b", "qwen2.5:7b"]


def usage(body, text):
    return {
        "prompt_tokens": len(str(body)) // 4,
        "completion_tokens": len(text) // 4,
        "total_tokens": len(str(body)) // 4,
    }


def ollama(method, path, body):
    if path == "/":
        return 200, "Ollama is running"
    if path == "/api/tags":
        return 200, {"models": [{"name": n, "model": n, "size": 4_000_000_000, "digest": "0" * 64} for n in NAMES]}
    if path == "/api/version":
        return 200, {"version": "0.5.7"}
    if path == "/api/show":
        known = body.get("model") in NAMES
        return (200, {"details": {"family": "llama"}}) if known else (404, {"error": "model not found"})
    if path in ("/api/chat", "/api/generate"):
        said = (
            {"message": {"role": "assistant", "content": "an answer"}}
            if path == "/api/chat"
            else {"response": "an answer"}
        )
        counts = {"done": True, "done_reason": "stop", "prompt_eval_count": 20, "eval_count": 9}
        return 200, {"model": body.get("model"), "created_at": "2026-01-01T00:00:00Z", **said, **counts}
    return openai(method, path, body)


def openai(method, path, body):
    if path == "/v1/models":
        return 200, {"object": "list", "data": [{"id": n, "object": "model", "owned_by": "vllm"} for n in NAMES]}
    if path.startswith("/v1/models/"):
        return 404, {"object": "error", "message": "The model does not exist.", "type": "NotFoundError", "code": 404}
    if path == "/v1/chat/completions":
        text = f"answer to {body['messages'][-1]['content'][:40]}" + " word" * 30
        scores = {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": []}]} if body.get("logprobs") else None
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "logprobs": scores, "finish_reason": "stop"}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": int(time.time()), "model": body["model"]}
        return 200, {**head, "choices": [choice], "usage": usage(body, text)}
    return 404, {"detail": "Not Found"}


def ray(method, path, body):
    if path == "/api/version":
        return 200, {"version": "4", "ray_version": "2.9.0", "session_name": "session_1"}
    if method == "POST" and path == "/api/jobs/":
        subprocess.Popen(["/bin/sh", "-c", body["entrypoint"]], stdin=subprocess.DEVNULL)
        return 200, {"job_id": "raysubmit_1", "submission_id": "raysubmit_1"}
    return 404, {"error": "not found"}


def langflow(method, path, body):
    if path == "/api/v1/version":
        return 200, {"version": "1.2.0"}
    if method == "POST" and path == "/api/v1/validate/code":
        decorator = next(line[1:] for line in body["code"].splitlines() if line.startswith("@"))
        exec(decorator, {})
        return 200, {"imports": {"errors": []}, "function": {"errors": []}}
    return 404, {"detail": "Not Found"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        size = int(self.headers.get("content-length") or 0)
        data = self.rfile.read(size) if size else b""
        serve = {"ollama": ollama, "openai": openai, "ray": ray, "langflow": langflow}[kind]
        status, body = serve(self.command, self.path.split("?")[0], json.loads(data) if data else {})
        text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer((address, port), Handler)
server.daemon_threads = True
server.serve_forever()
