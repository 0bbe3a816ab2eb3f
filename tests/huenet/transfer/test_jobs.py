"""Which picture goes where: nothing that was read is written over, and no result is read as a source."""

import os

import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from huenet.transfer.jobs import Job, JobError, plan


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Empty files, whose names are all that counts here, and the working folder above them."""
    for name in ("in/a.png", "in/b/c.JPG", "in/notes.txt", "in/folder.png/d.bmp", "t.png", "two/1.png", "two/2.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_keeps_its_shape(tree):
    source, target, out = (tree / name for name in ("in", "t.png", "out"))
    assert plan(source, target, out) == [
        Job(source / name, target, out / result)
        for name, result in (("a.png", "a.png"), ("b/c.JPG", "b/c.JPG"), ("folder.png/d.bmp", "folder.png/d.png"))
    ]


@pytest.mark.parametrize("place", ["in", "."])
def test_results_of_earlier_runs_are_no_sources_however_the_folders_are_named(tree, monkeypatch, place):
    monkeypatch.chdir(tree / place)
    (tree / "in/out").mkdir()
    (tree / "in/out/a.png").touch()
    relative = os.path.relpath(tree / "in")
    for source in (tree / "in", type(tree)(relative)):
        for out in (tree / "in/out", type(tree)(relative) / "out"):
            jobs = plan(source, tree / "t.png", out, force=True)
            assert [job.source.relative_to(source).as_posix() for job in jobs] == [
                "a.png",
                "b/c.JPG",
                "folder.png/d.bmp",
            ]


def test_results_may_go_above_the_folder_that_is_read(tree):
    jobs = plan(tree / "in/b", tree / "t.png", tree)
    assert jobs == [Job(tree / "in/b/c.JPG", tree / "t.png", tree / "c.JPG")]


@pytest.mark.posix
def test_what_is_read_is_never_written(tree):
    a, t = tree / "in/a.png", tree / "t.png"
    (tree / "link.png").symlink_to(a)
    for source, target, out, mask in (
        (tree / "in", t, tree / "in", None),
        (a, tree / "two", tree / "two", None),
        (tree / "link.png", t, a, None),
        (a, t, tree / "two/1.png", tree / "two/1.png"),
    ):
        with pytest.raises(JobError, match=r"is one of the pictures read; name another -o"):
            plan(source, target, out, mask=mask, force=True)


@pytest.mark.parametrize(
    ("source", "target", "out", "message"),
    [
        ("no.png", "t.png", "o.png", r"no\.png: no such file or folder"),
        ("t.png", "no", "o.png", r"no: no such file or folder"),
        ("in", "two", "o", r"in has 3 pictures and two 2: they are paired in order of name"),
        ("in", "t.png", "t.png", r"t\.png is a file; for a folder of pictures -o must name a folder"),
        ("t.png", "two/1.png", "o", r"o: the name must end in one of \.png, "),
        ("t.png", "two/1.png", "in/a.png/o.png", r"in/a\.png is a file, not a folder that could hold o\.png"),
        ("t.png", "two/1.png", "in/a.png", r"in/a\.png exists; --force replaces"),
    ],
)
def test_wrong_paths_are_named(tree, source, target, out, message):
    with pytest.raises(JobError, match=f"^{message}"):
        plan(*(type(tree)(name) for name in (source, target, out)))


def test_a_folder_is_not_replaced_by_a_file(tree):
    (tree / "out/a.png").mkdir(parents=True)
    with pytest.raises(JobError, match=r"a\.png is a folder; name a file"):
        plan(tree / "in", tree / "t.png", tree / "out", force=True)
