"""Downloads from a small HTTP server on loopback, which cuts, lies and refuses as told."""

import hashlib
import http.client
import http.server
import shutil
import ssl
import threading

import pytest

pytest.importorskip("tqdm")

from shops import PHOTOS, files_of, get, left_in_cache, offer, plain, tar

from huenet.data import download
from huenet.data.download import Archive, DataError, cache_dir, fetch


def test_download_and_unpack(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    folder = get()
    assert folder == cache_dir() / "photos"
    assert files_of(folder) == PHOTOS
    assert left_in_cache() == ["photos"]
    assert get() == folder
    assert shop.requests == [None]  # the second call asked for nothing


def test_several_archives_make_one_folder(shop, monkeypatch):
    parts = {"a.tgz": {"a/1.jpg": b"1"}, "b.tgz": {"b/2.jpg": b"2"}}
    shop.files = {name: tar(members) for name, members in parts.items()}
    archives = tuple(
        Archive(f"{shop.url}/{name}", hashlib.md5(content).hexdigest(), 1000) for name, content in shop.files.items()
    )
    monkeypatch.setattr(download, "DATASETS", {"photos": (archives,)})
    assert files_of(get()) == {"a/1.jpg": b"1", "b/2.jpg": b"2"}


def test_cut_transfer_goes_on_within_the_call(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    shop.cuts = [1000] * 12  # more cuts than attempts: one that brought something does not count
    assert files_of(get()) == PHOTOS
    assert shop.requests == [None, *(f"bytes={1000 * i}-" for i in range(1, 13))]


def test_cut_transfer_goes_on_in_the_next_call(shop, monkeypatch):
    content = tar(PHOTOS)
    offer(shop, monkeypatch, content)
    shop.cuts = [150_000] + [0] * download.ATTEMPTS
    with pytest.raises(DataError, match=r"150000 bytes are there.*run the same command again"):
        get()
    assert left_in_cache() == ["photos.tgz.part"]
    assert (cache_dir() / "photos.tgz.part").read_bytes() == content[:150_000]
    shop.requests.clear()
    assert files_of(get()) == PHOTOS
    assert shop.requests == ["bytes=150000-"]
    assert left_in_cache() == ["photos"]


def test_whole_part_file_is_used(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    cache_dir().mkdir()
    (cache_dir() / "photos.tgz.part").write_bytes(shop.files["photos.tgz"])
    assert files_of(get()) == PHOTOS  # the server answers 416: nothing is left to send
    assert shop.requests == [f"bytes={len(shop.files['photos.tgz'])}-"]


def test_server_without_ranges_sends_everything_again(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    shop.ranges, shop.cuts = False, [100_000]
    assert files_of(get()) == PHOTOS
    assert shop.requests == [None, "bytes=100000-"]


def test_server_without_ranges_that_cuts_is_given_up(shop, monkeypatch):
    content = tar(PHOTOS)
    offer(shop, monkeypatch, content)
    shop.ranges, shop.cuts = False, [100_000, 50_000] * 10  # more than last time is not more than ever
    with pytest.raises(DataError, match="100000 bytes are there"):
        get()
    assert len(shop.requests) == 1 + download.ATTEMPTS
    assert left_in_cache() == ["photos.tgz.part"]
    assert (cache_dir() / "photos.tgz.part").read_bytes() == content[:100_000]


def test_page_of_a_portal_does_not_cost_what_is_there(shop, monkeypatch):
    content = tar(PHOTOS)
    offer(shop, monkeypatch, content)
    cache_dir().mkdir()
    (cache_dir() / "photos.tgz.part").write_bytes(content[:250_000])
    shop.files["photos.tgz"], shop.ranges = b"<html>Log in</html>", False
    with pytest.raises(DataError, match="checksum"):
        get()
    assert left_in_cache() == ["photos.tgz.part"]
    shop.files["photos.tgz"], shop.ranges = content, True
    shop.requests.clear()
    assert files_of(get()) == PHOTOS
    assert shop.requests == ["bytes=250000-"]


def test_whole_file_sent_anew_is_used_however_long_the_part_file(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    cache_dir().mkdir()
    (cache_dir() / "photos.tgz.part").write_bytes(bytes(500_000))
    shop.ranges = False
    assert files_of(get()) == PHOTOS
    assert left_in_cache() == ["photos"]


def test_cut_under_https_is_tried_again(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    errors, read = [ssl.SSLError("record layer failure")], http.client.HTTPResponse.read

    def cut(response, amount):
        if errors:
            raise errors.pop()
        return read(response, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", cut)
    assert files_of(get()) == PHOTOS
    assert len(shop.requests) == 2


@pytest.mark.parametrize("right", [True, False])
def test_finished_file_is_checked_before_it_is_used(shop, monkeypatch, right):
    content = tar(PHOTOS)
    offer(shop, monkeypatch, content)
    cache_dir().mkdir()
    (cache_dir() / "photos.tgz").write_bytes(content if right else tar({"other.jpg": b"1"}))
    assert files_of(get()) == PHOTOS
    assert len(shop.requests) == (0 if right else 1)


def test_wrong_checksum(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS), md5="0" * 32)
    with pytest.raises(DataError, match=r"checksum is .*0{32} was expected") as caught:
        get()
    assert "\n" not in str(caught.value)
    assert left_in_cache() == []


def test_damaged_part_file_does_not_stay(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    cache_dir().mkdir()
    (cache_dir() / "photos.tgz.part").write_bytes(b"rubbish")
    with pytest.raises(DataError, match="checksum"):
        get()
    assert files_of(get()) == PHOTOS


def test_checksum_of_the_first_bytes(shop, monkeypatch):
    content = tar(PHOTOS)
    offer(shop, monkeypatch, content, md5=hashlib.md5(content[:5000]).hexdigest(), md5_bytes=5000)
    assert files_of(get()) == PHOTOS


def test_404_is_not_tried_again(shop, monkeypatch):
    offer(shop, monkeypatch, b"")
    shop.files.clear()
    with pytest.raises(DataError, match=r"photos: http://.*answers 404.*--data") as caught:
        get()
    assert "\n" not in str(caught.value)
    assert len(shop.requests) == 1
    assert left_in_cache() == []


def test_the_next_place_is_tried(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    good = download.DATASETS["photos"][0]
    gone = (good[0]._replace(url=f"{shop.url}/gone.tgz"),)
    monkeypatch.setattr(download, "DATASETS", {"photos": (gone, good)})
    assert files_of(get()) == PHOTOS


@pytest.mark.parametrize(
    ("content", "changes", "reason"),
    [
        (b"<html>We have moved</html>", {"md5": "0" * 32}, "checksum"),
        (b"<html>We have moved</html>", {"most_bytes": 10}, "more than the 10 bytes"),
        (b"<html>We have moved</html>", {}, "damaged archive"),
        (tar([plain("../escaped.jpg")]), {}, "outside the folder"),
        (tar([plain("a.jpg"), plain("a.jpg")]), {}, "File exists"),
    ],
    ids=["checksum", "size", "damaged", "unsafe", "twice"],
)
def test_the_next_place_is_tried_where_one_has_something_else(shop, monkeypatch, content, changes, reason):
    shop.files = {"photos.tgz": content, "mirror.tgz": tar(PHOTOS)}
    bad, good = (
        Archive(f"{shop.url}/{name}", hashlib.md5(body).hexdigest(), 1_000_000) for name, body in shop.files.items()
    )
    bad = bad._replace(**changes)
    monkeypatch.setattr(download, "DATASETS", {"photos": ((bad,), (good,))})
    assert files_of(get()) == PHOTOS
    assert left_in_cache() == ["photos"]
    shutil.rmtree(cache_dir())
    del shop.files["mirror.tgz"]
    with pytest.raises(DataError, match=rf"photos: .*{reason}.*; .*mirror.tgz: answers 404.*--data") as caught:
        get()
    assert "\n" not in str(caught.value)


def test_nothing_is_left_of_a_place_that_had_only_a_part(shop, monkeypatch):
    parts = {"a.tgz": {"1.jpg": b"1"}, "mirror.tgz": {"1.jpg": b"1", "2.jpg": b"2"}}
    shop.files = {name: tar(members) for name, members in parts.items()}
    a, mirror = (
        Archive(f"{shop.url}/{name}", hashlib.md5(body).hexdigest(), 1_000_000) for name, body in shop.files.items()
    )
    b = a._replace(url=f"{shop.url}/b.tgz")
    monkeypatch.setattr(download, "DATASETS", {"photos": ((a, b), (mirror,))})
    cache_dir().mkdir()
    (cache_dir() / "b.tgz.part").write_bytes(b"1")
    assert files_of(get()) == parts["mirror.tgz"]
    assert left_in_cache() == ["photos"]


def test_server_error_is_tried_again(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    shop.errors = [503, 500]
    assert files_of(get()) == PHOTOS


def test_nobody_listens(shop, monkeypatch):
    offer(shop, monkeypatch, b"", url="http://127.0.0.1:9/photos.tgz")
    with pytest.raises(DataError, match=r"photos: http://127.0.0.1:9/photos.tgz: .*\(0 bytes are there\)"):
        get()


def test_more_than_announced_is_not_stored(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS), most_bytes=1000)
    monkeypatch.setattr(download, "CHUNK", 300)
    with pytest.raises(DataError, match="more than the 1000 bytes"):
        get()
    assert (cache_dir() / "photos.tgz.part").stat().st_size == 0


def test_full_disk_is_one_line_and_what_came_is_kept(shop, monkeypatch):
    resource = pytest.importorskip("resource")
    offer(shop, monkeypatch, tar(PHOTOS))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # a file of this process that is longer: an OSError
    try:
        with pytest.raises(DataError, match=r"photos: .*File too large") as caught:
            get()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert left_in_cache() == ["photos.tgz.part"]
    assert files_of(get()) == PHOTOS
    assert shop.requests == [None, "bytes=100000-"]


def test_remains_of_a_killed_run_are_cleared(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    (cache_dir() / ".photos-killed" / "whole").mkdir(parents=True)
    (cache_dir() / ".photos-killed" / "whole" / "half.jpg").write_bytes(b"")
    assert files_of(get()) == PHOTOS
    assert left_in_cache() == ["photos"]


@pytest.mark.posix
def test_two_at_once_download_once(shop, monkeypatch):
    offer(shop, monkeypatch, tar(PHOTOS))
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(get())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [cache_dir() / "photos"] * 4
    assert shop.requests == [None]


def test_cache_cannot_be_made(shop, monkeypatch, tmp_path):
    offer(shop, monkeypatch, tar(PHOTOS))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HUENET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"photos: .*Not a directory"):
        get()


def test_unknown_name():
    with pytest.raises(DataError, match="no data set is named 'flower'; pass one of cars, flowers102, or a folder"):
        fetch("flower")


def test_cache_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("HUENET_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("HUENET_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "huenet"
