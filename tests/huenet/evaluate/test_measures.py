"""The figures of a pair against other libraries and the paper's formulas, and what each method promises."""

from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch
from oracles import sklearn_mi
from reference import circular_emd
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

from huenet.color import chroma, hsv_to_rgb, rgb_to_hsv
from huenet.evaluate.measures import FIGURES, METHODS, WIDTHS, figures, outputs
from huenet.images.read import read_square
from huenet.methods.descent import optimize
from huenet.methods.transport import apply_displacement, hue_transport
from huenet.metrics import hue_emd, incoherence

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
    for name, picture in made.items():
        even = np.ones_like(source[0])
        assert found[name]["emd_hard"] == pytest.approx(hard_emd(picture[0], target[0], even, even), abs=1e-9)
        weights = chroma(picture), chroma(target)
        assert found[name]["chroma_emd"] == pytest.approx(hard_emd(picture[0], target[0], *weights), abs=1e-9)
        assert found[name]["mi_hard"] == pytest.approx(sklearn_mi(source[0], picture[0]), abs=1e-9)
        assert found[name]["incoherence"] == pytest.approx(incoherence(picture[0], chroma(picture)), abs=1e-12)
        lightness = [rgb2lab(hsv_to_rgb(hsv).transpose(1, 2, 0))[..., 0] for hsv in (source, picture)]
        assert found[name]["lightness"] == pytest.approx(np.abs(np.subtract(*lightness)).mean(), abs=1e-9)
        assert set(found[name]) == set(FIGURES)
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


def test_ssim_follows_wangs_formula_and_luma_that_of_bt601(pair):
    source, _ = pair
    # plain pictures have no variance: what is left is the term of the means
    plain = [np.broadcast_to(np.reshape(hsv, (3, 1, 1)), source.shape) for hsv in ((0, 1, 0.8), (1 / 3, 1, 0.8))]
    a, b = 0.299 * 0.8, 0.587 * 0.8
    expected = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
    assert figures(plain[0], source, {"made": plain[1]})["made"]["ssim"] == pytest.approx(expected, abs=1e-6)
    assert figures(source, source, {"identity": source})["identity"]["ssim"] == 1


def test_ssim_is_wangs_mean_over_gaussian_windows(pair):
    x, y = (np.tensordot([0.299, 0.587, 0.114], hsv_to_rgb(hsv), 1) for hsv in pair)
    mean = partial(gaussian_filter, sigma=1.5, truncate=3.5)
    products = mean(x * x) - mean(x) ** 2, mean(y * y) - mean(y) ** 2, mean(x * y) - mean(x) * mean(y)
    luminance = (2 * mean(x) * mean(y) + 1e-4) / (mean(x) ** 2 + mean(y) ** 2 + 1e-4)
    structure = (2 * products[2] + 9e-4) / (products[0] + products[1] + 9e-4)
    expected = (luminance * structure)[5:-5, 5:-5].mean()  # where windows of 11 pixels are whole
    assert figures(*pair, {"made": pair[1]})["made"]["ssim"] == pytest.approx(expected, abs=1e-9)


def test_known_results_of_the_source_itself(pair):
    own = figures(*pair, {"identity": pair[0]})["identity"]
    assert own["mi_hard"] == pytest.approx(1)
    assert own["lightness"] == 0
    assert 0 < own["floor_hard"] < 0.6
    assert own["floor_soft"] < own["mi_soft"] < 1


def test_chance_has_the_same_pixels_in_another_order(rng):
    hue = rng.random((64, 64)) ** 2
    source = np.stack([hue, hue, hue])
    found = figures(source, source, {"identity": source})
    rows = [sklearn_mi(hue, rng.permutation(hue.ravel()).reshape(hue.shape)) for _ in range(5)]
    assert found["identity"]["floor_hard"] == pytest.approx(np.mean(rows), abs=4 * np.std(rows) + 1e-3)


def test_every_method_keeps_its_promise(pair):
    source, target = pair
    made = outputs(source, target, {})
    assert list(made) == [name for name in METHODS if name not in ("huenet", "without_mi")]
    distance = {name: hue_emd(picture[0], target[0]) for name, picture in made.items()}
    assert distance["transport"] == pytest.approx(0, abs=1e-3)
    assert distance["linear"] == pytest.approx(0, abs=1e-3)
    hue, moved = source[0].ravel(), made["linear"][0].ravel()
    assert (np.diff(moved[np.lexsort((moved, hue))]) >= 0).all()  # monotone, without a cut but at red
    assert max(distance["smooth8"], distance["rotation"]) < distance["identity"]
    assert distance["smooth8"] < distance["smooth16"]
    by_chroma = {name: hue_emd(made[name][0], target[0], chroma(source), chroma(target)) for name in made}
    assert by_chroma["chroma8"] < by_chroma["smooth8"]
    for name, picture in made.items():
        assert (name == "reinhard") != np.array_equal(picture[1:], source[1:])
    for width in WIDTHS:
        for family, weights in (("smooth", [None, None]), ("chroma", [chroma(hsv) for hsv in pair])):
            hists = [
                np.histogram(hsv[0], 256, (0, 1), weights=w)[0] * 1.0 for hsv, w in zip(pair, weights, strict=True)
            ]
            expected = apply_displacement(source[0], hue_transport(*hists, smooth=width))
            np.testing.assert_allclose(made[f"{family}{width}"][0], expected, atol=1e-6)
    descended = optimize(source.astype(np.float32), target.astype(np.float32))
    np.testing.assert_allclose(made["optimize"][0], descended, atol=1e-6)
    assert by_chroma["optimize"] < by_chroma["identity"]
    assert np.corrcoef(made["reinhard"][2].ravel(), source[2].ravel())[0, 1] > 0.8
    rotated = np.stack([(source[0] + 0.25) % 1, source[1], source[2]])
    np.testing.assert_allclose(outputs(source, rotated, {})["rotation"][0], rotated[0], atol=1e-9)


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
        assert found["chroma16"]["emd_hard"] == found["identity"]["emd_hard"]
        assert found["identity"]["incoherence"] == 0
