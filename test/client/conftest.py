"""Starts interlock on SQLite and on Postgres for the tests with the real client."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("INTERLOCK_BIN", ROOT / "bin" / "interlock"))
EXAMPLES = ROOT / "examples"
FLOWS = Path(__file__).with_name("flows.py")
SCENARIOS = Path(__file__).with_name("scenarios.py")
# Seconds until a condition counts as never to come: far more than a slow machine
# needs, since nobody waits for it but a test that fails.
DEADLINE = 600.0


def until(what, condition):
    """Polls until condition() is true and returns what it returned."""
    last = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > last:
            raise AssertionError(f"waited {DEADLINE:.0f} s in vain for {what}")
        time.sleep(0.05)


def clean_environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "INTERLOCK_"))}
    return kept | {k: str(v) for k, v in more.items()}


def free_port() -> int:
    """A port that nobody else is given meanwhile: a connection to it that has
    ended keeps the system from handing it out for a minute, and does not keep a
    server from listening on it."""
    with socket.socket() as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        listener.accept()[0].close()  # the end that closes first is what stays behind
        return listener.getsockname()[1]


def end(program: subprocess.Popen) -> str:
    """What a program printed, once it has ended."""
    return program.communicate(timeout=DEADLINE)[0]


class Interlock:
    """A running server, and the client programs pointed at it."""

    def __init__(self, home: Path, database_url: str, port: int = 0):
        assert BINARY.exists(), f"no interlock binary at {BINARY}: run 'make build' or set INTERLOCK_BIN"
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.port = port or free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.log = home / "server.log"
        with self.log.open("ab") as log:  # a restart goes on with it
            self.process = subprocess.Popen(
                [BINARY, "serve", "--host", "127.0.0.1", "--port", str(self.port), "--database-url", database_url],
                # No policy may fail because the machine is slow.
                env=clean_environment(INTERLOCK_HOME=home, INTERLOCK_SANDBOX_DEADLINE=300),
                stdout=log,
                stderr=log,
            )
        self.http = httpx.Client(base_url=self.api, timeout=DEADLINE)
        until("the server to answer", self._healthy)

    def _healthy(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self):
        self.http.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE) == 0, self.log.read_text()

    def kill(self):
        """Ends the server as a power cut would."""
        self.http.close()
        self.process.kill()
        self.process.wait()

    def start_program(self, *args) -> subprocess.Popen:
        """Starts Python with the real client."""
        env = clean_environment(
            PREFECT_API_URL=self.api,
            PREFECT_HOME=self.home / "client",
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            PREFECT_RUNNER_POLL_FREQUENCY=1,
            PREFECT_RUNNER_HEARTBEAT_FREQUENCY=30,
        )
        return subprocess.Popen([sys.executable, *map(str, args)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def start_scenario(self, name: str, *args) -> subprocess.Popen:
        return self.start_program(SCENARIOS, name, *args)

    def prefect(self, *args) -> str:
        """Runs the prefect command, as another client would."""
        program = self.start_program("-m", "prefect", *args)
        output = end(program)
        assert program.returncode == 0, f"{args}: {output}"
        return output

    def in_state(self, flow: str, name: str) -> dict:
        """The flow's newest run, once it is in the state of that name."""
        return until(f"{flow} to be {name}", lambda: (r := self.newest_run(flow)) and r["state_name"] == name and r)

    def run_input(self, run_id: str, key: str):
        """The run's input of that key, once the client has stored it."""
        path = f"/flow_runs/{run_id}/input/{key}"
        until(f"input {key}", lambda: self.http.get(path).status_code == 200)
        return self.get(path)

    def events(self, resource: str, last: str, count: int = 1) -> list[dict]:
        """The resource's events, oldest first, once count of them have the name last."""

        def arrived():
            page = self.post("/events/filter", {"filter": {"resource": {"id": [resource]}, "order": "ASC"}, "limit": 50})
            return page["events"] if sum(e["event"] == last for e in page["events"]) >= count else None

        return until(f"{count} events {last} of {resource}", arrived)

    def run_flow(self, name: str) -> tuple[dict, str]:
        """Runs a flow of flows.py to its end: its flow run, and what it printed."""
        return self.finish(self.start_program(FLOWS, name), name)

    def finish(self, program: subprocess.Popen, flow: str) -> tuple[dict, str]:
        output = end(program)
        return self.newest_run(flow), output

    def newest_run(self, flow: str) -> dict | None:
        runs = self.post("/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC", "limit": 1})
        return runs[0] if runs else None

    def post(self, path: str, body: dict):
        reply = self.http.post(path, json=body)
        assert reply.status_code < 300, f"{path}: {reply.status_code} {reply.text}"
        return reply.json()

    def get(self, path: str, **params):
        reply = self.http.get(path, params=params)
        assert reply.status_code < 300, f"{path}: {reply.status_code} {reply.text}"
        return reply.json()

    def task_runs_of(self, run_id: str) -> list[dict]:
        """The run's task runs, as far as its client has told of them."""
        return self.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC"})

    def task_runs(self, run_id: str, count: int) -> list[dict]:
        """The run's task runs, once there are count of them and all have ended."""

        def ended():
            rows = self.task_runs_of(run_id)
            done = [r for r in rows if r["state_type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")]
            return rows if len(done) == len(rows) == count else None

        return until(f"{count} task runs that ended", ended)

    def states(self, run_id: str) -> list[dict]:
        rows = self.get("/flow_run_states/", flow_run_id=run_id)
        return sorted(rows, key=lambda s: s["timestamp"])

    def task_states(self, run_id: str) -> list[str]:
        """The names of the task run's states, oldest first."""
        rows = self.get("/task_run_states/", task_run_id=run_id)
        return [s["name"] for s in sorted(rows, key=lambda s: s["timestamp"])]

    def logs(self, run_id: str, text: str) -> list[dict]:
        """The run's logs, once one of them holds text."""

        def arrived():
            rows = self.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}})
            return rows if any(text in r["message"] for r in rows) else None

        return until(f"a log with {text!r}", arrived)

    def interlock(self, *args) -> str:
        """Runs the interlock command against this server."""
        done = subprocess.run([BINARY, *map(str, args)], env=clean_environment(PREFECT_API_URL=self.api), capture_output=True, text=True, timeout=DEADLINE)
        assert done.returncode == 0, f"{args}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def postgres():
    """URLs of two empty databases on a Postgres that lives as long as the tests."""
    helper = subprocess.Popen(
        ["go", "run", "./test/servers/postgresd", "client_one", "client_two"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    urls = [helper.stdout.readline().strip() for _ in range(2)]
    assert all(urls), "no Postgres: see the output above"
    yield urls
    helper.stdin.close()
    assert helper.wait(DEADLINE) == 0


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def server(request, tmp_path_factory):
    home = tmp_path_factory.mktemp(request.param)
    url = f"sqlite+aiosqlite:///{home}/test.db" if request.param == "sqlite" else request.getfixturevalue("postgres")[0]
    running = Interlock(home, url)
    yield running
    running.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    """The URL of a database for a test that starts its own servers."""
    return f"sqlite+aiosqlite:///{tmp_path}/own.db" if request.param == "sqlite" else request.getfixturevalue("postgres")[1]
