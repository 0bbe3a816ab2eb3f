"""A place to download from."""

import pytest


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A server to download from, and a cache of its own."""
    pytest.importorskip("tqdm")
    import shops

    monkeypatch.setenv("HUENET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(shops.download, "PAUSE", 0.0)
    with shops.opened() as opened:
        yield opened
