"""Which picture goes where: nothing that was read is written over, and no result is read as a source."""

import os

import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from huenet.transfer.jobs import Job, JobError, plan


def jobs_of(source, target, out, **options):
    return plan([source], target, out, **options).jobs


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
    assert jobs_of(source, target, out) == [
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
            jobs = jobs_of(source, tree / "t.png", out, force=True)
            assert [job.source.relative_to(source).as_posix() for job in jobs] == [
                "a.png",
                "b/c.JPG",
                "folder.png/d.bmp",
            ]


def test_results_may_go_above_the_folder_that_is_read(tree):
    jobs = jobs_of(tree / "in/b", tree / "t.png", tree)
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
            jobs_of(source, target, out, mask=mask, force=True)


@pytest.mark.parametrize(
    ("source", "target", "out", "message"),
    [
        ("no.png", "t.png", "o.png", r"no\.png: no such file or folder"),
        ("t.png", "no", "o.png", r"no: no such file or folder"),
        ("in", "two", "o", r"in has 3 pictures and two 2: they are paired in order of name"),
        ("in", "t.png", "t.png", r"t\.png is a file; for a folder of pictures -o must name a folder"),
        ("in", "t.png", "o.png", r"o\.png names a picture, and a folder is to be written; end it in /"),
        ("t.png", "two", "o.JPG", r"o\.JPG names a picture, and a folder is to be written; end it in /"),
        ("t.png", "two/1.png", "o", r"o: the name must end in one of \.png, "),
        ("t.png", "two/1.png", "in/a.png/o.png", r"in/a\.png is a file, not a folder that could hold o\.png"),
        ("t.png", "two/1.png", "in/a.png", r"in/a\.png exists; --force replaces"),
    ],
)
def test_wrong_paths_are_named(tree, source, target, out, message):
    with pytest.raises(JobError, match=f"^{message}"):
        jobs_of(*(type(tree)(name) for name in (source, target, out)))


def test_a_folder_is_not_replaced_by_a_file(tree):
    (tree / "out/a.png").mkdir(parents=True)
    with pytest.raises(JobError, match=r"a\.png is a folder; name a file"):
        jobs_of(tree / "in", tree / "t.png", tree / "out", force=True)


def test_several_sources_go_into_one_folder_and_folders_keep_their_names(tree):
    sources, t = [tree / "t.png", tree / "two", tree / "in/b"], tree / "in/a.png"
    names = ["t.png", "two/1.png", "two/2.png", "b/c.JPG"]
    assert [job.out for job in plan(sources, t, tree / "out").jobs] == [tree / "out" / name for name in names]
    assert {job.target for job in plan(sources, t, tree / "out").jobs} == {t}
    with pytest.raises(JobError, match=r"SOURCE has 4 pictures and .*in 3: they are paired"):
        plan(sources, tree / "in", tree / "out")
    with pytest.raises(JobError, match=r"out/t\.png would be written more than once"):
        plan([tree / "t.png", tree / "t.png"], t, tree / "out")
    with pytest.raises(JobError, match=r"--mask is for one SOURCE file, not for a folder, or several"):
        plan(sources, t, tree / "out", mask=t)


def test_a_slash_at_the_end_means_a_folder(tree):
    assert jobs_of(tree / "two/1.png", tree / "t.png", f"{tree}/new/")[0].out == tree / "new/1.png"
    assert jobs_of(tree / "two", tree / "t.png", f"{tree}/new.png/")[0].out == tree / "new.png/1.png"


def test_what_exists_is_kept_where_that_is_wished(tree):
    (tree / "out/b").mkdir(parents=True)
    (tree / "out/b/c.JPG").touch()
    found = plan([tree / "in"], tree / "t.png", tree / "out", skip_existing=True)
    assert [job.out.name for job in found.jobs] == ["a.png", "d.png"]
    assert found.existing == [tree / "out/b/c.JPG"]
    with pytest.raises(JobError, match=r"c\.JPG exists; --force replaces, --skip-existing goes on"):
        plan([tree / "in"], tree / "t.png", tree / "out")
    with pytest.raises(JobError, match="give one of them"):
        plan([tree / "in"], tree / "t.png", tree / "out", skip_existing=True, force=True)


def test_what_is_no_picture_is_told_with_the_reason(tree):
    (tree / "in/.hidden").mkdir()
    (tree / "in/out").mkdir()
    assert plan([tree / "in"], tree / "t.png", tree / "in/out").left_out == {
        f"{tree}/in/notes.txt": "not a picture, by its name",
        f"{tree}/in/.hidden": "hidden",
        f"{tree}/in/out": "results of earlier runs",
    }


@pytest.mark.posix
def test_linked_folders_are_followed_and_circles_are_not(tree):
    (tree / "in/more").symlink_to(tree / "two")
    (tree / "in/b/above").symlink_to(tree / "in")
    found = plan([tree / "in"], tree / "t.png", tree / "out")
    assert [job.out.relative_to(tree / "out").as_posix() for job in found.jobs] == [
        "a.png", "b/c.JPG", "folder.png/d.png", "more/1.png", "more/2.png",
    ]  # fmt: skip
    assert found.left_out[f"{tree}/in/b/above"] == "searched already, as the folder itself"
