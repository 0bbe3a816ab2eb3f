"""`huenet app`: what it computes, that it keeps to this machine, and a browser that uses it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from commands import refusal
from PIL import Image
from scenes import scene

from huenet.app import main, studio
from huenet.images.lut import read_lut
from huenet.images.picture import read_picture
from huenet.transfer import recolor

DIALS = {"method": "transport", "strength": 0.7, "keep": "light", "saturation": 0.5, "light": 0.0}


def test_the_preview_is_what_recolor_makes():
    made, notes = studio.preview(scene(0), scene(1), None, DIALS)
    np.testing.assert_array_equal(made, recolor(scene(0), scene(1), **DIALS))
    assert notes == []
    _, notes = studio.preview(scene(0), np.full((4, 4, 3), 90, np.uint8), None, {**DIALS, "method": "reinhard"})
    grey = studio.preview(scene(0), np.full((4, 4, 3), 90, np.uint8), None, DIALS)[1]
    assert "no colour" in grey[0]
    assert notes == []


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


@pytest.mark.slow
def test_a_browser_gets_a_result_and_files(address, files):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and its driver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1600"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)

    def wait(selector):
        for _ in range(240):
            if found := browser.find_elements("css selector", selector):
                return found
            time.sleep(0.5)
        raise AssertionError(f"no {selector} on the page")

    try:
        browser.get(address)
        for name in ("source", "target"):
            wait(f"#{name} input[type=file]")[0].send_keys(str(files / f"{name}.png"))
            wait(f"#{name} img")
        wait("#result img")
        wait("#finish")[0].click()
        wait("#files a")
        names = browser.find_element("css selector", "#files").text
        assert "recoloured" in names
        assert ".cube" in names
    finally:
        browser.quit()
