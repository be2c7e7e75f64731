"""Servers for the tests, and Node programs."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from lossy import LossyProxy  # noqa: E402
from server import BINARY, ROOT, Server  # noqa: E402

IN_CI = bool(os.environ.get("CI"))
NODE = pathlib.Path(__file__).parent / "node"
# Where scripts/clients installs the packages.
NODE_MODULES = pathlib.Path(os.environ.get("TRODDEN_NODE_MODULES", ROOT / ".cache/node/node_modules"))


def pytest_configure():
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not built; run make build", returncode=1)


@pytest.fixture
def serve(tmp_path):
    """Starts servers, each with settings of its own, and ends them with the test."""
    started = []

    def start(**settings):
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Server(folder, **settings).start())
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture
def lossy():
    """Starts proxies that lose the first answer to one of the paths."""
    proxies = []

    def start(server, *paths, how="closed"):
        proxies.append(LossyProxy(server, paths, how))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()


@pytest.fixture(scope="session")
def node():
    """Runs a program of tests/clients/node with arguments; gives what it printed as JSON."""
    if not shutil.which("node") or not NODE_MODULES.exists():
        if IN_CI:
            pytest.fail("Node or its packages are missing; scripts/clients installs the packages")
        if listed := os.environ.get("TRODDEN_SKIPPED"):
            with open(listed, "a", encoding="utf-8") as out:
                out.write("clients: Node is not installed\n")
        pytest.skip("Node is not installed")

    def run(program, *arguments):
        # Resolved by require() from the folder of the packages, wherever that is.
        environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
        command = ["node", NODE / program, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{program} {arguments}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run
