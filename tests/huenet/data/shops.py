"""A small HTTP server on loopback that offers archives, and cuts, lies and refuses as told."""

import hashlib
import http.server
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from huenet.data import download
from huenet.data.download import Archive, cache_dir, fetch

PHOTOS = {"jpg/one.jpg": os.urandom(200_000), "jpg/deep/two.jpg": os.urandom(100_000)}


def tar(members: dict[str, bytes] | list[tarfile.TarInfo], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        if isinstance(members, list):
            for info in members:
                archive.addfile(info, io.BytesIO(b"x" * info.size))
        else:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def plain(name: str, size: int = 1) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        shop = self.server.shop
        shop.requests.append(self.headers.get("Range"))
        content = shop.files.get(self.path.lstrip("/"))
        status = shop.errors.pop(0) if shop.errors else 200
        if content is None or status >= 400:
            return self.send_error(404 if content is None else status)
        start = 0
        if shop.ranges and (asked := self.headers.get("Range")):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + shop.cuts.pop(0) if shop.cuts else len(content)
        self.wfile.write(content[start:end])  # the connection closes here: short of the length announced, if cut

    def log_message(self, *args):
        pass


class Shop:
    """What the server offers and how it misbehaves; and what it was asked."""

    def __init__(self):
        self.files, self.cuts, self.errors, self.requests, self.ranges = {}, [], [], [], True


def offer(shop, monkeypatch, content: bytes, **changes) -> None:
    """Put `content` on the server, as the one archive of the data set `photos`."""
    shop.files["photos.tgz"] = content
    archive = Archive(f"{shop.url}/photos.tgz", hashlib.md5(content).hexdigest(), 1_000_000)._replace(**changes)
    monkeypatch.setattr(download, "DATASETS", {"photos": ((archive,),)})


def get():
    return fetch("photos", progress=False)


def files_of(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def left_in_cache() -> list[str]:
    return sorted(name for name in os.listdir(cache_dir()) if name != ".photos.lock")


@contextmanager
def opened() -> Iterator[Shop]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.shop = Shop()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.shop.url = f"http://127.0.0.1:{server.server_port}"
    yield server.shop
    server.shutdown()
    thread.join()
    server.server_close()
