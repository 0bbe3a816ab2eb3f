"""A map for a whole sequence, a map from a file, several targets: `huenet transfer` with more than a pair."""

from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from commands import refusal, status
from PIL import Image
from scenes import GREEN, GREY, RED, plain, scene

from huenet.images.lut import read_lut, write_lut
from huenet.images.picture import read_picture
from huenet.methods.lut import Lut, sampled
from huenet.transfer import command as transfer
from huenet.transfer import recolor

command, error_of = partial(status, transfer.main), partial(refusal, transfer.main)


@pytest.fixture
def shot(files):
    """A static shot of eight frames with noise of two levels, some of it hidden by an object that passes."""
    rng = np.random.default_rng(0)
    still = scene(0, 96, 128)
    (files / "shot").mkdir()
    for i in range(8):
        frame = still + np.rint(rng.normal(0, 2, still.shape)).astype(int)
        frame[:30, 10 * i : 10 * i + 25] = (30, 60, 200) if i % 2 else (200, 30, 60)
        Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(files / f"shot/{i}.png")
    return files


def wobble(folder):
    """How far the mean of any 8 x 8 block below the object goes from frame to frame, in levels."""
    frames = np.stack([read_picture(folder / f"{i}.png").pixels[32:].astype(float) for i in range(8)])
    blocks = frames.reshape(8, 8, 8, 16, 8, 3).mean(axis=(2, 4))
    return np.ptp(blocks, axis=0).max()


@pytest.mark.parametrize("method", ["transport", "huenet"])
def test_one_map_does_not_flicker(shot, method):
    arguments = shot / "shot", shot / "target.png", "--method", method
    assert command(*arguments, "-o", shot / "each") == 0
    assert command(*arguments, "-o", shot / "one", "--one-map") == 0
    assert wobble(shot / "one") < 3 < wobble(shot / "each")


def test_a_map_is_applied_as_it_is(files, capsys):
    write_lut(files / "look.cube", sampled(lambda rgb, *_: rgb[..., ::-1] ** 2, 33).table)
    (files / "in").mkdir()
    for i in range(2):
        Image.fromarray(scene(i)).save(files / f"in/{i}.png")
    assert command(files / "in", "-o", files / "out", "--map", files / "look.cube") == 0
    wanted = Lut(read_lut(files / "look.cube"))(scene(1).astype(np.float32) / 255) * 255
    assert np.abs(read_picture(files / "out/1.png").pixels - wanted).max() <= 1
    assert command("--map", files / "look.cube", files / "source.png", "-o", files / "one.png") == 0


def test_a_map_and_the_pair_that_it_is_of_agree(files):
    from huenet.map import main

    pair = files / "source.png", files / "target.png"
    options = "--method", "transport", "--saturation", 0.4
    assert status(main, *pair, "-o", files / "look.png", *options) == 0
    assert command(files / "source.png", "-o", files / "one.png", "--map", files / "look.png") == 0
    assert command(*pair, "-o", files / "two.png", *options) == 0
    apart = read_picture(files / "one.png").pixels.astype(int) - read_picture(files / "two.png").pixels
    assert np.abs(apart).mean() < 1


def test_targets_are_added_weighed_and_masked(files):
    source, out = files / "source.png", files / "out.png"
    for name, colour in (("red", RED), ("green", GREEN)):
        Image.fromarray(plain(colour)).save(files / f"{name}.png")
    arguments = source, files / "red.png", "-o", out, "--force", "--method", "transport"
    assert command(*arguments, "--add-target", files / "green.png", "--target-weights", "1,3") == 0
    wanted = recolor(scene(0), [plain(RED), plain(GREEN)], method="transport", target_weights=[1, 3])
    np.testing.assert_array_equal(read_picture(out).pixels, wanted)
    half = np.zeros((40, 40), np.uint8)
    half[:20] = 255
    Image.fromarray(half).save(files / "half.png")
    assert command(source, files / "target.png", *arguments[2:], "--target-mask", files / "half.png") == 0
    wanted = recolor(scene(0), scene(1, 40, 40), method="transport", target_mask=half)
    np.testing.assert_array_equal(read_picture(out).pixels, wanted)


def test_a_sequence_without_colour_is_copied_with_a_note(files, capsys):
    (files / "in").mkdir()
    for i in range(2):
        Image.fromarray(plain(GREY)).save(files / f"in/{i}.png")
    assert command(files / "in", files / "target.png", "-o", files / "out", "--one-map") == 0
    assert "note: --one-map: the source has no colour" in capsys.readouterr().err
    np.testing.assert_array_equal(read_picture(files / "out/1.png").pixels, plain(GREY))


def test_what_does_not_go_together_is_refused_by_name(files, capsys):
    source, target, out = files / "source.png", files / "target.png", ("-o", files / "out.png")
    write_lut(files / "look.cube", sampled(lambda rgb, *_: rgb, 2).table)
    (files / "folder").mkdir()
    Image.fromarray(scene(0)).save(files / "folder/a.png")
    look = "--map", files / "look.cube"
    for arguments, message in (
        ((source,), "name SOURCE and TARGET, or --map in place of TARGET"),
        ((source, *look, "--method", "transport"), "--method does nothing with --map"),
        ((source, *look, "--strength", 0.5), "--strength does nothing with --map"),
        ((source, *look, "--add-target", target), "--add-target does nothing with --map"),
        ((source, *look, "--one-map"), "--one-map does nothing with --map"),
        ((source, "--map", target), "target.png: no HaldCLUT: 40 x 40 pixels"),
        ((source, "--map", files / "no.cube"), "no.cube: no such file"),
        ((source, target, "--target-weights", "1,2"), "--target-weights is for several targets"),
        ((source, target, "--add-target", target, "--target-weights", "1"), "target weights must be 2 numbers"),
        ((source, target, "--target-weights", "a"), "must be numbers with commas between, got 'a'"),
        ((source, target, "--target-mask", source), "the target mask has 64 x 48 pixels and the target 40 x 40"),
        ((source, files / "folder", "--one-map"), "--one-map needs one TARGET for all, not a folder"),
        ((source, target, "--one-map", "--skip-existing"), "--one-map with --skip-existing would find another map"),
    ):
        assert message in error_of(capsys, *arguments, *out)
    assert not (files / "out.png").exists()
