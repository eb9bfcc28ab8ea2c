"""testcontainers-python: a generic container, waits, exec, ports, a network.

    DOCKER_HOST=… python testcontainers_py.py [WORD…]

Its reaper is an image of its own that there is no network to fetch: it is off (TESTCONTAINERS_RYUK_DISABLED=true), so
containers are ended by their `with`.
"""

import os

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
# In what it takes for a container (a file /.dockerenv) it goes to the gateway of the bridge, which is no address of this
# host when a daemon is rootless.
os.environ["TESTCONTAINERS_HOST_OVERRIDE"] = "127.0.0.1"
os.environ["TESTCONTAINERS_CONNECTION_MODE"] = "docker_host"

import contextlib
import io
import tarfile
import time
import urllib.request
import warnings

import docker
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HealthcheckWaitStrategy, HttpWaitStrategy, LogMessageWaitStrategy, PortWaitStrategy

from support import TINY, Checks, contains, equal, load, raises, tiny_archive, until

warnings.simplefilter("ignore")
checks = Checks("testcontainers", 60)
client = docker.from_env()
SERVE = ["sh", "-c", "mkdir -p /www; echo served >/www/index.html; sleep 0.3; echo ready to serve; exec httpd -f -p 8000 -h /www"]


def fetch(container):
    url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8000)}/"
    with urllib.request.urlopen(url, timeout=3) as answer:
        return answer.read()


def gone(identity):
    with raises(docker.errors.NotFound):
        client.containers.get(identity)


def generic():
    with DockerContainer(TINY).with_command(SERVE).with_exposed_ports(8000).waiting_for(
        LogMessageWaitStrategy("ready to serve")
    ) as it:
        identity = it.get_wrapped_container().id
        until(lambda: quiet(fetch, it) == b"served\n", 5, what="an answer")
        equal(it.exec("echo hello"), (0, b"hello\n"))
        equal(it.exec(["sh", "-c", "exit 3"]).exit_code, 3)
        out, err = it.get_logs()
        equal((out, err), (b"ready to serve\n", b""))
    gone(identity)


def quiet(function, *arguments):
    with contextlib.suppress(OSError):
        return function(*arguments)


def settings():
    with (DockerContainer(TINY).with_command("tail -f /dev/null").with_env("A", "1").with_name(f"tc{os.getpid()}")
          .with_volume_mapping("/etc", "/host-etc", "ro").with_kwargs(hostname="tc", working_dir="/tmp", user="1000")) as it:
        equal(it.exec(["sh", "-c", "echo $A $(hostname) $PWD $(id -u)"]), (0, b"1 tc /tmp 1000\n"))
        contains(it.exec("cat /host-etc/passwd").output, b"root")
        equal(it.get_wrapped_container().name, f"tc{os.getpid()}")
        equal(it.get_wrapped_container().labels.get("org.testcontainers"), "true")


def waits():
    with DockerContainer(TINY).with_command(SERVE).with_exposed_ports(8000).waiting_for(PortWaitStrategy(8000)) as it:
        # A published port is open before the server is, with dockerd's proxy as well.
        until(lambda: quiet(fetch, it) == b"served\n", 5, what="an answer")
    with DockerContainer(TINY).with_command(SERVE).with_exposed_ports(8000).waiting_for(
        HttpWaitStrategy(8000).for_status_code(200)
    ) as it:
        equal(fetch(it), b"served\n")
    with raises(TimeoutError):
        with DockerContainer(TINY).with_command("tail -f /dev/null").waiting_for(
            LogMessageWaitStrategy("never").with_startup_timeout(1)
        ):
            pass


def health():
    second = 1_000_000_000
    check = {"test": ["CMD-SHELL", "test -e /www/index.html"], "interval": second // 4, "retries": 20}
    with DockerContainer(TINY).with_command(SERVE).with_kwargs(healthcheck=check).waiting_for(HealthcheckWaitStrategy()) as it:
        equal(it.exec("cat /www/index.html").output, b"served\n")


def network():
    with Network() as one:
        with DockerContainer(TINY).with_command(SERVE).with_network(one).with_network_aliases("server") as server:
            with DockerContainer(TINY).with_command("tail -f /dev/null").with_network(one) as other:
                ask = "a=$(nslookup server | awk '/^Address/ {x = $2} END {print x}'); printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 $a 8000"
                until(lambda: b"served" in other.exec(["sh", "-c", ask]).output, 8, what="an answer by name")
        identity = one.id
    with raises(docker.errors.NotFound):
        client.networks.get(identity)


def files():
    with DockerContainer(TINY).with_command("tail -f /dev/null") as it:
        it.copy_into_container(b"copied", "/data/file") if hasattr(it, "copy_into_container") else \
            it.get_wrapped_container().exec_run(["sh", "-c", "printf copied >/data/file"])
        stream, _ = it.get_wrapped_container().get_archive("/data/file")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            equal(tar.extractfile("file").read(), b"copied")


def leaves_nothing():
    equal(client.containers.list(all=True, filters={"label": "org.testcontainers=true"}), [])


load(lambda path: tiny_archive(path), [TINY])
checks.note("the reaper is off: TESTCONTAINERS_RYUK_DISABLED=true, as its image cannot be fetched here")
checks.run("a generic container: log, exec, port", generic)
checks.run("settings", settings)
checks.run("waits for a port, for HTTP, for what never comes", waits)
checks.run("waits for health", health)
checks.run("a network with an alias", network)
checks.run("files", files)
checks.run("leaves nothing", leaves_nothing)
checks.end()
