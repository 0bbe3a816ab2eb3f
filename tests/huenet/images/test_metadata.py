"""What a file says besides its pixels comes out as it went in, in every pair of formats that can hold it."""

import importlib.util
import json
import re
import shutil
import struct
import subprocess
from functools import partial
from itertools import product

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import tifffile
from camera import ARTIST, MAKER_NOTE, XMP, camera, write_source
from commands import status
from PIL import Image, ImageOps, IptcImagePlugin, PngImagePlugin, features
from scenes import scene

from huenet import transfer
from huenet.images import exif, read
from huenet.images.picture import read_picture, write_picture

command = partial(status, transfer.main)

AVIF = [".avif"] if features.check("avif") else []
HEIC = [".heic"] if importlib.util.find_spec("pillow_heif") else []
SOURCES = [".png", ".jpg", ".webp", ".tif", "-be.tif", "-big.tif", *AVIF, *HEIC]
OUTS = [".png", ".jpg", ".webp", ".tif", *AVIF, *HEIC]


def assert_kept(path, artist=ARTIST):
    with read.opened(path) as image:
        image.load()
        found, info = image.getexif(), image.info
        assert found[0x013B].encode("latin-1").decode() == artist
        assert found.get(0x0112, 1) == 1
        assert float(found.get_ifd(0x8769)[0x829A]) == pytest.approx(1 / 125)
        assert found.get_ifd(0x8769)[0x927C] == MAKER_NOTE
        assert found.get_ifd(0x8825) == {1: "N", 2: (52.0, 31.0, 12.5)}
        xmp = info.get("xmp") or info["XML:com.adobe.xmp"].encode()
        told = XMP.format(1).encode()
        assert xmp in (told, told.replace(b'tiff:Orientation="1"', b""))  # HEIC has a place of its own for it
        assert [round(float(x)) for x in info.get("dpi") or (found[0x011A], found[0x011B])] == [300, 300]


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("source", SOURCES)
def test_exif_xmp_and_resolution_survive(tmp_path, recwarn, source, out):
    write_picture(tmp_path / f"out{out}", read_picture(write_source(tmp_path / f"source{source}")))
    assert_kept(tmp_path / f"out{out}")
    assert not recwarn.list


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("source", SOURCES)
def test_exiftool_reads_the_same(tmp_path, source, out):
    path = write_source(tmp_path / f"source{source}", orientation=1 if source == ".avif" else 6)
    write_picture(tmp_path / f"out{out}", read_picture(path))
    tags = ["Artist", "GPSLatitude", "ExposureTime", "XMP:Rating", "XMP:Label", "XResolution", "Orientation#"]
    told = subprocess.run(
        ["exiftool", "-j", "-ExifImageWidth", *(f"-{tag}" for tag in tags), tmp_path / f"out{out}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(told.stdout)[0]
    assert found["Artist"] == ARTIST
    assert found["GPSLatitude"].startswith("52 deg 31' 12.50")
    assert (found["ExposureTime"], found["Rating"], found["Label"], found["XResolution"]) == ("1/125", 4, "größer", 300)
    assert found.get("Orientation", 1) == 1
    assert found["ExifImageWidth"] == (48 if source != ".avif" else found["ExifImageWidth"])


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_undone_and_said(tmp_path, source, orientation):
    path = write_source(tmp_path / f"source{source}", orientation)
    with read.opened(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.pixels, expected)
    write_picture(tmp_path / "out.jpg", picture)
    assert_kept(
        tmp_path / "out.jpg",
        re.sub(rb"[^ -~]", b"?", ARTIST.encode()).decode() if source == ".avif" and orientation > 1 else ARTIST,
    )
    with Image.open(tmp_path / "out.jpg") as image:
        if source != ".avif":
            below = image.getexif().get_ifd(0x8769)
            assert (below[0xA002], below[0xA003]) == image.size
        assert image.size == expected.shape[1::-1]


@pytest.mark.parametrize(("source", "out"), [*product([".png", ".jpg", ".tif"], OUTS)])
def test_a_resolution_without_exif_survives(tmp_path, source, out):
    Image.fromarray(scene(0)).save(tmp_path / f"source{source}", dpi=(240, 120))
    write_picture(tmp_path / f"out{out}", read_picture(tmp_path / f"source{source}"))
    with read.opened(tmp_path / f"out{out}") as image:
        found = image.info.get("dpi") or [image.getexif()[tag] for tag in (0x011A, 0x011B)]
        assert [round(float(x)) for x in found] == [240, 120]


def test_a_turned_picture_has_its_resolutions_exchanged(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene(0)).save(tmp_path / "source.png", dpi=(240, 120), exif=exif)
    write_picture(tmp_path / "out.png", read_picture(tmp_path / "source.png"))
    with Image.open(tmp_path / "out.png") as image:
        assert [round(x) for x in image.info["dpi"]] == [120, 240]


# Comments and texts


@pytest.mark.parametrize("comment", [b"plain", "größer".encode(), "größer".encode("latin-1")])
def test_comments_survive(tmp_path, comment):
    Image.fromarray(scene(0)).save(tmp_path / "source.jpg", comment=comment, quality=95)
    picture = read_picture(tmp_path / "source.jpg")
    for out in OUTS:
        write_picture(tmp_path / f"out{out}", picture)
        with read.opened(tmp_path / f"out{out}") as image:
            image.load()
            if out == ".png":
                assert image.text["Comment"] in (comment.decode("latin-1"), comment.decode(errors="replace"))
            else:
                assert (image.info.get("comment") or image.getexif()[0x010E].encode("latin-1")) == comment


def test_every_comment_of_several_survives(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "source.jpg", comment=b"one", extra=b"\xff\xfe\0\x05two")
    write_picture(tmp_path / "out.jpg", read_picture(tmp_path / "source.jpg"))
    with Image.open(tmp_path / "out.jpg") as image:
        assert sorted(data for marker, data in image.applist if marker == "COM") == [b"one", b"two"]


@pytest.mark.parametrize("deep", [False, True])
def test_png_texts_survive_in_png(tmp_path, deep):
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Müller")
    info.add_text("parameters", "steps: 20, " * 50, zip=True)
    info.add_itxt("Title", "井上", lang="ja", tkey="題")
    info.add(b"gAMA", struct.pack(">I", 100_000))
    Image.fromarray(scene(0)).save(tmp_path / "source.png", pnginfo=info)
    picture = read_picture(tmp_path / "source.png")
    if deep:
        picture.pixels = picture.pixels.astype(np.uint16) * 257
    write_picture(tmp_path / "out.png", picture)
    with Image.open(tmp_path / "out.png") as image:
        image.load()
        assert image.text == {"Author": "Müller", "parameters": "steps: 20, " * 50, "Title": "井上"}
        assert image.text["Title"].lang == "ja"
        assert image.info["gamma"] == 1.0


@pytest.mark.parametrize("out", sorted({*OUTS} - {".png"}))
def test_png_texts_go_where_exif_has_a_place_for_them_and_what_has_none_is_said(tmp_path, out):
    info = PngImagePlugin.PngInfo()
    for keyword, text in (("Author", "Müller"), ("Description", "A rose"), ("parameters", "steps: 20")):
        info.add_text(keyword, text)
    info.add(b"gAMA", struct.pack(">I", 100_000))
    Image.fromarray(scene(0)).save(tmp_path / "source.png", pnginfo=info)
    with pytest.warns(UserWarning, match=r"^left out: the PNG text 'parameters', which .*; PNG's gAMA, which"):
        write_picture(tmp_path / f"out{out}", read_picture(tmp_path / "source.png"))
    with read.opened(tmp_path / f"out{out}") as image:
        found = image.getexif()
        assert (found[0x013B].encode("latin-1").decode(), found[0x010E]) == ("Müller", "A rose")


def test_exif_as_imagemagick_wrote_it_is_read(tmp_path):
    info, block = PngImagePlugin.PngInfo(), b"Exif\0\0" + camera(6)
    info.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    Image.fromarray(scene(0)).save(tmp_path / "source.png", pnginfo=info)
    picture = read_picture(tmp_path / "source.png")
    np.testing.assert_array_equal(picture.pixels, np.rot90(scene(0), -1))
    assert exif.tags(picture.metadata.exif)[0x013B].value == ARTIST.encode() + b"\0"
    assert not picture.metadata.texts


# What press photographers and editors add


def resources():
    """Photoshop's image resources: a caption of IPTC, a path with a name, and a thumbnail."""
    caption = "Über den Dächern".encode()
    iptc = b"\x1c\x02\x78" + struct.pack(">H", len(caption)) + caption
    parts = [(0x0404, b"", iptc), (2000, b"Outline", b"path"), (1036, b"", b"thumb")]
    return iptc, [
        b"8BIM" + struct.pack(">HB", number, len(name)) + name + bytes((len(name) + 1) % 2)
        + struct.pack(">I", len(data)) + data + bytes(len(data) % 2)
        for number, name, data in parts
    ]  # fmt: skip


@pytest.mark.parametrize(("source", "out"), [*product([".jpg", ".tif", "-iptc.tif"], [".jpg", ".tif"])])
def test_iptc_survives(tmp_path, source, out):
    iptc, parts = resources()
    path = tmp_path / f"source{source}"
    if source == ".jpg":
        data = b"Photoshop 3.0\0" + b"".join(parts)
        Image.fromarray(scene(0)).save(path, extra=b"\xff\xed" + struct.pack(">H", len(data) + 2) + data)
    else:
        tag = (34377, 1, len(b"".join(parts)), b"".join(parts)) if source == ".tif" else (33723, 7, len(iptc), iptc)
        tifffile.imwrite(path, scene(0), photometric="rgb", extratags=[(*tag, True)])
    write_picture(tmp_path / f"out{out}", read_picture(path))
    with Image.open(tmp_path / f"out{out}") as image:
        found = image.info["photoshop"] if out == ".jpg" else None
        assert IptcImagePlugin.getiptcinfo(image)[(2, 120)].decode() == "Über den Dächern"
        raw = image.applist if out == ".jpg" else bytes(image.tag_v2[34377])
        raw = b"".join(data for _, data in raw) if out == ".jpg" else raw
        assert (b"Outline" in raw) == (source != "-iptc.tif")
        assert b"thumb" not in raw
        assert found is None or set(found) <= {0x0404, 2000}
    with pytest.warns(UserWarning, match="left out: IPTC and resources of Photoshop, which WebP does not hold"):
        write_picture(tmp_path / "out.webp", read_picture(path))


def test_xmp_of_several_segments_survives_in_jpeg(tmp_path):
    more = b"http://ns.adobe.com/xmp/extension/\0" + b"G" * 32 + struct.pack(">II", 3, 0) + b"<x>"
    Image.fromarray(scene(0)).save(
        tmp_path / "source.jpg", xmp=b"<main/>", extra=b"\xff\xe1" + struct.pack(">H", len(more) + 2) + more
    )
    picture = read_picture(tmp_path / "source.jpg")
    write_picture(tmp_path / "out.jpg", picture)
    with Image.open(tmp_path / "out.jpg") as image:
        assert ("APP1", more) in image.applist
        assert image.info["xmp"] == b"<main/>"
    with pytest.warns(UserWarning, match="the further parts of XMP, which PNG does not hold"):
        write_picture(tmp_path / "out.png", picture)


def test_segments_that_nobody_knows_and_layers_are_said(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "source.jpg", extra=b"\xff\xe4\0\x06MAKE")
    with pytest.warns(UserWarning, match="left out: JPEG's APP4, whose contents are not known"):
        write_picture(tmp_path / "out.jpg", read_picture(tmp_path / "source.jpg"))
    tifffile.imwrite(tmp_path / "a.tif", scene(0), photometric="rgb", extratags=[(37724, 7, 9, b"layers...", True)])
    with pytest.warns(UserWarning, match="left out: Photoshop's layers, which show what was before"):
        write_picture(tmp_path / "out.tif", read_picture(tmp_path / "a.tif"))
    assert b"layers..." not in (tmp_path / "out.tif").read_bytes()


# The command line


def test_notes_of_the_command_line_and_strip_metadata(files, capsys):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "steps: 20")
    info.add(b"gAMA", struct.pack(">I", 100_000))
    Image.fromarray(scene(0)).save(files / "source.png", pnginfo=info, exif=camera(6), dpi=(300, 300))
    paths = files / "source.png", files / "target.png", "-o"
    assert command(*paths, files / "out.jpg") == 0
    assert f"note: {files / 'source.png'}: left out: the PNG text 'parameters'" in capsys.readouterr().err
    assert command(*paths, files / "bare.png", "--strip-metadata") == 0
    assert not capsys.readouterr().err
    with Image.open(files / "bare.png") as image:
        image.load()
        assert set(image.info) == {"gamma"}
        assert image.size == (48, 64)
