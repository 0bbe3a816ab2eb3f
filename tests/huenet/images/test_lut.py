"""Tables of colours as files, and as other programs read them."""

import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from huenet.images.lut import read_lut, write_lut
from huenet.images.picture import Picture, read_picture, write_picture
from huenet.images.read import ImageError
from huenet.methods.lut import Lut, sampled


def bent(rgb, *_):
    """A smooth map that mixes channels."""
    r, g, b = np.moveaxis(rgb, -1, 0)
    return np.stack([0.2 + 0.5 * g**2, r * b, 0.9 - 0.6 * r], axis=-1)


@pytest.mark.parametrize("name", ["look.cube", "look.png"])
def test_what_is_written_is_read_again(tmp_path, name):
    table = sampled(bent, 16).table
    write_lut(tmp_path / name, table, title='a "look"\nof mine')
    np.testing.assert_allclose(read_lut(tmp_path / name), table, atol=1e-5)


def test_a_cube_has_red_running_fastest(tmp_path):
    """By the format's description (Adobe, "Cube LUT Specification" 1.0): one line of three numbers an entry."""
    write_lut(tmp_path / "a.cube", sampled(lambda rgb, *_: rgb, 3).table, title="same")
    lines = (tmp_path / "a.cube").read_text().splitlines()
    assert lines[:4] == ['TITLE "same"', "LUT_3D_SIZE 3", "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1 1 1"]
    assert lines[4:7] == ["0.000000 0.000000 0.000000", "0.500000 0.000000 0.000000", "1.000000 0.000000 0.000000"]
    assert lines[7] == "0.000000 0.500000 0.000000"
    assert len(lines) == 4 + 27


def test_a_hald_that_changes_nothing_is_the_one_that_others_make(tmp_path):
    """ImageMagick's ``hald:2``, pixel by pixel: red in steps of a third along a row, then green, then blue."""
    write_lut(tmp_path / "a.png", sampled(lambda rgb, *_: rgb, 4).table)
    pixels = read_picture(tmp_path / "a.png").pixels.reshape(-1, 3)
    assert pixels[[0, 1, 3, 4, 16]].tolist() == [[0] * 3, [21845, 0, 0], [65535, 0, 0], [0, 21845, 0], [0, 0, 21845]]


def test_a_table_is_exact_for_linear_maps_and_near_for_others(rng):
    matrix = rng.random((3, 3)) / 3
    rgb = rng.random((40, 50, 3)).astype(np.float32)
    np.testing.assert_allclose(sampled(lambda x, *_: x @ matrix, 5)(rgb), rgb @ matrix, atol=1e-6)
    np.testing.assert_allclose(sampled(bent, 33)(rgb), bent(rgb), atol=1e-3)
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * 3), -1).astype(np.float32)
    np.testing.assert_allclose(sampled(bent, 2)(corners), bent(corners).clip(0, 1), atol=1e-6)


def test_greys_take_nothing_from_colours(rng):
    table = rng.random((5, 5, 5, 3))
    diagonal = np.linspace(0, 1, 77, dtype=np.float32)
    found = Lut(table)(diagonal[:, None] * np.ones(3, np.float32))
    wanted = [np.interp(diagonal, np.linspace(0, 1, 5), table[range(5), range(5), range(5), c]) for c in range(3)]
    np.testing.assert_allclose(found, np.stack(wanted, -1), atol=1e-5)


def test_a_calmed_table_tears_nothing_apart_and_keeps_what_is_even():
    """A shift of all colours, and none at all, stay; a step of the whole range becomes a slope of a Gaussian."""
    for even in (lambda rgb, *_: rgb, lambda rgb, *_: 0.2 + 0.5 * rgb):
        inner = np.linspace(0.3, 0.7, 50, dtype=np.float32)[:, None] * np.ones(3, np.float32)
        np.testing.assert_allclose(sampled(even, 33).calmed(0.05)(inner), even(inner), atol=2e-3)
    torn = sampled(lambda rgb, *_: (rgb > 0.5) * 1.0, 33).calmed(0.1)
    ramp = np.linspace(0.3, 0.7, 200, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    slope = np.diff(torn(ramp)[:, 0]) / np.diff(ramp[:, 0])
    assert slope.max() < 1 + 1 / (0.1 * np.sqrt(2 * np.pi))


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize("name", ["look.cube", "look.png"])
def test_ffmpeg_reads_the_same(tmp_path, rng, name):
    picture = rng.integers(0, 65536, (40, 50, 3)).astype(np.uint16)
    write_picture(tmp_path / "in.png", Picture(picture))
    table = sampled(bent, 16)
    write_lut(tmp_path / name, table.table)
    chain = (
        ["-vf", f"format=gbrp16,lut3d={tmp_path / name}:interp=tetrahedral"]
        if name.endswith("cube")
        else [
            "-i",
            tmp_path / name,
            "-filter_complex",
            "[0]format=rgb48[a];[1]format=rgb48[b];[a][b]haldclut=interp=tetrahedral",
        ]
    )
    command = ["ffmpeg", "-loglevel", "error", "-i", tmp_path / "in.png", *chain, "-pix_fmt", "rgb48be"]
    subprocess.run([*command, "-frames:v", "1", tmp_path / "out.png"], check=True)
    wanted = table(picture.astype(np.float32) / 65535)
    np.testing.assert_allclose(read_picture(tmp_path / "out.png").pixels / 65535, wanted, atol=1e-4)


HEAD = "LUT_3D_SIZE 2\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "LUT_3D_SIZE must be from 2 to 256, got none"),
        (HEAD, "LUT_3D_SIZE 2 needs 8 lines of three numbers, got 0"),
        (HEAD + "0 0 0\n" * 7 + "0 0\n", "not a .cube file, or damaged"),
        (HEAD + "0 0 0\n" * 7 + "0 0 nan\n", "has numbers that are not finite"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1 1\n", "LUT_1D_SIZE: not a 3-D table of colours"),
        (HEAD + "DOMAIN_MAX 2 2 2\n" + "0 0 0\n" * 8, "DOMAIN_MAX 2 2 2: tables over 0 to 1 are read"),
        ("LUT_3D_SIZE 999999\n0 0 0\n", "LUT_3D_SIZE must be from 2 to 256, got 999999"),
        ("\x89PNG\r\n", "not a .cube file, or damaged|not a 3-D table"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(tmp_path, text, message):
    path = tmp_path / "a.cube"
    path.write_text(text)
    with pytest.raises(ImageError, match=message) as error:
        read_lut(path)
    assert "\n" not in str(error.value)


def test_other_programs_cubes_are_read(tmp_path):
    """Comments, tabs, blank lines, a title, Windows' line ends and a byte-order mark, lower precision."""
    rows = "\r\n".join(f"{r}\t{g}  {b}" for b in (0, 1) for g in (0, 1) for r in (0, 1))
    text = f'\ufeff# made by hand\r\nTITLE "x"\r\n\r\nLUT_3D_SIZE 2\r\nLUT_3D_INPUT_RANGE 0.0 1.0\r\n{rows}\r\n\r\n'
    (tmp_path / "a.cube").write_bytes(text.encode())
    np.testing.assert_array_equal(read_lut(tmp_path / "a.cube"), sampled(lambda rgb, *_: rgb, 2).table)


def test_pictures_that_are_no_hald_are_refused(tmp_path):
    write_picture(tmp_path / "a.png", Picture(np.zeros((9, 8, 3), np.uint8)))
    with pytest.raises(ImageError, match="no HaldCLUT: 8 x 9 pixels"):
        read_lut(tmp_path / "a.png")
    with pytest.raises(ImageError, match="a square number of steps a side"):
        write_lut(tmp_path / "b.png", np.zeros((33, 33, 33, 3)))
    with pytest.raises(ImageError, match=r"no\.cube: no such file"):
        read_lut(tmp_path / "no.cube")
