"""The figures of a pair against other libraries and the paper's formulas, and what each method promises."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch
from oracles import sklearn_mi
from reference import circular_emd
from skimage.color import rgb2lab

from huenet.color import chroma, hsv_to_rgb, rgb_to_hsv
from huenet.config import from_preset
from huenet.evaluate.measures import CURVES, DIAL, FIGURES, FRONTIER, STRENGTHS, TITLES, dialled, figures, outputs
from huenet.images.read import read_square
from huenet.methods.transport import transport
from huenet.metrics import change_of_light, hue_emd, incoherence, palette_distance, parting, surfaces
from huenet.model.inference import output_hue
from huenet.model.networks import build_generator
from huenet.transfer.methods import METHODS
from huenet.transfer.recoloring import recolor

torch.set_num_threads(1)


@pytest.fixture
def pair(folder):
    return [rgb_to_hsv(read_square(folder / f"0{i}.png", 32).transpose(2, 0, 1) / 255) for i in (0, 1)]


def hard_emd(hue, other, *weights):
    """Eq. 14 with NumPy's histograms."""
    pairs = zip((hue, other), weights, strict=True)
    return circular_emd(*(np.histogram(h, 256, (0, 1), weights=w)[0] for h, w in pairs))


def test_figures_are_those_of_other_libraries(pair):
    source, target = pair
    made = outputs(source, target, {})
    found = figures(source, target, made)
    assert list(found) == [*made, "target"]
    lightness = rgb2lab(hsv_to_rgb(source), channel_axis=0)[0]
    coloured = chroma(source) > 0.1
    for name, picture in made.items():
        assert found[name]["palette"] == pytest.approx(palette_distance(picture, target), abs=1e-9)
        assert found[name]["incoherence"] == pytest.approx(incoherence(picture[0], chroma(picture)), abs=1e-12)
        moved = np.abs(rgb2lab(hsv_to_rgb(picture), channel_axis=0)[0] - lightness)[coloured].mean()
        assert found[name]["light"] == pytest.approx(moved, abs=0.02)
        least = np.minimum(chroma(source), chroma(picture))
        expected = parting(source[0], picture[0], least, surfaces(hsv_to_rgb(source)))
        assert found[name]["parting"] == pytest.approx(expected)
        if name in TITLES:
            even = np.ones_like(source[0])
            assert found[name]["emd_hard"] == pytest.approx(hard_emd(picture[0], target[0], even, even), abs=1e-9)
            assert found[name]["mi_hard"] == pytest.approx(sklearn_mi(source[0], picture[0]), abs=1e-9)
    assert set(found["identity"]) == set(FIGURES)
    assert found["target"]["mi_hard"] == pytest.approx(sklearn_mi(source[0], target[0]), abs=1e-9)


def test_soft_figures_are_the_papers_bins(pair):
    """Eq. 6 and 9 written out: a difference of sigmoids for each pixel and bin, wrapped around the circle."""
    source, target = pair

    def spread(hue):
        edges = np.arange(-256, 513) / 256
        rise = 1 / (1 + np.exp(-np.clip((hue.ravel()[:, None] - edges) * 256 * 2.5, -60, 60)))
        return (rise[:, :-1] - rise[:, 1:]).reshape(-1, 3, 256).sum(axis=1)

    def relative(one, other):
        joint = spread(one).T @ spread(other) / one.size
        entropy = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in (joint.sum(0), joint.sum(1), joint)]
        return (entropy[0] + entropy[1] - entropy[2]) / entropy[2]

    found = figures(source, target, {"identity": source})
    assert found["identity"]["mi_soft"] == pytest.approx(relative(source[0], source[0]), abs=1e-4)
    assert found["target"]["mi_soft"] == pytest.approx(relative(source[0], target[0]), abs=1e-4)
    emd = circular_emd(spread(source[0]).mean(0), spread(target[0]).mean(0))
    assert found["identity"]["emd_soft"] == pytest.approx(emd, abs=1e-5)


def test_known_results_of_the_source_itself(pair):
    own = figures(*pair, {"identity": pair[0]})["identity"]
    assert own["mi_hard"] == pytest.approx(1)
    assert own["light"] == own["parting"] == 0
    assert 0 < own["floor_hard"] < 0.6
    assert own["floor_soft"] < own["mi_soft"] < 1


def test_chance_has_the_same_pixels_in_another_order(rng):
    hue = rng.random((64, 64)) ** 2
    source = np.stack([hue, hue, hue])
    found = figures(source, source, {"identity": source})
    rows = [sklearn_mi(hue, rng.permutation(hue.ravel()).reshape(hue.shape)) for _ in range(5)]
    assert found["identity"]["floor_hard"] == pytest.approx(np.mean(rows), abs=4 * np.std(rows) + 1e-3)


def test_the_tables_methods_do_what_the_tool_does(pair):
    """Each as it is, and each curve at every strength; a method more in the table is measured without a line here."""
    source, target = pair
    made = outputs(source, target, {})
    asked = {name: (name, {}) for name in METHODS if name in TITLES and name != "huenet"}
    for curve, (method, options) in CURVES.items():
        asked |= {p: (method, {**options, "strength": s}) for p, s in zip(FRONTIER[curve], STRENGTHS, strict=True)}
    assert list(made) == ["identity", "rotation", "exact", *asked]
    assert {method for method, _ in asked.values()} == METHODS.keys() - {"huenet"}
    pictures = [hsv_to_rgb(hsv).transpose(1, 2, 0).astype(np.float32) for hsv in pair]
    for name, (method, options) in asked.items():
        wanted = recolor(*pictures, method=method, **options)
        np.testing.assert_allclose(hsv_to_rgb(made[name]).transpose(1, 2, 0), wanted, atol=1e-5, err_msg=name)


def test_yardsticks_keep_their_promise(pair):
    source, target = pair
    made = outputs(source, target, {})
    distance = {name: hue_emd(picture[0], target[0]) for name, picture in made.items()}
    assert distance["exact"] == pytest.approx(0, abs=1e-3)
    assert distance["rotation"] < distance["identity"]
    for name, picture in made.items():
        moved = change_of_light(source, picture)
        assert moved > 2 if name == "reinhard" else moved < 1
    coloured = chroma(source) > 0.02
    turn = made["exact"][0] - transport(source[0], target[0])
    np.testing.assert_allclose((turn - np.round(turn))[coloured], 0, atol=1e-5)
    rotated = np.stack([(source[0] + 0.25) % 1, source[1], source[2]])
    turn = outputs(source, rotated, {})["rotation"][0] - rotated[0]
    np.testing.assert_allclose((turn - np.round(turn))[coloured], 0, atol=1e-6)


def test_a_network_is_painted_at_every_setting_of_its_dial_or_once_without(pair):
    source, target = pair
    torch.manual_seed(0)
    generator = build_generator(from_preset("default", size=32, width=4, features=False)).eval()
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    made = outputs(source, target, {"huenet": generator, "without_mi": generator})
    coloured = chroma(source) > 0.02
    for c in DIAL:
        turn = made[dialled(c)][0] - output_hue(generator, source, target, c)
        np.testing.assert_allclose((turn - np.round(turn))[coloured], 0, atol=1e-5)
    assert np.abs(made["huenet@0"] - made["huenet@1"]).max() > 1e-3
    np.testing.assert_array_equal(made["without_mi"], made["huenet"])
    fixed = build_generator(from_preset("default", size=32, width=4, features=False, palette_dial=0.0, adv_dial=0.0))
    assert [name for name in outputs(source, target, {"huenet": fixed.eval()}) if "huenet" in name] == ["huenet"]


@pytest.mark.parametrize("preset", ["paper", "default"])
def test_the_papers_network_keeps_value_and_the_others_keep_light(pair, preset):
    source, target = pair
    torch.manual_seed(0)
    generator = build_generator(from_preset(preset, size=32, width=4, features=False)).eval()
    made = outputs(source, target, {"huenet": generator})["huenet"]
    assert np.array_equal(made[1:], source[1:]) == (preset == "paper")
    assert (change_of_light(source, made) < 1) == (preset == "default")


@pytest.mark.parametrize(
    "kinds", [("grey", "blobs"), ("blobs", "grey"), ("grey", "grey"), ("black", "one"), ("one", "blobs")]
)
def test_pictures_without_colour_have_figures_too(pair, kinds):
    rgb = {"grey": (0.5, 0.5, 0.5), "black": (0.0, 0.0, 0.0), "one": (0.8, 0.2, 0.1)}
    hsv = {name: rgb_to_hsv(np.tile(np.reshape(colour, (3, 1, 1)), (1, 32, 32))) for name, colour in rgb.items()}
    hsv["blobs"] = pair[0]
    source, target = (hsv[kind] for kind in kinds)
    found = figures(source, target, outputs(source, target, {}))
    assert all(np.isfinite(value) for row in found.values() for value in row.values())
    if kinds[0] == "grey":
        assert found["smooth 16"]["emd_hard"] == found["identity"]["emd_hard"]
        assert found["identity"]["incoherence"] == 0
