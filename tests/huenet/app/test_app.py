"""`huenet app`: what it computes, that it keeps to this machine, and a browser that uses it."""

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import warnings

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from commands import refusal
from PIL import Image
from scenes import scene

from huenet._notes import noted
from huenet.app import main, studio
from huenet.images.lut import read_lut
from huenet.images.picture import read_picture
from huenet.transfer import recolor
from huenet.transfer.methods import METHODS

DIALS = {"method": "transport", "closeness": 0.4, "strength": 0.7, "keep": "light", "saturation": 0.5, "light": 0.0}


def test_the_preview_is_what_recolor_makes():
    made, notes = studio.preview(scene(0), scene(1), None, DIALS)
    np.testing.assert_array_equal(
        made, recolor(scene(0), scene(1), **{name: value for name, value in DIALS.items() if name != "closeness"})
    )
    assert notes == []
    dialled = {**DIALS, "method": "huenet", "closeness": 1.0}
    made, _ = studio.preview(scene(0), scene(1), None, dialled)
    np.testing.assert_array_equal(made, recolor(scene(0), scene(1), **dialled))
    assert (made != studio.preview(scene(0), scene(1), None, {**dialled, "closeness": 0.0})[0]).any()
    _, notes = studio.preview(scene(0), np.full((4, 4, 3), 90, np.uint8), None, {**DIALS, "method": "reinhard"})
    grey = studio.preview(scene(0), np.full((4, 4, 3), 90, np.uint8), None, DIALS)[1]
    assert "no colour" in grey[0]
    assert notes == []


def test_warnings_for_programmers_are_no_notes():
    """Such as one of another thread's open file, with its name."""
    warnings.simplefilter("always")  # pytest puts its own back
    with noted() as notes:
        warnings.warn("unclosed file", ResourceWarning, stacklevel=1)
        warnings.warn("a picture without colour", stacklevel=1)
    assert notes == ["a picture without colour"]


def test_the_picture_comes_at_full_size_with_its_metadata_and_its_map(files):
    image = Image.fromarray(scene(0, 900, 1500))
    exif = image.getexif()
    exif[0x010E] = "a description"
    image.save(files / "large.jpg", exif=exif, quality=95)
    strokes = np.zeros((615, 1024), np.uint8)
    strokes[:, 512:] = 255
    assert max(studio.shown(files / "large.jpg").shape) == 1024
    paths = studio.finished(files / "large.jpg", files / "target.png", strokes, DIALS)
    made = read_picture(paths[0]).pixels
    before = read_picture(files / "large.jpg").pixels
    assert made.shape == (900, 1500, 3)
    assert (
        np.abs(made[:, :740].astype(int) - before[:, :740]).mean() < 1 < np.abs(made[:, 760:] - before[:, 760:]).mean()
    )
    with Image.open(paths[0]) as result:
        assert result.getexif()[0x010E] == "a description"
    assert read_lut(paths[1]).shape == (33, 33, 33, 3)
    again = studio.finished(files / "large.jpg", files / "target.png", None, DIALS)
    assert os.path.dirname(again[0]) != os.path.dirname(paths[0])  # no two requests share a folder
    for path in (*paths, *again):
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)


def test_the_page_has_every_option_of_every_method():
    """`run`, which names a folder, is given where the page is started."""
    page = pytest.importorskip("huenet.app.page", exc_type=ImportError)
    assert {*page.DIALS, "run"} == {name for method in METHODS.values() for name in method.options()}
    shown = [update["visible"] for update in page._shown_for("relaxed")]
    assert [name for name, visible in zip(page.DIALS, shown, strict=True) if not visible] == ["closeness"]


def test_a_run_that_is_none_is_named(capsys, tmp_path):
    pytest.importorskip("gradio")
    assert "has no model.safetensors" in refusal(main, capsys, "--run", tmp_path)


def test_without_its_extra_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("huenet.app.command.find_spec", lambda name: None)
    assert "needs gradio: pip install 'diffhist[huenet,app]'" in refusal(main, capsys)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page, served; its files must be gone when it has ended."""
    pytest.importorskip("gradio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = tmp_path_factory.mktemp("place")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(place)}
    process = subprocess.Popen([sys.executable, "-m", "huenet.app", "--port", str(port)], env=environment)
    try:
        for _ in range(600):
            assert process.poll() is None
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(60)
    assert list(place.glob("huenet-app-*")) == []


@pytest.mark.slow
def test_the_page_asks_nobody_else(address):
    with urllib.request.urlopen(address) as response:
        policy = response.headers["Content-Security-Policy"]
        text = response.read().decode()
    assert policy.startswith("default-src 'self'")
    assert "http:" not in policy
    assert "googleapis" not in text
    assert '"analytics_enabled":true' not in text.replace(" ", "")


@pytest.fixture
def browsers(address):
    """Opens the page in a browser of its own, as often as it is called."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and its driver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver")
    opened = []

    def one():
        options = webdriver.ChromeOptions()
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1600"):
            options.add_argument(flag)
        options.binary_location = shutil.which("chromium")
        opened.append(webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))))
        opened[-1].get(address)
        return opened[-1]

    yield one
    for browser in opened:
        browser.quit()


def wait(browser, selector, text=""):
    """The elements, as soon as there are some, and with such a text."""
    for _ in range(240):
        if found := [
            e for e in browser.find_elements("css selector", selector) if text in e.get_property("textContent")
        ]:
            return found
        time.sleep(0.5)
    raise AssertionError(f"no {selector} {text} on the page")


def drop(browser, name, path):
    wait(browser, f"#{name} input[type=file]")[0].send_keys(str(path))


def downloaded(browser):
    """The result at full size, fetched as the browser would."""
    wait(browser, "#files a")
    (link,) = [
        a.get_attribute("href")
        for a in browser.find_elements("css selector", "#files a")
        if "recoloured" in a.get_attribute("href")
    ]
    with urllib.request.urlopen(link) as response, Image.open(io.BytesIO(response.read())) as image:
        return np.asarray(image)


@pytest.mark.slow
def test_two_at_once_get_what_is_theirs(browsers, files):
    """Each its own result and the map, at full size; nobody the other's."""
    scenes = {"alpaca": (scene(0), scene(1)), "zebra": (scene(2), scene(3))}
    users = {name: browsers() for name in scenes}
    for name, browser in users.items():
        for which, picture in zip(("source", "target"), scenes[name], strict=True):
            Image.fromarray(picture).save(files / f"{name}-{which}.png")
            drop(browser, which, files / f"{name}-{which}.png")
    for browser in users.values():
        wait(browser, "#result img")
        wait(browser, "#finish")[0].click()
    for name, browser in users.items():
        np.testing.assert_array_equal(downloaded(browser), recolor(*scenes[name]))
        names = browser.find_element("css selector", "#files").text
        assert f"{name}-source-map" in names.replace("\n", "")
        assert not any(f"{stranger}-source" in browser.page_source for stranger in scenes.keys() - {name})


@pytest.mark.slow
def test_a_bomb_is_refused_on_the_page(browsers, files):
    with Image.new("1", (20_000, 20_000)) as bomb:  # 400 megapixels in 50 kB
        bomb.save(files / "bomb.png")
    browser = browsers()
    drop(browser, "source", files / "bomb.png")
    wait(browser, ".toast-body", "pixels")
