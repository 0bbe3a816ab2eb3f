"""Pictures in folders, for every test of huenet that asks."""

import pytest


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Twelve small pictures, to be read alone."""
    from runs import make_pictures

    return make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def files(tmp_path):
    """A folder with source.png, 64 x 48, and target.png, 40 x 40."""
    from PIL import Image
    from scenes import scene

    Image.fromarray(scene(0)).save(tmp_path / "source.png")
    Image.fromarray(scene(1, 40, 40)).save(tmp_path / "target.png")
    return tmp_path
