"""Makes src/leeward/ai/protobufs/*.json: field numbers and names of AI services that speak gRPC, out of their published packages.

Run in a virtual environment of its own with the packages that `SOURCES` names:
`python scripts/protobuf_tables.py src/leeward/ai/protobufs`. Only what the listed methods can reach is kept.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

#: file → (package on PyPI, module that holds the descriptors, services, methods or None for all)
SOURCES = {
    "gemini": (
        "google-ai-generativelanguage",
        "google.ai.generativelanguage_v1beta.types",
        ["google.ai.generativelanguage.v1beta.GenerativeService"],
        ["GenerateContent", "StreamGenerateContent", "EmbedContent", "BatchEmbedContents", "CountTokens"],
    ),
    "vertex": (
        "google-cloud-aiplatform",
        "google.cloud.aiplatform_v1.types",
        ["google.cloud.aiplatform.v1.PredictionService"],
        ["GenerateContent", "StreamGenerateContent", "Predict"],
    ),
    "xai": ("xai-sdk", "xai_sdk.proto.v6.chat_pb2", ["xai_api.Chat"], ["GetCompletion", "GetCompletionChunk"]),
    "kserve": (
        "tritonclient[grpc]",
        "tritonclient.grpc.service_pb2",
        ["inference.GRPCInferenceService"],
        ["ModelInfer", "ModelStreamInfer"],
    ),
    "qdrant": (
        "qdrant-client",
        "qdrant_client.grpc.points_service_pb2",
        ["qdrant.Points"],
        ["Upsert", "Delete", "Get", "Search", "Query", "QueryBatch", "Scroll", "Count"],
    ),
    "milvus": (
        "pymilvus",
        "pymilvus.grpc_gen.milvus_pb2",
        ["milvus.proto.milvus.MilvusService"],
        ["Insert", "Upsert", "Delete", "Search", "HybridSearch", "Query"],
    ),
    "weaviate": (
        "weaviate-client",
        "weaviate.proto.v1.weaviate_pb2",
        ["weaviate.v1.Weaviate"],
        ["Search", "BatchObjects"],
    ),
}
#: Other versions of a service with the same numbers.
ALIASES = {
    "google.ai.generativelanguage.v1beta.GenerativeService": ["google.ai.generativelanguage.v1.GenerativeService"],
    "google.cloud.aiplatform.v1.PredictionService": ["google.cloud.aiplatform.v1beta1.PredictionService"],
}
WELL_KNOWN = ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue")
_NAMES = "double float int64 uint64 int32 fixed64 fixed32 bool string bytes uint32 sfixed32 sfixed64 sint32 sint64"
SCALARS = {getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name for name in _NAMES.split()}


def field_row(field: FieldDescriptor, todo: list[Descriptor], enums: dict[str, Any]) -> list[str]:
    """[JSON name, type, "repeated" | "map" | ""]; type: a scalar's name, or a message's or enum's full name."""
    label = "repeated" if field.is_repeated else ""
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            label = "map"
        if field.message_type.full_name not in WELL_KNOWN:
            todo.append(field.message_type)
        return [field.json_name, field.message_type.full_name, label]
    if field.enum_type is not None:
        enums[field.enum_type.full_name] = {str(v.number): v.name for v in field.enum_type.values}
        return [field.json_name, field.enum_type.full_name, label]
    return [field.json_name, SCALARS[field.type], label]


def method_types(pool: Any, service: str, method: str) -> list[Descriptor]:
    """Request and response. proto-plus packages leave the services out of the pool: there the names follow Google's habit."""
    try:
        described = pool.FindServiceByName(service).methods_by_name[method]
    except KeyError:
        stem = f"{service.rpartition('.')[0]}.{method.removeprefix('Stream')}"
        return [pool.FindMessageTypeByName(f"{stem}{end}") for end in ("Request", "Response")]
    return [described.input_type, described.output_type]


def table(module: str, services: list[str], methods: list[str]) -> dict[str, Any]:
    """Methods, messages and enums as plain data."""
    importlib.import_module(module)
    from google.protobuf import descriptor_pool

    pool = descriptor_pool.Default()
    found: dict[str, Any] = {"methods": {}, "messages": {}, "enums": {}}
    todo: list[Descriptor] = []
    for service in services:
        for method in methods:
            types = method_types(pool, service, method)
            todo += types
            for name in (service, *ALIASES.get(service, ())):
                found["methods"][f"/{name}/{method}"] = [t.full_name for t in types]
    while todo:
        message = todo.pop()
        if message.full_name in found["messages"]:
            continue
        found["messages"][message.full_name] = {}
        rows = {str(f.number): field_row(f, todo, found["enums"]) for f in message.fields}
        found["messages"][message.full_name] = rows
    return found


def main(folder: Path) -> None:
    for name, (package, module, services, methods) in SOURCES.items():
        try:
            found = table(module, services, methods)
        except (ImportError, KeyError) as error:
            print(f"{name}: {package}: {error!r}", file=sys.stderr)
            continue
        lines = [f'"source": {json.dumps(package)}']
        for part in ("methods", "messages", "enums"):
            rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(found[part].items()))
            lines.append(f'"{part}": {{\n{rows}\n}}')
        (folder / f"{name}.json").write_text("{" + ",\n".join(lines) + "}\n")
        print(name, len(found["methods"]), "methods", len(found["messages"]), "messages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
