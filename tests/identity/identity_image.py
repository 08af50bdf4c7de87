"""Builds a tiny OCI image in a tar: /bin/sleep and the libraries it loads, so a container test needs no network."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import subprocess
import tarfile
from pathlib import Path


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def _layer(programs: tuple[str, ...]) -> bytes:
    """A file system with these programs (absolute paths on this host) and what ldd says that they load."""
    paths = set(programs)
    for program in programs:
        listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        paths.update(re.findall(r"(/\S+)", listing))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in sorted(paths):
            _add(tar, path.lstrip("/"), Path(path).resolve().read_bytes(), 0o755)
    return out.getvalue()


def write_image(tar_path: Path, name: str, programs: tuple[str, ...] = ("/bin/sleep",)) -> str:
    """Writes an OCI image layout named `name`; returns the digest of its manifest."""
    layer = _layer(programs)
    packed = gzip.compress(layer, 1, mtime=0)
    diff = "sha256:" + hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sleep", "600"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    }
    blobs: dict[str, bytes] = {}

    def put(data: bytes, media: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    oci = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": put(json.dumps(config).encode(), f"{oci}.config.v1+json"),
        "layers": [put(packed, f"{oci}.layer.v1.tar+gzip")],
    }
    entry = put(json.dumps(manifest).encode(), f"{oci}.manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": name}
    with tarfile.open(tar_path, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        for digest, data in blobs.items():
            _add(tar, f"blobs/sha256/{digest}", data)
    return str(entry["digest"])
