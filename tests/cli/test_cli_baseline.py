"""`leeward baseline`, the routes behind it and what is kept between runs: a real server, a real client, files on the disk."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parent.parent / "api"))
sys.path.append(str(Path(__file__).parent.parent / "detect"))
from api_server import make_world, serve
from baseline_world import DAY, MONDAY, PERIOD, flow, grown, told, who

from leeward.api.app import create_app
from leeward.cli.keeping import BaselineKeeper
from leeward.cli.main import _register, app
from leeward.detect.baseline import document as D
from leeward.detect.baseline.detector import BaselineDetector
from leeward.model.errors import LeewardError

_register(["baseline"])
SHOP = "pod:prod/shop/main"
AT = MONDAY + 3 * DAY


class Agent:
    """A keeper whose thread turns, an application with it, and the command line pointed at it."""

    def __init__(self, folder: Path, detector: BaselineDetector, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keeper = BaselineKeeper(detector, folder)
        self.world = make_world(folder)
        self.app = create_app(
            self.world.store, self.world.hub, self.world.tokens, dict, baselines=self.keeper, hosts=("127.0.0.1",)
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()
        self._monkeypatch = monkeypatch

    def _turn(self) -> None:
        while not self._ended.is_set():
            self.keeper.step()
            time.sleep(0.002)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.world.store.close()

    def run(self, url: str, *words: str, role: str = "admin") -> tuple[int, str, str]:
        self._monkeypatch.setenv("LEEWARD_URL", url)
        self._monkeypatch.setenv("LEEWARD_TOKEN", self.world.secrets[role])
        result = CliRunner().invoke(app, ["baseline", *words])
        return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def agent(tmp_path, monkeypatch):
    detector = grown(3)
    told(detector, (flow(AT + n, who("shop"), "drop.evil.example", 80_000_000) for n in range(2)))
    made = Agent(tmp_path, detector, monkeypatch)
    with serve(made.app) as url:
        yield made, url
    made.close()


def test_list_show_export_import_accept(agent, tmp_path):
    made, url = agent
    code, out, _ = made.run(url, "list", "--json")
    [line] = map(json.loads, out.splitlines())
    assert code == 0
    assert line["workload"] == SHOP
    assert line["doubted"] > 0
    assert line["usual"]["destination"] == 4

    code, out, _ = made.run(url, "show", "prod/shop")
    assert code == 0
    assert "api.partner.com" in out
    assert "drop.evil.example" in out
    assert "doubted: 3 more days" in out

    file = tmp_path / "out.json"
    code, out, _ = made.run(url, "export", str(file))
    document = json.loads(file.read_bytes())
    assert code == 0
    assert out == f"1 baselines, signed by key {document['signature']['fingerprint']}\n"
    key = tmp_path / "baseline-signing-key"
    assert key.stat().st_mode & 0o777 == 0o600

    assert made.run(url, "import", str(file))[0] == 0
    assert made.keeper.ask(lambda p: list(p.imported)) == [SHOP]

    code, out, _ = made.run(url, "accept", SHOP, "destination", "drop.evil.example")
    assert (code, out) == (0, "1 accepted\n")
    code, out, _ = made.run(url, "accept", SHOP)
    assert code == 0
    assert json.loads(made.run(url, "list", "--json")[1])["doubted"] == 0


def test_what_is_refused_is_said_in_one_line(agent, tmp_path):
    made, url = agent
    file = tmp_path / "out.json"
    made.run(url, "export", str(file))
    document = json.loads(file.read_bytes())

    changed = tmp_path / "changed.json"
    changed.write_text(file.read_text().replace("api.partner.com", "api.partner.org"))
    unsigned = tmp_path / "unsigned.json"
    unsigned.write_text(json.dumps(document | {"signature": None}))
    (tmp_path / "other").mkdir()
    stranger = BaselineKeeper(grown(3), tmp_path / "other")
    made_elsewhere = D.Document(D.FORMAT, "", [D.baseline(p) for p in grown(3).population.profiles.values()])
    foreign = tmp_path / "foreign.json"
    foreign.write_bytes(D.signed(made_elsewhere, stranger.key()))
    fingerprint = json.loads(foreign.read_bytes())["signature"]["fingerprint"]

    for words, said in (
        (("import", str(changed)), "changed after it was signed"),
        (("import", str(unsigned)), "--allow-unsigned"),
        (("import", str(foreign)), f"--key {fingerprint}"),
        (("import", str(tmp_path / "none.json")), "cannot be read"),
        (("accept", "pod:none"), "leeward baseline list"),
        (("show", "nobody"), "leeward baseline list"),
    ):
        code, _, err = made.run(url, *words)
        assert code == 2, words
        assert said in err
        assert len(err.splitlines()) == 1
    assert made.run(url, "import", str(unsigned), "--allow-unsigned")[0] == 0
    assert made.run(url, "import", str(foreign), "--key", fingerprint)[0] == 0


def test_roles(agent, tmp_path):
    made, url = agent
    assert made.run(url, "list", role="viewer")[0] == 0
    assert made.run(url, "show", "shop", role="viewer")[0] == 2
    assert made.run(url, "show", "shop", role="analyst")[0] == 0
    file = tmp_path / "out.json"
    made.run(url, "export", str(file))
    for words in (("accept", SHOP), ("import", str(file))):
        code, _, err = made.run(url, *words, role="analyst")
        assert code == 2
        assert "admin" in err


def test_bodies_that_are_nothing_are_refused(agent):
    made, _ = agent
    headers = {"authorization": f"Bearer {made.world.secrets['admin']}"}
    with TestClient(made.app, base_url="http://127.0.0.1:8420", headers=headers) as asking:
        for path in ("import", "accept"):
            for body in (b"", b"[]", b"\xff", b'{"workload": 5}', b'{"document": "\\ud800"}'):
                assert asking.post(f"/api/v1/baselines/{path}", content=body).status_code == 400


# -- between runs --------------------------------------------------------------------------------------------------------


def test_baselines_are_written_every_five_minutes_and_at_the_end_and_come_back(tmp_path):
    clock = [0.0]
    keeper = BaselineKeeper(grown(3), tmp_path, lambda: clock[0])
    file = tmp_path / "baselines"
    keeper.step()
    assert not file.exists()
    clock[0] = 301.0
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        keeper.step()
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    keeper.close()
    again = BaselineDetector()
    BaselineKeeper(again, tmp_path).restore()
    assert again.snapshot() == file.read_bytes()
    with pytest.raises(LeewardError):
        keeper.ask(lambda p: len(p.profiles))


def test_a_damaged_file_is_put_aside_and_said(tmp_path, capsys):
    BaselineKeeper(BaselineDetector(), tmp_path).restore()
    assert capsys.readouterr().err == ""
    file = tmp_path / "baselines"
    keeper = BaselineKeeper(grown(3), tmp_path)
    keeper.save()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x55
    file.write_bytes(data)
    fresh = BaselineDetector()
    BaselineKeeper(fresh, tmp_path).restore()
    assert not fresh.population.profiles
    assert "baselines start fresh" in capsys.readouterr().err
    assert (tmp_path / "baselines.damaged").exists()
    assert told(fresh, iter([flow(AT, who("shop"), "a.example"), flow(AT + PERIOD, who("shop"), "a.example")])) == []
