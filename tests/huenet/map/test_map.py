"""`huenet map`: the table does what `huenet transfer` does, and says how nearly."""

import re
from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from commands import refusal, status
from scenes import plain, scene

from huenet.images.lut import read_lut
from huenet.images.picture import Picture, write_picture
from huenet.map import main
from huenet.methods.lut import Lut
from huenet.transfer import recolor

command, error_of = partial(status, main), partial(refusal, main)


@pytest.mark.parametrize(("method", "options"), [("reinhard", {}), ("transport", {"saturation": 0.5, "smooth": 30})])
@pytest.mark.parametrize("name", ["look.cube", "look.png"])
def test_the_table_is_the_method(files, capsys, method, options, name):
    from skimage.color import deltaE_ciede2000, rgb2lab

    given = [word for key, value in options.items() for word in (f"--{key}", value)]
    size = ["--size", 65] if name.endswith("cube") else []
    arguments = files / "source.png", files / "target.png", "-o", files / name, "--method", method, *given, *size
    assert command(*arguments) == 0
    told = re.search(r"cost ([\d.]+) dE2000 on average", capsys.readouterr().out)[1]
    found = Lut(read_lut(files / name))(scene(0).astype(np.float32) / 255)
    wanted = recolor(scene(0) / 255, scene(1, 40, 40), method=method, **options)
    apart = deltaE_ciede2000(rgb2lab(found), rgb2lab(wanted)).mean()
    assert apart < 0.3
    assert apart == pytest.approx(float(told), abs=0.03)


def test_what_a_network_does_by_place_is_left_out_and_its_cost_said(files, capsys):
    assert command(files / "source.png", files / "target.png", "-o", files / "look.cube", "--size", 17) == 0
    assert "left out, since it depends on place: " in capsys.readouterr().out


def test_one_line_for_every_wrong_request(files, capsys):
    source, target, out = files / "source.png", files / "target.png", files / "look.cube"
    write_picture(files / "grey.png", Picture(plain((90, 90, 90))))
    (files / "old.cube").write_text("precious")
    for arguments, message in (
        ((source, target, "-o", files / "look.txt"), "look.txt: the name must end in one of .cube, .png"),
        ((source, target, "-o", files / "old.cube"), "old.cube exists; --force replaces"),
        ((source, target, "-o", files / "a.png", "--size", 33), "--size must be"),
        ((source, target, "-o", out, "--size", 1), "--size must be"),
        ((source, files / "grey.png", "-o", out), "nothing to map: the target has no colour"),
        ((source, files / "no.png", "-o", out), "no.png: no such file"),
        (
            (source, target, "-o", out, "--method", "reinhard", "--smooth", 3),
            "--smooth is for method transport and relaxed",
        ),
        ((source, target, "-o", out, "--strength", 0), "nothing to map: --strength is 0"),
    ):
        assert message in error_of(capsys, *arguments)
    assert not out.exists()
    assert (files / "old.cube").read_text() == "precious"
