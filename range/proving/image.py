"""A container image made of files of this host: a Python, an SDK, the client scripts. No network, no Dockerfile.

The result is an OCI image layout in a tar (one uncompressed layer), which containerd and `docker load` (25 and up) take. It
depends only on its inputs: names sorted, times zero, owner root; so it is cached under the hash of what went in.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proving.files import CLIENTS, client_python

_VERSION = "2"
_UNUSED = {
    "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages", "__pycache__", "unittest",
    "pydoc_data", "distutils",
}  # fmt: skip
"""Parts of the standard library that a client does not import."""
LABELS = {
    "org.opencontainers.image.source": "https://git.example.com/range/agent",
    "org.opencontainers.image.revision": "0123456789abcdef0123456789abcdef01234567",
    "org.opencontainers.image.title": "range-client",
}
"""Labels of an image that was not given others."""


class ImageError(Exception):
    """The image could not be made; says what is missing."""


@dataclass(frozen=True)
class Image:
    """A built image: the tar, its name, how large it is, and whether it came from the cache."""

    path: Path
    name: str
    size: int
    cached: bool
    python: str = "/usr/local/bin/python3"


def build(
    name: str = "range.test/team/agent:1",
    labels: dict[str, str] | None = None,
    packages: Iterable[str] = ("openai", "zstandard"),
) -> Image:
    """The image with `packages` (distribution names of the clients' environment) and all that they require."""
    files = dict(_contents(tuple(packages)))
    labels = labels or LABELS
    key = hashlib.sha256(json.dumps([_VERSION, name, labels]).encode())
    for target, source in sorted(files.items()):
        status = source.stat()
        key.update(f"{target}\0{source}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    path = cache_directory() / f"image-{key.hexdigest()[:24]}.tar"
    if path.exists():
        return Image(path, name, path.stat().st_size, True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        layer = Path(scratch) / "layer.tar"
        _write_layer(layer, files)
        done = Path(scratch) / "image.tar"
        _write_layout(done, layer, name, labels)
        done.rename(path)
    return Image(path, name, path.stat().st_size, False)


def cache_directory() -> Path:
    """Where built images are kept: $XDG_CACHE_HOME/leeward-range or /var/cache/leeward-range."""
    base = os.environ.get("XDG_CACHE_HOME")
    path = Path(base) / "leeward-range" if base else Path("/var/cache/leeward-range")
    path.mkdir(parents=True, exist_ok=True)
    return path


# What goes in: path in the image → file of this host


def _contents(packages: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    python = client_python()
    if not python.exists():
        raise ImageError(f"no {python}: make setup-range")
    script = "import sys, sysconfig; print(sys.base_prefix, sysconfig.get_path('purelib'), sep='\\n')"
    base_text, site_text = subprocess.check_output([str(python), "-c", script], text=True).split("\n")[:2]
    exe = python.resolve()
    stdlib = Path(base_text) / "lib" / exe.name
    yield f"usr/local/bin/{exe.name}", exe
    binaries = [exe]
    for source in _walk(stdlib):
        yield f"usr/local/lib/{exe.name}/{source.relative_to(stdlib)}", source
        if source.suffix == ".so":
            binaries.append(source)
    for relative, source in _distributions(Path(site_text), packages):
        yield f"usr/local/lib/{exe.name}/site-packages/{relative}", source
        if ".so" in source.suffixes:
            binaries.append(source)
    for source in CLIENTS.iterdir():
        if source.suffix in (".py", ".sh"):
            yield f"app/{source.name}", source
    yield from _libraries(binaries)
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        yield "etc/ssl/certs/ca-certificates.crt", bundle


def _walk(root: Path) -> Iterator[Path]:
    for where, directories, names in os.walk(root):
        directories[:] = sorted(d for d in directories if d not in _UNUSED and not d.startswith("config-"))
        yield from (Path(where) / n for n in sorted(names) if not n.endswith((".pyc", ".a", ".exe")))


def _distributions(site: Path, packages: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Files of the packages and of what they require; extras are not followed."""
    known = {_plain(d.metadata["Name"]): d for d in importlib.metadata.distributions(path=[str(site)])}
    missing = [p for p in packages if _plain(p) not in known]
    if missing:
        raise ImageError(f"not in the clients' environment: {' '.join(missing)}; make setup-range")
    wanted: set[str] = set()
    queue = [_plain(p) for p in packages]
    while queue:
        name = queue.pop()
        if name in wanted or name not in known:
            continue
        wanted.add(name)
        required = [r for r in known[name].requires or () if "extra ==" not in r]
        queue += [_plain(re.split(r"[^A-Za-z0-9._-]", r, maxsplit=1)[0]) for r in required]
    for name in sorted(wanted):
        for file in known[name].files or ():
            source = site / file
            if ".." not in file.parts and not {"__pycache__", "tests"} & set(file.parts) and source.is_file():
                yield str(file), source


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # PEP 503


def _libraries(binaries: list[Path]) -> Iterator[tuple[str, Path]]:
    """What ldd says that the binaries load, all in the loader's default directory; the loader itself in its place."""
    said = subprocess.run(["ldd", *map(str, binaries)], check=False, capture_output=True, text=True).stdout
    triple = "x86_64-linux-gnu" if os.uname().machine == "x86_64" else "aarch64-linux-gnu"
    found = {}
    for line in said.splitlines():
        match = re.match(r"\s+(?:(\S+) => )?(/\S+) \(0x", line)
        if match:
            found[match[1] or match[2]] = Path(match[2])
    for name in ("libnss_files.so.2", "libnss_dns.so.2"):  # opened by name by C libraries before 2.34
        source = Path("/lib") / triple / name
        if source.exists():
            found[name] = source
    for name, source in sorted(found.items()):
        # A wheel's own libraries ($ORIGIN/../x.libs) are already there, with their package.
        if "site-packages" not in str(source):
            yield f"usr{name}" if name.startswith("/lib") else f"usr/lib/{triple}/{Path(name).name}", source.resolve()


# How it is written

_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:1000:1000:agent:/tmp:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nagent:x:1000:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/resolv.conf": "",
    "etc/os-release": 'ID=range\nPRETTY_NAME="Leeward range image"\n',
}
_LINKS = {"lib": "usr/lib", "lib64": "usr/lib64", "bin": "usr/bin", "usr/local/bin/python3": "python3.11"}
_DIRECTORIES = (
    "app",
    "dev",
    "etc",
    "proc",
    "range",
    "root",
    "run",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
)


def _write_layer(path: Path, files: dict[str, Path]) -> None:
    parents = {str(p) for f in (*files, *_TEXTS) for p in Path(f).parents if str(p) != "."}
    python = next(f for f in files if f.startswith("usr/local/bin/python"))
    links = {**_LINKS, "usr/local/bin/python3": Path(python).name}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(parents | set(_DIRECTORIES)):
            tar.addfile(_entry(name, tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755))
        for name, target in sorted(links.items()):
            link = _entry(name, tarfile.SYMTYPE, 0o777)
            link.linkname = target
            tar.addfile(link)
        for name, text in sorted(_TEXTS.items()):
            _add(tar, name, text.encode())
        for name, source in sorted(files.items()):
            with source.open("rb") as data:
                entry = _entry(name, tarfile.REGTYPE, 0o755 if os.access(source, os.X_OK) else 0o644)
                entry.size = source.stat().st_size
                tar.addfile(entry, data)


def _write_layout(path: Path, layer: Path, name: str, labels: dict[str, str]) -> None:
    """OCI image layout 1.0: oci-layout, index.json, blobs by digest."""
    digest = _digest(layer)
    config = {
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1", "HOME=/tmp"],
            "Cmd": ["/usr/local/bin/python3"],
            "WorkingDir": "/app",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [digest]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "leeward range"}],
    }
    config_bytes = json.dumps(config, sort_keys=True).encode()
    oci = "application/vnd.oci.image."
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": oci + "manifest.v1+json",
            "config": _descriptor(oci + "config.v1+json", config_bytes),
            "layers": [{"mediaType": oci + "layer.v1.tar", "digest": digest, "size": layer.stat().st_size}],
        },
        sort_keys=True,
    ).encode()
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1]}
    entry = {**_descriptor(oci + "manifest.v1+json", manifest), "annotations": names}
    index = {"schemaVersion": 2, "mediaType": oci + "index.v1+json", "manifests": [entry]}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", json.dumps(index).encode())
        for blob in (config_bytes, manifest):
            _add(tar, "blobs/sha256/" + hashlib.sha256(blob).hexdigest(), blob)
        entry_of_layer = _entry("blobs/sha256/" + digest.partition(":")[2], tarfile.REGTYPE, 0o644)
        entry_of_layer.size = layer.stat().st_size
        with layer.open("rb") as data:
            tar.addfile(entry_of_layer, data)


def _descriptor(media: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media, "digest": "sha256:" + hashlib.sha256(blob).hexdigest(), "size": len(blob)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime, entry.uid, entry.gid = kind, mode, 0, 0, 0
    return entry


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = _entry(name, tarfile.REGTYPE, 0o644)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def prune(keep: int = 3) -> None:
    """Removes all but the newest images of the cache."""
    found = sorted(cache_directory().glob("image-*.tar"), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in found[keep:]:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
