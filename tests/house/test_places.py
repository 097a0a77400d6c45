"""The learner's runs are in one folder, from wherever the course is used."""

from course_lib import places


def test_a_notebook_and_the_command_line_mean_the_same_folder(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    from_the_top = places.runs().resolve()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert places.runs().resolve() == from_the_top == (tmp_path / "runs").resolve()
    assert not places.runs().is_absolute()


def test_elsewhere_it_is_beside_the_reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert places.runs().resolve() == (tmp_path / "runs").resolve()
