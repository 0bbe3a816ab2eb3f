"""Archives that reach outside their folder, swell, or are damaged: nothing of them is kept."""

import hashlib
import os
import tarfile

import pytest

pytest.importorskip("tqdm")

from shops import PHOTOS, get, left_in_cache, offer, plain, special, tar

from huenet.data import download
from huenet.data.download import DataError


@pytest.mark.parametrize(
    "evil",
    [
        [plain("../escaped.jpg")],
        [plain("a/../../escaped.jpg")],
        [plain("ABSOLUTE/escaped.jpg")],
        [plain("..\\escaped.jpg")],
        [plain("C:/escaped.jpg")],
        [special("link", tarfile.SYMTYPE, "/etc")],
        [special("link", tarfile.SYMTYPE, ".."), plain("link/escaped.jpg")],
        [special("link", tarfile.LNKTYPE, "/etc/passwd")],
        [special("pipe", tarfile.FIFOTYPE)],
        [special("device", tarfile.CHRTYPE)],
    ],
    ids=lambda members: f"{members[0].name}-{members[0].type.decode()}",
)
def test_archive_that_reaches_outside(shop, monkeypatch, tmp_path, evil):
    for member in evil:
        member.name = member.name.replace("ABSOLUTE", str(tmp_path))
    offer(shop, monkeypatch, tar([plain("good.jpg"), *evil]))
    with pytest.raises(DataError, match=r"outside the folder|link or a device") as caught:
        get()
    assert "\n" not in str(caught.value)
    assert left_in_cache() == []
    assert {path.name for path in tmp_path.rglob("*")} == {"cache", ".photos.lock"}


def test_archive_that_swells(shop, monkeypatch):
    offer(shop, monkeypatch, tar({"zeros.jpg": bytes(100_000)}), most_bytes=10_000)
    with pytest.raises(DataError, match=r"more than .* bytes: not unpacked"):
        get()
    assert left_in_cache() == []


def test_archive_of_too_many_files(shop, monkeypatch):
    offer(shop, monkeypatch, tar({f"{i}.jpg": b"" for i in range(11)}))
    monkeypatch.setattr(download, "MOST_FILES", 10)
    with pytest.raises(DataError, match="more than 10 files"):
        get()


@pytest.mark.parametrize("content", [b"no archive at all", tar(PHOTOS)[:150_000], tar(PHOTOS, "w")[:1000]])
def test_damaged_archive(shop, monkeypatch, content):
    offer(shop, monkeypatch, content)
    with pytest.raises(DataError, match="damaged archive") as caught:
        get()
    assert "\n" not in str(caught.value)
    assert left_in_cache() == []


def test_damage_that_only_the_end_of_gzip_tells(shop, monkeypatch):
    content = bytearray(tar({"noise.jpg": os.urandom(50_000)}))
    content[25_000] ^= 1  # noise is stored as it is: nothing but the sum at the end is wrong
    offer(shop, monkeypatch, bytes(content), md5=hashlib.md5(content[:5000]).hexdigest(), md5_bytes=5000)
    with pytest.raises(DataError, match="damaged archive"):
        get()
    assert left_in_cache() == []


def test_one_name_twice(shop, monkeypatch):
    offer(shop, monkeypatch, tar([plain("a.jpg"), plain("a.jpg")]))
    with pytest.raises(DataError, match="File exists"):
        get()
