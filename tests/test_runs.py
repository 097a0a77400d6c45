"""The learner's runs are in one folder, from wherever the course is used."""

from course_lib import runs


def test_a_notebook_and_the_command_line_mean_the_same_folder(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    from_the_top = runs.folder().resolve()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert runs.folder().resolve() == from_the_top == (tmp_path / "runs").resolve()
    assert not runs.folder().is_absolute()


def test_elsewhere_it_is_beside_the_reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runs.folder().resolve() == (tmp_path / "runs").resolve()
