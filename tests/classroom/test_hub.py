"""The hub: a real JupyterHub with its proxy, and four users at once; and what it is made of."""

import json
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from course_lib.classroom import hub
from course_lib.classroom.hub import lay_out, settings
from course_lib.errors import CourseError
from tests.classroom import hub_client

CONFIG = Path(hub.__file__).parent / "jupyterhub_config.py"
USERS = ("ada", "ben", "cem", "dan")


# What is laid out.


@pytest.fixture
def course(tmp_path):
    for name in ("notebooks/00.ipynb", "exercises/01.ipynb", "notebooks/.ipynb_checkpoints/x"):
        path = tmp_path / "course" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "course"


def test_a_user_gets_what_is_missing_and_keeps_their_own(course, tmp_path):
    mine = tmp_path / "mine"
    assert lay_out.lay_out(mine, course) == ["notebooks/00.ipynb", "exercises/01.ipynb"]
    assert lay_out.lay_out(mine, course) == []
    (mine / "exercises/01.ipynb").write_text("my answer")
    (mine / "notebooks/own.ipynb").write_text("my own")
    (mine / "notebooks/00.ipynb").unlink()
    assert lay_out.lay_out(mine, course) == ["notebooks/00.ipynb"]
    assert (mine / "exercises/01.ipynb").read_text() == "my answer"
    assert (mine / "notebooks/own.ipynb").read_text() == "my own"


def test_a_course_that_was_mended_replaces_only_what_nobody_changed(course, tmp_path):
    mine = tmp_path / "mine"
    lay_out.lay_out(mine, course)
    (mine / "exercises/01.ipynb").write_text("my answer")
    for name in ("notebooks/00.ipynb", "exercises/01.ipynb"):
        (course / name).write_text("mended")
    assert lay_out.lay_out(mine, course) == ["notebooks/00.ipynb"]
    assert lay_out.lay_out(mine, course) == []
    assert (mine / "exercises/01.ipynb").read_text() == "my answer"


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00", '{"notebooks/00.ipynb": 5}'])
def test_a_damaged_list_of_what_was_given_costs_nobody_their_work(course, tmp_path, content):
    mine = tmp_path / "mine"
    lay_out.lay_out(mine, course)
    (mine / "exercises/01.ipynb").write_text("my answer")
    (mine / ".course.json").write_text(content)
    assert lay_out.lay_out(mine, course) == []
    assert (mine / "exercises/01.ipynb").read_text() == "my answer"


def test_a_disk_that_fills_up_leaves_whole_files_and_the_rest_comes_later(
    course, tmp_path, monkeypatch
):
    mine, write = tmp_path / "mine", Path.write_bytes
    lay_out.lay_out(mine, course)
    (mine / "notebooks/own.ipynb").write_text("my own")
    for name in ("notebooks/00.ipynb", "exercises/01.ipynb"):
        (course / name).write_text("mended")

    def fills_up(path, data):
        write(path, data[:3] if "01" in path.name else data)
        if "01" in path.name:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as full, pytest.raises(OSError, match="No space"):
        full.setattr(Path, "write_bytes", fills_up)
        lay_out.lay_out(mine, course)
    assert (mine / "exercises/01.ipynb").read_text() == "exercises/01.ipynb"
    assert lay_out.lay_out(mine, course) == ["exercises/01.ipynb"]
    assert (mine / "exercises/01.ipynb").read_text() == "mended"
    assert (mine / "notebooks/own.ipynb").read_text() == "my own"


def test_a_home_that_is_full_still_gets_its_server(tmp_path, monkeypatch):
    from course_lib.classroom.hub import __main__ as begin

    def full(*_):
        raise OSError(28, "No space left on device")

    began = []
    monkeypatch.setattr(begin, "lay_out", full)
    monkeypatch.setattr(begin.os, "execv", lambda program, command: began.append(command))
    begin.main(["--port=1"])
    assert began == [[sys.executable, "-m", "jupyterhub.singleuser", "--port=1"]]


# The variants say the same.


class Config(dict):
    def __getattr__(self, name):
        return self.setdefault(name, Config())

    __setattr__ = dict.__setitem__


def test_the_littlest_hub_has_the_same_settings_and_its_own_culler():
    c = Config()
    text = (CONFIG.parent / "tljh.py").read_text(encoding="utf-8")
    exec(compile(text, "tljh.py", "exec"), {"get_config": lambda: c})  # as TLJH reads it
    assert c.Spawner.environment["INSIDE_R1_THREADS"] == "1"
    assert c.Spawner.cmd[1:] == ["-m", "course_lib.classroom.hub"]
    assert "services" not in c.JupyterHub


@pytest.mark.parametrize("given", [None, "", "a password for the class"])
def test_a_password_that_nobody_gave_is_told(given, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLASS_FOLDER", str(tmp_path / "class"))
    monkeypatch.delenv("CLASS_PASSWORD", raising=False)
    if given is not None:
        monkeypatch.setenv("CLASS_PASSWORD", given)
    c = Config()
    exec(compile(CONFIG.read_text(encoding="utf-8"), "c", "exec"), {"get_config": lambda: c})
    password = c.SharedPasswordAuthenticator.user_password
    assert password == given or (password in capsys.readouterr().out and len(password) > 8)


def test_the_values_for_kubernetes_are_those_of_the_settings():
    values = yaml.safe_load((CONFIG.parent / "values.yaml").read_text(encoding="utf-8"))
    c = Config()
    settings.apply(c)
    user = values["singleuser"]
    assert user["extraEnv"] == settings.ENVIRONMENT
    assert user["cmd"][1:] == c.Spawner.cmd[1:] and user["defaultUrl"] == c.Spawner.default_url
    assert user["startTimeout"] == settings.SECONDS
    assert (user["memory"]["limit"], user["cpu"]["limit"]) == (settings.MEMORY, settings.CORES)
    assert values["cull"]["timeout"] == settings.IDLE_SERVER


def test_a_machine_whose_name_leads_nowhere_says_so_before_the_hub_waits_for_itself(monkeypatch):
    def nowhere(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(settings.socket, "getaddrinfo", nowhere)
    everywhere = (":8000", "0.0.0.0:8000", "0:8000", "*:8000", "[::]:8000/class", "[0:0:0::0]:8000")
    for given in (f"http://{host}" for host in everywhere):
        with pytest.raises(CourseError, match="/etc/hosts"):
            settings.address(given)
    for given in ("http://127.0.0.1:8000", "https://[::1]:8000", "http://a.example:8000"):
        assert settings.address(given) == given


@pytest.mark.parametrize(
    "given", ["", ":8000", "8000", "localhost:8000", "192.168.1.20:8000", "[::1]:8000", "ftp://a:1",
              "http://", "http://[::1:8000", "http://x:abc", "http://0.0.0.0:99999"],
)  # fmt: skip
def test_what_is_no_address_is_one_sentence(given):
    with pytest.raises(CourseError, match="allowed is http://HOST:PORT"):
        settings.address(given)


# The real thing.


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A JupyterHub on loopback, as the README starts it; yields its address and its folder."""
    proxy = hub_client.proxy()
    if proxy is None:
        reason = "configurable-http-proxy could not be installed from npm"
        (pytest.fail if os.environ.get("COURSE_BROWSER") == "require" else pytest.skip)(reason)
    folder = tmp_path_factory.mktemp("class")
    with hub_client.serving(CONFIG, folder, proxy) as address:
        yield address, folder


@pytest.mark.slow
def test_four_users_at_once_learn_on_one_hub(address):
    where, folder = address
    began = time.monotonic()
    with ThreadPoolExecutor(len(USERS)) as pool:
        told = list(pool.map(lambda name: hub_client.learn(where, name), USERS))
    print(json.dumps({name: one.seconds for name, one in zip(USERS, told, strict=True)}))
    for name, one in zip(USERS, told, strict=True):
        home = folder / "homes" / name
        assert one.errors == [], one.errors
        assert "right" in one.checked.lower()
        assert one.threads == "1" and one.folder == str(home / "inside-r1" / "notebooks")
        kept = json.loads((home / ".local/share/inside-r1/progress.json").read_text())
        assert kept["sections"]["exercises"]["grpo.by_hand"]["outcome"] == "right"
    (parent,) = {one.parent for one in told}  # all are copies of one process
    assert b"course_lib.classroom.hub.warm" in Path(f"/proc/{parent}/cmdline").read_bytes()
    below = psutil.Process(int(parent)).children()
    assert not psutil.wait_procs(below, timeout=30)[1]  # the servers were stopped, so are these
    assert time.monotonic() - began < 600


@pytest.mark.slow
def test_a_wrong_password_and_a_name_that_is_a_path_are_turned_away(address):
    where, folder = address
    for name, password in (("eve", "wrong"), ("../eve", hub_client.PASSWORD)):
        with httpx.Client(base_url=where, follow_redirects=True, timeout=60) as client:
            assert hub_client.login(client, name, password).status_code in (400, 403)
    assert not (folder / "homes" / "eve").exists() and not (folder / "eve").exists()


@pytest.mark.slow
def test_what_a_user_deletes_is_there_again_at_the_next_start(address):
    where, folder = address
    home = folder / "homes" / "fay" / "inside-r1"
    with httpx.Client(base_url=where, follow_redirects=True, timeout=180) as client:
        hub_client.begin(client, "fay")
        (home / "notebooks" / "00_start_here.ipynb").unlink()
        (home / "exercises" / "own.txt").write_text("mine")
        hub_client.end(client, "fay")
        hub_client.begin(client, "fay")
        assert (home / "notebooks" / "00_start_here.ipynb").is_file()
        assert (home / "exercises" / "own.txt").read_text() == "mine"
        a_lost_connection_and_a_killed_kernel_lose_at_most_the_running_cell(client, "fay")
        hub_client.end(client, "fay")


def a_lost_connection_and_a_killed_kernel_lose_at_most_the_running_cell(client, name):
    kernel = hub_client.session(client, name)
    kernel.run("from course_lib.checklist import progress\nprogress.record('a', 'right')\nmine = 5")
    kernel.send("import time; time.sleep(1); mine += 1")
    kernel.socket.close()
    kernel = hub_client.connect(client, name, kernel.ident)
    assert kernel.run("print(mine)") == ("6\n", [])
    kernel.send("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    kernel.hear("restarting")
    kernel.socket.close()
    kernel = hub_client.connect(client, name, kernel.ident)
    code = "from course_lib.checklist import progress\n"
    code += "print(progress.load().outcomes(), 'mine' in dir())"
    assert kernel.run(code) == ("{'a': 'right'} False\n", [])
    kernel.socket.close()
