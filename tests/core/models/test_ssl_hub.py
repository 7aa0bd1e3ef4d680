"""Models by name: the real client of the hub against a stand-in on this machine, against no hub, and offline."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import are_progress_bars_disabled
from ssl_examples import reference, save
from transformers.utils import logging

from sertool.core.errors import InputError
from sertool.core.models.ssl_hub import FETCHED, commit_of, find_ssl, quiet
from sertool.core.models.ssl_loading import load_ssl

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFUSALS = {
    "acme/gated": (403, "GatedRepo"),
    "acme/nothing": (404, "RepoNotFound"),
    "acme/broken": (500, ""),
}


class StandIn(BaseHTTPRequestHandler):
    """A hub with one model, `acme/tiny`, of the files in `folder`; those it was asked for are in `served`."""

    folder: Path
    served: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        refusal = next((refusal for name, refusal in REFUSALS.items() if name in path), None)
        if refusal is None and "acme/tiny" not in path:
            refusal = REFUSALS["acme/nothing"]
        if refusal is None and "/revision/" in path and not path.endswith(("/main", COMMIT)):
            refusal = (404, "RevisionNotFound")
        if refusal is not None:
            self._send(refusal[0], b"", {"X-Error-Code": refusal[1]})
        elif "/resolve/" in path:
            name = path.rpartition("/")[2]
            self.served.append(name)
            content = (self.folder / name).read_bytes()
            self._send(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT})
        elif "/tree/" in path:
            self._send(200, json.dumps([self._entry(file) for file in sorted(self.folder.iterdir())]).encode())
        else:
            self._send(200, json.dumps({"id": "acme/tiny", "modelId": "acme/tiny", "sha": COMMIT}).encode())

    def _entry(self, file: Path) -> dict[str, object]:
        content = file.read_bytes()
        return {"type": "file", "path": file.name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in place of the one of this machine, and no way to any hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    go_to("http://127.0.0.1:9", monkeypatch)  # a port on which nothing listens
    return tmp_path / "cache"


def go_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client ask this hub, as HF_ENDPOINT would have from the start."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """A hub on this machine; called, it says which files were fetched since it was last asked."""
    folder = save(reference("hubert", num_hidden_layers=1), tmp_path / "theirs")
    for name in ("pytorch_model.bin", "modeling_custom.py", "README.md", "adapter.deu.safetensors"):
        (folder / name).write_bytes(b"not to be fetched")
    handler = type("Handler", (StandIn,), {"folder": folder, "served": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    go_to(f"http://127.0.0.1:{server.server_port}", monkeypatch)

    def served() -> list[str]:
        names, handler.served = sorted(set(handler.served)), []
        return names

    yield served
    server.shutdown()
    server.server_close()


def test_a_model_of_the_hub_is_fetched_once_and_no_pickle_or_code_with_it(hub, cache, monkeypatch, capfd):
    encoder = load_ssl("acme/tiny")
    assert hub() == ["config.json", "model.safetensors", "preprocessor_config.json"]
    waveform, lengths = torch.randn(1, 2000), torch.tensor([2000])
    expected = reference("hubert", num_hidden_layers=1)(waveform).last_hidden_state
    torch.testing.assert_close(encoder(waveform, lengths).hidden_states[-1], expected, atol=1e-5, rtol=0)
    folder = find_ssl("acme/tiny", "main")
    assert folder.is_relative_to(cache) and commit_of(folder) == COMMIT and hub() == []
    # Without the hub, and forbidden to ask it: the same files, by branch and by commit.
    go_to("http://127.0.0.1:9", monkeypatch)
    assert find_ssl("acme/tiny") == folder == find_ssl("acme/tiny", COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert find_ssl("acme/tiny") == folder
    assert load_ssl("acme/tiny").state_dict().keys() == encoder.state_dict().keys()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "revision", "words"),
    [
        ("acme/gated", None, r"is gated.*accept its terms.*hf auth login"),
        ("acme/nothing", None, r"no such folder, and no such model on the hub, unless it is private.*spelling"),
        ("acme/tiny", "v9", r"has no revision 'v9'; expected a branch, a tag or a commit"),
        ("acme/broken", None, r"hub cannot be reached \(.*500.*\).*check the network"),
        ("no/such/name", None, r"no such folder; expected one, or a name on the hub"),
        ("/no/such/folder", None, r"no such folder; expected one, or a name on the hub"),
    ],
)
def test_what_a_hub_refuses_is_one_line_with_ways_out(hub, name, revision, words, capfd):
    with pytest.raises(InputError, match=words) as raised:
        find_ssl(name, revision)
    assert str(raised.value).startswith(f"{name}: ") and "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_no_hub_at_all(cache):
    with pytest.raises(InputError, match=r"cannot be reached \(.*refused.*`hf download acme/tiny --local-dir FOLDER`"):
        find_ssl("acme/tiny")


@pytest.mark.parametrize("name", ["", "\0", "a" * 5000, "a b", "--", "a//b", "é/ü", "a/b/", "~", "http://a/b"])
def test_what_can_be_no_name(cache, name):
    with pytest.raises(InputError, match="no such folder"):
        find_ssl(name)


@pytest.mark.parametrize("revision", ["", "../../..", "\0", "v" * 5000])
def test_what_can_be_no_revision(cache, monkeypatch, revision):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError):
        find_ssl("acme/tiny", revision)


def test_offline_and_not_in_the_cache(cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"not all of it is in the cache, while HF_HUB_OFFLINE forbids.*unset"):
        find_ssl("acme/tiny")


def test_a_cache_that_is_not_whole(hub, cache, monkeypatch):
    weights = find_ssl("acme/tiny") / "model.safetensors"
    weights.unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="not all of it is in the cache"):
        find_ssl("acme/tiny")


def test_a_cache_that_does_not_know_what_it_lacks(cache, monkeypatch):
    """As other tools leave it; then it is said that no more than the cache was looked at."""
    repository = cache / "models--acme--half"
    save(reference("hubert", num_hidden_layers=1), repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load_ssl("acme/half").dim == 32
    (repository / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"acme/half \(as far as the cache holds it\): holds no model.safetensors"):
        load_ssl("acme/half")


def test_a_folder_is_taken_as_it_is(tmp_path):
    assert find_ssl(str(tmp_path)) == tmp_path and commit_of(tmp_path) is None
    with pytest.raises(InputError, match=r"is a folder, which has no revision 'main'.*leave the revision out"):
        find_ssl(str(tmp_path), "main")


def test_only_settings_and_safetensors_are_fetched():
    assert all(name.endswith((".json", ".safetensors")) for name in FETCHED)


@pytest.fixture
def told() -> Iterator[int]:
    """A level of transformers' logging that is not its usual one."""
    usual = logging.get_verbosity()
    logging.set_verbosity_info()
    yield logging.get_verbosity()
    logging.set_verbosity(usual)


def test_quiet_leaves_everything_as_it_was(told):
    bars, hub_bars = logging.is_progress_bar_enabled(), are_progress_bars_disabled()
    with pytest.raises(RuntimeError), quiet():
        assert logging.get_verbosity() == logging.ERROR and not logging.is_progress_bar_enabled()
        raise RuntimeError
    assert logging.get_verbosity() == told
    assert (logging.is_progress_bar_enabled(), are_progress_bars_disabled()) == (bars, hub_bars)
