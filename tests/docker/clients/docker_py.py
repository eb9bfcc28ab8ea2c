"""docker-py's public API, method by method, on whatever daemon DOCKER_HOST names.

    DOCKER_HOST=… python docker_py.py [WORD…]

What is not of swarm, plugins, secrets, configurations, nodes and services. A check below holds on dockerd 20.10 and later;
differences that dockerd's own versions have are allowed for.
"""

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.request
import warnings

import docker
import requests
from docker.errors import (
    APIError,
    BuildError,
    ContainerError,
    ImageLoadError,
    ImageNotFound,
    InvalidArgument,
    NotFound,
)
from docker.types import Healthcheck, IPAMConfig, IPAMPool, LogConfig, Mount, Ulimit

from support import TINY, Checks, Skip, contains, equal, layer, load, member, raises, tiny_archive, until

warnings.simplefilter("ignore")
checks = Checks("docker-py", 30)
client = docker.from_env(timeout=60)
api = client.api
containers, images, networks, volumes = client.containers, client.images, client.networks, client.volumes
RUN = f"dp{os.getpid()}"
LABEL = {"shedbox.tests.run": RUN}
FOREVER = ["tail", "-f", "/dev/null"]
OURS = any(part.get("Name") == "shedbox" for part in client.version().get("Components", []))
count = 0
tests = []


def check(function=None, *, missing=None):
    """A test; `missing` is what our daemon does not have yet."""
    if function is None:
        return lambda function: check(function, missing=missing)
    tests.append((function, missing if OURS else None))
    return function


def name(kind="c"):
    global count
    count += 1
    return f"{RUN}-{kind}{count}"


def make(command=FOREVER, image=TINY, **settings):
    settings.setdefault("name", name())
    return containers.create(image, command, labels={**LABEL, **settings.pop("labels", {})}, **settings)


@contextlib.contextmanager
def running(command=FOREVER, **settings):
    container = make(command, **settings)
    try:
        container.start()
        yield container
    finally:
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)


@contextlib.contextmanager
def trapping(trap, **settings):
    """One whose shell has set its trap."""
    with running(sh(f"{trap}; echo set; while :; do sleep 0.1; done"), **settings) as it:
        until(lambda: it.logs() == b"set\n", what="the trap is set")
        yield it


@contextlib.contextmanager
def created(command=FOREVER, **settings):
    container = make(command, **settings)
    try:
        yield container
    finally:
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)


def run(command, **settings):
    """What a foreground run gives."""
    return containers.run(TINY, command, remove=True, labels=LABEL, name=name(), **settings)


def sh(text):
    return ["sh", "-c", text]


def a_tar(**files):
    return layer([member(path, data) for path, data in files.items()])


def out(container, command, **settings):
    code, output = container.exec_run(command, **settings)
    equal(code, 0, f"exit code of {command} ({output!r})")
    return output


def status(container):
    container.reload()
    return container.status


# --- the daemon ------------------------------------------------------------------------------------------------------


@check
def ping():
    assert client.ping() is True


@check
def version():
    said = client.version()
    for field in ("Version", "ApiVersion", "MinAPIVersion", "Os", "Arch", "KernelVersion", "GoVersion", "Components"):
        assert field in said, field
    equal((said["Os"], said["Arch"]), ("linux", "amd64"))
    assert tuple(map(int, said["Version"].split("+")[0].split(".")[:2])) >= (20, 10)
    equal(api.version(api_version=False)["ApiVersion"], said["ApiVersion"])


@check
def info():
    with running():
        said = client.info()
        assert said["ContainersRunning"] >= 1 and said["Containers"] >= said["ContainersRunning"]
        assert said["Images"] >= 1
    for field in ("ID", "Name", "NCPU", "MemTotal", "OSType", "Architecture", "Driver", "KernelVersion",
                  "OperatingSystem", "ServerVersion", "SecurityOptions", "Plugins", "Swarm", "DockerRootDir"):
        assert field in said, field
    equal(said["Swarm"]["LocalNodeState"], "inactive")


@check
def versions_of_the_api():
    for wanted in ("1.24", "1.35", "1.40", "1.41"):
        old = docker.DockerClient(base_url=os.environ["DOCKER_HOST"], version=wanted)
        assert old.ping()
        equal(run_with(old), b"old\n")
    with raises(APIError, "too new"):
        docker.DockerClient(base_url=os.environ["DOCKER_HOST"], version="1.99").ping()


def run_with(other):
    return other.containers.run(TINY, "echo old", remove=True, labels=LABEL)


@check
def df():
    with running(sh("echo 12345 >/file; tail -f /dev/null")) as container:
        until(lambda: container.exec_run("test -e /file")[0] == 0)
        said = client.df()
        assert any(image["Id"] == images.get(TINY).id for image in said["Images"])
        mine = [each for each in said["Containers"] if each["Id"] == container.id]
        equal(len(mine), 1)
        assert mine[0].get("SizeRw", 0) > 0, f"SizeRw is {mine[0].get('SizeRw')}"
        assert isinstance(said["LayersSize"], int) and said["LayersSize"] > 0
        assert said["Volumes"] is None or isinstance(said["Volumes"], list)


@check(missing="a login is kept, not tried")
def login_to_nowhere():
    with raises(APIError):
        client.login("u", "p", registry="127.0.0.1:1", reauth=True)


@check
def events():
    since = int(time.time())
    container = make(sh("exit 3"), labels={"die": RUN})
    container.start()
    container.wait()
    container.remove()
    time.sleep(1.1)
    seen = list(client.events(since=since, until=int(time.time()), decode=True,
                              filters={"container": container.id, "type": "container"}))
    actions = [event["Action"] for event in seen]
    for action in ("create", "start", "die", "destroy"):
        contains(actions, action, "actions")
    die = next(event for event in seen if event["Action"] == "die")
    equal(die["Actor"]["ID"], container.id)
    equal(die["Actor"]["Attributes"]["exitCode"], "3")
    equal(die["Actor"]["Attributes"]["name"], container.name)
    equal(die["Actor"]["Attributes"]["shedbox.tests.run"], RUN)
    equal((die["Type"], die["scope"], die["id"], die["status"]), ("container", "local", container.id, "die"))
    assert die["timeNano"] // 10**9 == die["time"]
    by_label = list(client.events(since=since, until=int(time.time()), decode=True,
                                  filters={"label": f"die={RUN}", "event": "die"}))
    assert [event["Action"] for event in by_label] == ["die"], by_label


@check
def events_follow():
    seen = []
    stream = client.events(decode=True, filters={"label": f"shedbox.tests.run={RUN}"})
    thread = threading.Thread(target=lambda: seen.extend(event["Action"] for event in stream), daemon=True)
    thread.start()
    time.sleep(0.3)
    with running() as container:
        until(lambda: "start" in seen, 5, what="a start event")
        container.rename(name("renamed"))
        container.kill()
        until(lambda: "die" in seen, 5, what="a die event")
    until(lambda: "destroy" in seen, 5, what="a destroy event")
    for action in ("create", "rename", "kill"):
        contains(seen, action, "actions")
    stream.close()
    thread.join(5)
    assert not thread.is_alive(), "close() does not end the stream"


@check
def events_of_others():
    since = int(time.time())
    network = networks.create(name("n"), labels=LABEL)
    network.remove()
    volume = volumes.create(name("v"), labels=LABEL)
    volume.remove()
    time.sleep(1.1)
    seen = [(event["Type"], event["Action"]) for event in client.events(
        since=since, until=int(time.time()), decode=True, filters={"type": ["network", "volume"]})]
    for pair in (("network", "create"), ("network", "destroy"), ("volume", "create"), ("volume", "destroy")):
        contains(seen, pair, "events")


@check
def no_swarm():
    with raises(APIError) as _:
        client.swarm.leave()
    with raises(APIError):
        client.services.list()


# --- run -------------------------------------------------------------------------------------------------------------


@check
def run_output():
    equal(run("echo hello"), b"hello\n")
    equal(run(sh("echo out; echo err >&2")), b"out\n")
    equal(run(sh("echo out; echo err >&2"), stdout=False, stderr=True), b"err\n")
    both = run(sh("echo out; sleep 0.2; echo err >&2"), stderr=True)
    equal(both, b"out\nerr\n")


@check
def run_a_hundred():
    """Nothing is lost when it is quick."""
    for position in range(20):
        equal(run(f"echo {position}"), f"{position}\n".encode())


@check
def run_stream():
    lines = list(run(sh("for i in 1 2 3; do echo $i; sleep 0.1; done"), stream=True))
    equal(b"".join(lines), b"1\n2\n3\n")


@check
def run_large_output():
    # It is read after the end and the removal. (dockerd 20.10 loses what has no end of line.)
    for _ in range(4):
        equal(len(run(sh("head -c 5000000 /dev/zero | tr '\\0' x; echo"))), 5000001)


@check
def run_failure():
    with raises(ContainerError, "non-zero exit status 7"):
        run(sh("exit 7"))
    try:
        run(sh("echo why >&2; exit 8"))
    except ContainerError as error:
        equal(error.exit_status, 8)
        contains(error.stderr, b"why")


@check
def run_no_command():
    with raises(APIError, "executable file not found"):
        run("no-such-command")
    with raises(APIError, "permission denied"):
        run("/etc/passwd")
    with raises(APIError, "no such file or directory"):
        run("/no/such/command")


@check
def run_no_image():
    with raises((ImageNotFound, APIError)):
        containers.run("127.0.0.1:1/none:latest", "true")


@check
def run_detach():
    container = containers.run(TINY, sh("echo hello; exit 4"), detach=True, labels=LABEL)
    equal(container.wait()["StatusCode"], 4)
    equal(container.logs(), b"hello\n")
    equal(container.attrs["Config"]["Labels"]["shedbox.tests.run"], RUN)
    container.remove()


@check
def run_detach_remove():
    container = containers.run(TINY, sh("sleep 1"), detach=True, remove=True, labels=LABEL)
    assert container.attrs["HostConfig"]["AutoRemove"] is True
    until(lambda: not containers.list(all=True, filters={"id": container.id}), what="it is removed by itself")


@check
def run_environment_and_directory():
    equal(run(sh("echo $A:$B:$PWD:$HOSTNAME"), environment={"A": "1 2", "B": ""}, working_dir="/made/here",
              hostname="h1"), b"1 2::/made/here:h1\n")
    equal(run(sh("echo $A"), environment=["A=list"]), b"list\n")


@check
def run_user():
    equal(run("id -u", user="1000"), b"1000\n")
    equal(run(sh("id -u; id -g"), user="1000:1001"), b"1000\n1001\n")
    equal(run(sh("id -G"), user="1000", group_add=["2000"]).split()[-1], b"2000")
    with raises(APIError, "unable to find user nobody-here"):
        run("id", user="nobody-here")


@check
def run_tty():
    equal(run(sh("test -t 1 && echo tty"), tty=True), b"tty\r\n")


@check
def run_entrypoint():
    equal(run("world", entrypoint=["echo", "hello"]), b"hello world\n")
    equal(run(None, entrypoint="echo hello"), b"hello\n")


@check
def run_volumes_bind():
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        with open(f"{directory}/in", "w") as file:
            file.write("from the host")
        equal(run(sh("cat /b/in; echo x >/b/out"), volumes={directory: {"bind": "/b", "mode": "rw"}}), b"from the host")
        equal(open(f"{directory}/out").read(), "x\n")
        with raises(ContainerError):
            run(sh("echo y >/b/out"), volumes={directory: {"bind": "/b", "mode": "ro"}})
        equal(run("cat /b/in", volumes=[f"{directory}:/b:ro"]), b"from the host")
        os.unlink(f"{directory}/out")


@check
def run_volumes_named():
    label = name("v")
    run(sh("echo kept >/v/file"), volumes={label: {"bind": "/v", "mode": "rw"}})
    equal(run("cat /v/file", volumes=[f"{label}:/v"]), b"kept\n")
    volumes.get(label).remove()


@check
def run_mounts():
    label = name("v")
    with created(mounts=[Mount("/v", label, labels=LABEL), Mount("/t", None, type="tmpfs", tmpfs_size=1 << 20)]) as it:
        it.start()
        contains(out(it, "grep /t /proc/mounts"), b"tmpfs")
        kinds = {mount["Destination"]: mount["Type"] for mount in it.attrs["Mounts"]}
        equal(kinds.get("/v"), "volume")
    volumes.get(label).remove()
    with raises(APIError):
        with created(mounts=[Mount("/b", "/no/such/source", type="bind")]) as it:
            it.start()


@check
def run_volumes_from():
    label = name("v")
    with created(volumes=[f"{label}:/v"]) as first:
        first.start()
        out(first, sh("echo shared >/v/file"))
        equal(run("cat /v/file", volumes_from=[first.id]), b"shared\n")
    volumes.get(label).remove()


@check
def run_tmpfs_and_read_only():
    equal(run(sh("echo x >/t/x && cat /t/x; touch /no 2>/dev/null || echo ro"), read_only=True,
              tmpfs={"/t": "size=1m"}), b"x\nro\n")


@check
def run_host_names():
    said = run("cat /etc/hosts", extra_hosts={"other": "10.1.2.3"})
    assert b"10.1.2.3\tother" in said or b"10.1.2.3 other" in said, said
    contains(run("cat /etc/resolv.conf", dns_search=["x.test"]), b"x.test")


@check(missing="resolv.conf names our resolver, also with --dns")
def run_dns():
    contains(run("cat /etc/resolv.conf", dns=["10.9.8.7"]), b"10.9.8.7")


@check
def run_limits():
    with running(mem_limit="64m", cpu_shares=512, nano_cpus=500000000, pids_limit=50,
                 ulimits=[Ulimit(name="nofile", soft=100, hard=200)], shm_size="8m", oom_score_adj=100) as it:
        host = it.attrs["HostConfig"]
        equal((host["Memory"], host["CpuShares"], host["NanoCpus"], host["PidsLimit"]), (64 << 20, 512, 500000000, 50))
        equal(out(it, sh("ulimit -n; ulimit -Hn")), b"100\n200\n")
        contains(out(it, sh("df -k /dev/shm | tail -1")).split(), b"8192")


@check
def run_capabilities():
    grant = int(run(sh("grep CapEff /proc/self/status | cut -f2"), cap_add=["SYS_PTRACE"], cap_drop=["CHOWN"]), 16)
    assert grant & (1 << 19) and not grant & 1, hex(grant)
    assert int(run(sh("grep CapEff /proc/self/status | cut -f2"), cap_drop=["ALL"]), 16) == 0
    with raises(APIError):
        run("true", cap_add=["NO_SUCH"])


@check
def run_security():
    equal(run(sh("grep NoNewPrivs /proc/self/status | cut -f2"), security_opt=["no-new-privileges"]), b"1\n")
    equal(run(sh("grep Seccomp: /proc/self/status | cut -f2"), security_opt=["seccomp=unconfined"]), b"0\n")


@check(missing="pid 1 is our init")
def run_init():
    contains(run("ps", init=True), b"init")
    equal(run(sh("echo $$")), b"1\n")


@check
def run_sysctl_and_ipc():
    equal(run("cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
              sysctls={"net.ipv4.ip_unprivileged_port_start": "77"}), b"77\n")


@check
def run_network_none_and_disabled():
    equal(run(sh("ls /sys/class/net"), network_mode="none"), b"lo\n")
    equal(run(sh("ls /sys/class/net"), network_disabled=True), b"lo\n")


@check
def run_network_of_another():
    with running(hostname="first") as first:
        out(first, sh("(while :; do echo hi | nc -l -p 7777; done) >/dev/null 2>&1 &"))
        until(lambda: run(sh("nc -w 2 127.0.0.1 7777 </dev/null || true"), network_mode=f"container:{first.id}") == b"hi\n",
              5, what="an answer over a shared loopback")


@check(missing="PidMode container:ID is refused")
def run_pid_of_another():
    with running() as first:
        contains(run("ps", pid_mode=f"container:{first.id}"), b"tail -f /dev/null")


SERVE = "mkdir -p /www && echo served >/www/index.html && exec httpd -f -p 8000 -h /www"


def ask(container, host):
    """What SERVE says to another container, by DNS and TCP; the static busybox crashes in its own wget."""
    return container.exec_run(sh(
        f"a=$(nslookup {host} 2>/dev/null | awk '/^Address/ {{ x = $2 }} /^Name/ {{ n = 1 }} END {{ if (n) print x }}');"
        "[ -n \"$a\" ] && printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 $a 8000 | tail -n 1"
    )).output


def fetch(port, host="127.0.0.1"):
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=3) as answer:
        return answer.read()


def eventually(function, seconds=8):
    def quiet():
        try:
            return function()
        except OSError:
            return None
    return until(quiet, seconds, what="an answer")


@check
def run_ports():
    with running(sh(SERVE), ports={"8000/tcp": None}) as it:
        it.reload()
        bound = it.ports["8000/tcp"]
        assert bound and int(bound[0]["HostPort"]) > 0, bound
        equal(eventually(lambda: fetch(bound[0]["HostPort"])), b"served\n")
        equal(api.port(it.id, 8000)[0]["HostPort"], bound[0]["HostPort"])
        equal(api.port(it.id, 1), None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running(sh(SERVE), ports={"8000/tcp": ("127.0.0.1", port)}) as it:
        it.reload()
        equal(it.ports["8000/tcp"], [{"HostIp": "127.0.0.1", "HostPort": str(port)}])
        equal(eventually(lambda: fetch(port)), b"served\n")
        with raises(APIError):
            with running(sh(SERVE), ports={"8000/tcp": ("127.0.0.1", port)}):
                pass
        it.stop(timeout=1)
        it.start()
        equal(eventually(lambda: fetch(port)), b"served\n")
    with raises(OSError):
        fetch(port)


@check
def run_ports_many():
    with running(sh(SERVE), ports={"8000/tcp": [None, None] if False else [0, 0]}) as it:
        it.reload()
        found = {each["HostPort"] for each in it.ports["8000/tcp"]}
        assert len(found) >= 2, it.ports
    with running(ports={"9/udp": None}) as it:
        it.reload()
        assert it.ports["9/udp"][0]["HostPort"], it.ports


@check
def run_publish_all():
    with running(sh(SERVE), publish_all_ports=True, ports={"8000/tcp": None, "8001/tcp": None}) as it:
        it.reload()
        equal(sorted(port for port, bound in it.ports.items() if bound), ["8000/tcp", "8001/tcp"])


@check
def run_healthcheck():
    second = 1_000_000_000
    with running(sh("sleep 0.5; touch /ready; tail -f /dev/null"),
                 healthcheck=Healthcheck(test=["CMD-SHELL", "test -e /ready && echo fine"], interval=second // 4,
                                         timeout=second, retries=40)) as it:
        equal(it.attrs["State"]["Health"]["Status"], "starting") if it.attrs["State"].get("Health") else None
        until(lambda: (it.reload(), it.attrs["State"]["Health"]["Status"])[1] == "healthy", 8, what="healthy")
        equal(it.health, "healthy")
        log = it.attrs["State"]["Health"]["Log"][-1]
        equal((log["ExitCode"], log["Output"]), (0, "fine\n"))
        contains([each.id for each in containers.list(filters={"health": "healthy"})], it.id)
        out(it, "rm /ready")
    with running(healthcheck=Healthcheck(test="exit 1", interval=second // 4, retries=2)) as it:
        until(lambda: (it.reload(), it.health)[1] == "unhealthy", 8, what="unhealthy")


@check
def run_restart_policy():
    with running(sh("date +%N >>/count; exit 1"), restart_policy={"Name": "on-failure", "MaximumRetryCount": 2}) as it:
        until(lambda: (it.reload(), it.attrs["State"]["Status"] == "exited" and it.attrs["RestartCount"] == 2)[1], 10,
              what="two restarts")
    with running(sh("sleep 0.3"), restart_policy={"Name": "always"}) as it:
        first = it.attrs["State"]["StartedAt"]
        until(lambda: (it.reload(), it.attrs["State"]["Running"] and it.attrs["State"]["StartedAt"] != first)[1], 10,
              what="a restart")
        it.stop(timeout=1)
        time.sleep(0.5)
        equal(status(it), "exited")


@check
def run_log_driver():
    equal(run("echo x", log_config=LogConfig(type="json-file", config={"max-size": "1m"})), b"x\n")
    equal(run("echo x", log_config=LogConfig(type="none")), None)
    with running(sh("echo x"), log_config=LogConfig(type="none")) as it:
        with raises(APIError, "does not support reading"):
            it.logs()


@check
def run_invalid():
    with raises(APIError):
        make(name="not a name")
    with raises(APIError):
        make(working_dir="relative")
    with raises(TypeError):
        make(no_such_setting=1)
    with raises(APIError):
        make(network_mode="container:nobody")
        # dockerd sees it at the start only
        raise APIError("late")


# --- life ------------------------------------------------------------------------------------------------------------


@check
def create_and_start():
    with created() as it:
        equal(it.status, "created")
        equal(it.attrs["State"]["Running"], False)
        equal(it.attrs["Name"], f"/{it.name}")
        equal(it.attrs["Config"]["Cmd"], FOREVER)
        equal(it.attrs["Config"]["Image"], TINY)
        equal((it.attrs["Path"], it.attrs["Args"]), ("tail", ["-f", "/dev/null"]))
        equal(it.image.id, images.get(TINY).id)
        equal(it.short_id, it.id[:12])
        equal(it.labels["shedbox.tests.run"], RUN)
        it.start()
        equal(status(it), "running")
        assert it.attrs["State"]["Pid"] > 0
        assert it.attrs["State"]["StartedAt"] > "2020"
        it.start()  # 304
        equal(containers.get(it.name).id, it.id)
        equal(containers.get(it.id[:12]).id, it.id)


@check
def create_taken_name():
    with created() as it:
        with raises(APIError, f'Conflict. The container name "/{it.name}" is already in use by container'):
            make(name=it.name)


@check
def get_nobody():
    with raises(NotFound, "No such container: nobody-here"):
        containers.get("nobody-here")
    with raises(NotFound):
        api.start("nobody-here")
    with raises(NotFound):
        api.remove_container("nobody-here")


@check
def stop_and_exit_codes():
    with trapping("trap 'exit 5' TERM") as it:
        it.stop()
        equal(status(it), "exited")
        equal(it.attrs["State"]["ExitCode"], 5)
        it.stop()  # 304
    with trapping("trap 'exit 6' USR1", stop_signal="SIGUSR1") as it:
        it.stop()
        it.reload()
        equal(it.attrs["State"]["ExitCode"], 6)


@check
def stop_waits():
    """For one who takes long."""
    with trapping("trap 'sleep 1; exit 5' TERM") as it:
        it.stop(timeout=5)
        equal((status(it), it.attrs["State"]["ExitCode"]), ("exited", 5))


@check(missing="who ignores the signal is ended at once: nothing could come of waiting")
def stop_waits_for_who_ignores_it():
    with trapping("trap '' TERM") as it:
        begun = time.monotonic()
        it.stop(timeout=1)
        assert 0.9 < time.monotonic() - begun < 4, time.monotonic() - begun
        equal((status(it), it.attrs["State"]["ExitCode"]), ("exited", 137))


@check
def kill():
    with running() as it:
        it.kill()
        equal(it.wait()["StatusCode"], 137)
        with raises(APIError, "is not running"):
            it.kill()
    for signal in ("SIGUSR1", "USR1", 10):
        with trapping("trap 'exit 9' USR1") as it:
            it.kill(signal=signal)
            equal(it.wait(timeout=5)["StatusCode"], 9, f"exit after {signal}")
    with running() as it:
        with raises(APIError, "signal"):
            it.kill(signal="NOSUCH")


@check
def restart():
    with running(sh("echo run; tail -f /dev/null")) as it:
        first = it.attrs["State"]["StartedAt"]
        out(it, "touch /kept")
        it.restart(timeout=0)
        equal(status(it), "running")
        assert it.attrs["State"]["StartedAt"] != first
        out(it, "test -e /kept")
        until(lambda: it.logs() == b"run\nrun\n", 3, what="logs of both runs")
    with created() as it:
        it.restart()
        equal(status(it), "running")


def pause_it(container):
    try:
        container.pause()
    except APIError as error:
        if error.response.status_code == 501 and "control group" in str(error):
            raise Skip("this host has no control groups for an ordinary user") from None
        raise


@check
def events_of_a_pause():
    since = int(time.time())
    with running() as it:
        pause_it(it)
        it.unpause()
    time.sleep(1.1)
    seen = [event["Action"] for event in client.events(since=since, until=int(time.time()), decode=True,
                                                       filters={"container": it.id})]
    assert seen.index("pause") < seen.index("unpause"), seen


@check
def pause():
    with running(sh("while :; do cat /proc/uptime >/tick; sleep 0.05; done")) as it:
        time.sleep(0.3)
        pause_it(it)
        equal(status(it), "paused")
        assert it.attrs["State"]["Paused"] and it.attrs["State"]["Running"]
        with raises(APIError, "paused"):
            it.exec_run("true")
        with raises(APIError, "already paused"):
            it.pause()
        it.unpause()
        equal(status(it), "running")
        with raises(APIError, "not paused"):
            it.unpause()
        first = out(it, "cat /tick")
        until(lambda: out(it, "cat /tick") != first, 3, what="it goes on")


@check
def wait():
    with created(sh("sleep 0.3; exit 12")) as it:
        with concurrent(lambda: it.wait(condition="next-exit")) as result:
            time.sleep(0.2)
            it.start()
        equal(result[0]["StatusCode"], 12)
        equal(it.wait()["StatusCode"], 12)
    with running(sh("sleep 1; exit 3"), auto_remove=True) as it:
        equal(it.wait(condition="removed")["StatusCode"], 3)
        with raises(NotFound):
            it.reload()
    with running() as it:
        with raises(requests.exceptions.RequestException):
            it.wait(timeout=0.5)


@contextlib.contextmanager
def concurrent(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    yield result
    thread.join(15)
    assert result, "no answer"


@check
def remove():
    with running() as it:
        with raises(APIError, "stop the container before"):
            it.remove()
        it.remove(force=True)
        with raises(NotFound):
            it.reload()
    with created(volumes=["/anonymous"]) as it:
        it.start()
        it.reload()
        label = it.attrs["Mounts"][0]["Name"]
        volumes.get(label)
        it.remove(v=True, force=True)
        with raises(NotFound):
            volumes.get(label)


@check
def rename():
    with running() as it, created() as other:
        new = name("new")
        it.rename(new)
        it.reload()
        equal(it.name, new)
        equal(containers.get(new).id, it.id)
        with raises(APIError, "already in use"):
            it.rename(other.name)


@check
def update():
    with running(mem_limit="64m", memswap_limit="64m") as it:
        it.update(mem_limit="128m", memswap_limit="256m", cpu_shares=300)
        it.reload()
        equal((it.attrs["HostConfig"]["Memory"], it.attrs["HostConfig"]["CpuShares"]), (128 << 20, 300))
        it.update(restart_policy={"Name": "always"})
        it.reload()
        equal(it.attrs["HostConfig"]["RestartPolicy"]["Name"], "always")


@check
def containers_list():
    one = {"list": RUN}
    with (running(labels={"x": "1", **one}) as first, created(labels={"x": "2", **one}) as second,
          running(sh("exit 4"), labels=one) as third):
        third.wait()
        ids = lambda **settings: {it.id for it in containers.list(ignore_removed=True, **settings)}
        mine = f"list={RUN}"
        assert first.id in ids() and second.id not in ids() and third.id not in ids()
        for filters, wanted in (
            ({"label": mine}, {first.id, second.id, third.id}),
            ({"label": [mine, "x=1"]}, {first.id}),
            ({"label": [mine, "x"]}, {first.id, second.id}),
            ({"label": mine, "status": "created"}, {second.id}),
            ({"label": mine, "status": ["created", "exited"]}, {second.id, third.id}),
            ({"label": mine, "exited": 4}, {third.id}),
            ({"name": first.name}, {first.id}),
            ({"name": f"^/{first.name}$"}, {first.id}),
            ({"id": first.id[:12]}, {first.id}),
            ({"label": mine, "ancestor": TINY}, {first.id, second.id, third.id}),
            ({"label": mine, "ancestor": "no-such-image"}, set()),
            ({"label": mine, "network": "bridge", "status": "running"}, {first.id}),
            ({"label": mine, "before": second.id}, {first.id}),
            ({"label": mine, "since": second.id}, {third.id}),
        ):
            equal(ids(all=True, filters=filters), wanted, f"list by {filters}")
        with raises(APIError, "invalid filter"):
            ids(filters={"no-such-filter": "1"})
        equal(len(containers.list(all=True, limit=2)), 2)
        assert len(containers.list(limit=1)) == 1
        sparse = containers.list(all=True, sparse=True, filters={"label": mine})
        equal(len(sparse), 3)
        raw = next(it for it in api.containers(all=True, size=True, filters={"id": third.id}))
        for field in ("Id", "Names", "Image", "ImageID", "Command", "Created", "State", "Status", "Ports", "Labels",
                      "SizeRootFs", "HostConfig", "NetworkSettings", "Mounts"):
            assert field in raw, field
        equal((raw["Names"], raw["Image"], raw["State"]), ([f"/{third.name}"], TINY, "exited"))
        assert raw["Status"].startswith("Exited (4) "), raw["Status"]
        equal(api.containers(quiet=True, all=True, filters={"id": third.id}), [{"Id": third.id}])


@check
def containers_prune():
    with running(labels={"prune": RUN}) as first:
        second = make(labels={"prune": RUN})
        said = containers.prune(filters={"label": f"prune={RUN}"})
        equal(said["ContainersDeleted"], [second.id])
        assert isinstance(said["SpaceReclaimed"], int)
        equal(containers.prune(filters={"label": f"prune={RUN}"})["ContainersDeleted"] or [], [])
        equal(status(first), "running")


# --- logs, attach ----------------------------------------------------------------------------------------------------


@check
def logs():
    with running(sh("echo one; sleep 0.1; echo two >&2; sleep 1.2; echo three")) as it:
        it.wait()
        equal(it.logs(), b"one\ntwo\nthree\n")
        equal(it.logs(stderr=False), b"one\nthree\n")
        equal(it.logs(stdout=False), b"two\n")
        equal(it.logs(tail=1), b"three\n")
        equal(it.logs(tail=0), b"")
        equal(it.logs(tail="all"), b"one\ntwo\nthree\n")
        stamped = it.logs(timestamps=True).splitlines()
        equal([line.split(b" ", 1)[1] for line in stamped], [b"one", b"two", b"three"])
        for line in stamped:
            assert line[:2] == b"20" and line.split()[0].endswith(b"Z"), line
        from datetime import datetime
        at = [datetime.strptime(line.split()[0].decode()[:26], "%Y-%m-%dT%H:%M:%S.%f") for line in stamped]
        equal(it.logs(since=at[2].timestamp() - datetime(1970, 1, 1).timestamp() - 0.05), b"three\n")
        equal(it.logs(until=at[2].timestamp() - datetime(1970, 1, 1).timestamp() - 0.05), b"one\ntwo\n")
        with raises(InvalidArgument):
            it.logs(since="x")


@check
def logs_stream():
    with running(sh("echo one; sleep 0.3; echo two; sleep 0.3")) as it:
        begun = time.monotonic()
        first = None
        got = b""
        for part in it.logs(stream=True, follow=True):
            first = first or time.monotonic() - begun
            got += part
        equal(got, b"one\ntwo\n")
        assert first < 0.4, f"the first line came after {first} s"
        equal(status(it), "exited")
        equal(b"".join(it.logs(stream=True, follow=False)), b"one\ntwo\n")
    with running(sh("echo one; tail -f /dev/null")) as it:
        until(lambda: it.logs() == b"one\n")
        equal(b"".join(it.logs(stream=True, follow=False)), b"one\n")


@check
def logs_close():
    with running(sh("while :; do echo x; sleep 0.1; done")) as it:
        stream = it.logs(stream=True)
        next(stream)
        stream.close()
        equal(status(it), "running")


@check
def logs_tty():
    with running(sh("echo one; echo two"), tty=True) as it:
        it.wait()
        equal(it.logs(), b"one\r\ntwo\r\n")


@check
def logs_created():
    with created() as it:
        equal(it.logs(), b"")


@check
def attach():
    with created(sh("echo one; sleep 0.2; echo two >&2")) as it:
        stream = it.attach(stream=True, logs=True)
        it.start()
        equal(b"".join(stream), b"one\ntwo\n")
        equal(it.attach(logs=True, stream=False), b"one\ntwo\n")
    with created(sh("echo one; sleep 0.2; echo two >&2")) as it:
        stream = it.attach(stream=True, demux=True)
        it.start()
        parts = list(stream)
        equal(b"".join(a or b"" for a, _ in parts), b"one\n")
        equal(b"".join(b or b"" for _, b in parts), b"two\n")


def read_all(sock, seconds=5):
    raw = getattr(sock, "_sock", sock)
    raw.settimeout(seconds)
    got = b""
    while True:
        part = raw.recv(65536)
        if not part:
            return got
        got += part


def frames(data):
    result = {}
    while data:
        size = int.from_bytes(data[4:8], "big")
        result[data[0]] = result.get(data[0], b"") + data[8 : 8 + size]
        data = data[8 + size :]
    return result


@check
def attach_socket_and_stdin():
    with created("cat", stdin_open=True) as it:
        sock = it.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        it.start()
        sock._sock.sendall(b"hello\n")
        sock._sock.settimeout(5)
        equal(frames(sock._sock.recv(4096)), {1: b"hello\n"})
        it.stop(timeout=0)
        sock.close()
    with created("cat", stdin_open=True, detach=True) as it:
        equal(it.attrs["Config"]["StdinOnce"], False)
        sock = it.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        it.start()
        sock._sock.sendall(b"bye\n")
        equal(frames(sock._sock.recv(4096)), {1: b"bye\n"})
        sock._sock.shutdown(socket.SHUT_WR)
        # The input of the process stays open for the next client.
        time.sleep(0.3)
        equal(status(it), "running")
        second = it.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        second._sock.sendall(b"again\n")
        second._sock.settimeout(5)
        equal(frames(second._sock.recv(4096)), {1: b"again\n"})


@check
def attach_and_leave_at_once():
    """Eight clients who end their input, each with a container of its own: no process ends of it."""
    ended = []
    def one():
        with contextlib.closing(docker.from_env(timeout=20)) as other:
            made = other.containers.create(TINY, "cat", stdin_open=True, detach=True, labels=LABEL)
            sock = made.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
            made.start()
            sock._sock.sendall(b"x\n")
            sock._sock.recv(99)
            sock._sock.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
            ended.append(status(made))
            made.remove(force=True)
    for _ in range(3):
        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(25)
    equal(ended, ["running"] * 24)


@check
def attach_stdin_once():
    made = api.create_container(TINY, "cat", stdin_open=True, labels=LABEL, name=name(),
                                host_config=api.create_host_config())
    # docker-py sets StdinOnce with stdin_open unless detach is asked for.
    it = containers.get(made["Id"])
    try:
        equal(it.attrs["Config"]["StdinOnce"], True)
        sock = it.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        it.start()
        sock._sock.sendall(b"x" * 300000)
        sock._sock.shutdown(socket.SHUT_WR)
        equal(len(frames(read_all(sock)).get(1, b"")), 300000)
        equal(it.wait(timeout=5)["StatusCode"], 0)
    finally:
        it.remove(force=True)


@check
def attach_tty():
    with created("sh", stdin_open=True, tty=True) as it:
        sock = it.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        it.start()
        it.resize(30, 100)
        sock._sock.sendall(b"stty size; exit 3\n")
        contains(read_all(sock), b"30 100\r\n")
        equal(it.wait(timeout=5)["StatusCode"], 3)


@contextlib.contextmanager
def by_tcp():
    """A client of the same daemon by TCP: what docker-py opens WebSockets by knows no unix sockets."""
    address = os.environ["DOCKER_HOST"].removeprefix("unix://")

    def carry(source, target):
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                target.sendall(part)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                theirs, _ = listener.accept()
                ours = socket.socket(socket.AF_UNIX)
                ours.connect(address)
                for pair in ((theirs, ours), (ours, theirs)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        with contextlib.closing(docker.APIClient(f"tcp://127.0.0.1:{listener.getsockname()[1]}", timeout=20)) as other:
            yield other
        # Wakes who accepts.
        listener.shutdown(socket.SHUT_RDWR)


def messages(ws, until):
    """What comes until it holds `until`, or to its end."""
    got = b""
    while until is None or until not in got:
        code, data = ws.recv_data()
        if code == 8:
            return got
        equal(code, 2, "a message of bytes")
        got += data
    return got


@check
def attach_by_websocket():
    both = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    with by_tcp() as other:
        with created("cat", stdin_open=True, detach=True) as it:
            ws = other.attach_socket(it.id, params=both, ws=True)
            it.start()
            ws.settimeout(10)
            ws.send_binary(b"by\0tes\n")
            equal(messages(ws, b"\n"), b"by\0tes\n")
            ws.send("a text\n")
            equal(messages(ws, b"\n"), b"a text\n")
            large = b"x" * 1_000_000 + b"\n"
            threading.Thread(target=ws.send_binary, args=[large], daemon=True).start()
            assert messages(ws, b"\n") == large
            ws.close()
            # Its input stays open for the next client.
            time.sleep(0.3)
            equal(status(it), "running")
            ws = other.attach_socket(it.id, params={**both, "logs": 1}, ws=True)
            ws.settimeout(10)
            contains(messages(ws, b"\nxx"), b"by\0tes\na text\n")
            ws.close()
        # No headers between the two outputs, and an end.
        with created(sh("echo one; sleep 0.2; echo two >&2")) as it:
            ws = other.attach_socket(it.id, params=both, ws=True)
            ws.settimeout(10)
            it.start()
            equal(messages(ws, None), b"one\ntwo\n")
        with created("sh", stdin_open=True, tty=True) as it:
            ws = other.attach_socket(it.id, params=both, ws=True)
            ws.settimeout(10)
            it.start()
            ws.send("echo $((6*7)); exit 3\n")
            contains(messages(ws, None), b"42\r\n")
            equal(it.wait(timeout=5)["StatusCode"], 3)
        with raises(Exception, "404"):
            other.attach_socket("nobody", params=both, ws=True)


# --- exec ------------------------------------------------------------------------------------------------------------


@check
def exec_run():
    with running() as it:
        equal(it.exec_run("echo hello"), (0, b"hello\n"))
        equal(it.exec_run(sh("echo out; sleep 0.1; echo err >&2; exit 3")), (3, b"out\nerr\n"))
        equal(it.exec_run(sh("echo out; echo err >&2"), stderr=False), (0, b"out\n"))
        equal(it.exec_run(sh("echo out; echo err >&2"), stdout=False), (0, b"err\n"))
        equal(it.exec_run(sh("echo out; echo err >&2"), demux=True), (0, (b"out\n", b"err\n")))
        equal(it.exec_run("true", demux=True), (0, (None, None)))
        equal(it.exec_run("true"), (0, b""))
        equal(it.exec_run(sh("echo $A:$B:$PWD"), environment={"A": "1"}, workdir="/etc"), (0, b"1::/etc\n"))
        equal(it.exec_run(sh("echo $A"), environment=["A=2"]), (0, b"2\n"))
        equal(it.exec_run("id -u", user="1000"), (0, b"1000\n"))
        equal(it.exec_run(sh("id -u; id -g"), user="7:8"), (0, b"7\n8\n"))
        equal(it.exec_run(sh("test -t 1 && echo tty"), tty=True), (0, b"tty\r\n"))


@check
def exec_quick():
    """Nothing is lost when it is quick."""
    with running() as it:
        for position in range(60):
            equal(it.exec_run(f"echo {position}"), (0, f"{position}\n".encode()), f"exec {position}")


@check
def exec_stream():
    with running() as it:
        code, stream = it.exec_run(sh("echo 1; sleep 0.2; echo 2"), stream=True)
        equal((code, b"".join(stream)), (None, b"1\n2\n"))
        code, stream = it.exec_run(sh("echo 1; sleep 0.2; echo 2 >&2"), stream=True, demux=True)
        parts = list(stream)
        equal((b"".join(a or b"" for a, _ in parts), b"".join(b or b"" for _, b in parts)), (b"1\n", b"2\n"))
        begun = time.monotonic()
        code, stream = it.exec_run(sh("echo 1; sleep 1"), stream=True)
        next(stream)
        assert time.monotonic() - begun < 0.8, "the first line is held back"
        list(stream)


@check
def exec_large():
    with running() as it:
        code, output = it.exec_run(sh("head -c 20000000 /dev/zero"))
        equal((code, len(output)), (0, 20000000))
        code, (first, second) = it.exec_run(sh("head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait"), demux=True)
        equal((len(first), len(second)), (3000000, 3000000))


@check
def exec_detach():
    with running() as it:
        code, output = it.exec_run(sh("sleep 0.3; touch /made"), detach=True)
        assert code is None and not output, (code, output)
        until(lambda: it.exec_run("test -e /made")[0] == 0, what="it ran")
        made = api.exec_create(it.id, sh("sleep 1; exit 5"))["Id"]
        api.exec_start(made, detach=True)
        said = api.exec_inspect(made)
        equal((said["Running"], said["ExitCode"]), (True, None))
        assert said["Pid"] > 0
        until(lambda: not api.exec_inspect(made)["Running"], what="its end")
        equal(api.exec_inspect(made)["ExitCode"], 5)


@check
def exec_socket():
    with running() as it:
        code, sock = it.exec_run("cat", stdin=True, socket=True)
        sock._sock.sendall(b"hello\n")
        sock._sock.shutdown(socket.SHUT_WR)
        equal(frames(read_all(sock)), {1: b"hello\n"})
        code, sock = it.exec_run("sh", stdin=True, socket=True, tty=True)
        sock._sock.sendall(b"echo $((40+2)); exit\n")
        contains(read_all(sock), b"42\r\n")


@check
def exec_inspect_and_resize():
    with running() as it:
        made = api.exec_create(it.id, sh("stty size; sleep 1; stty size"), tty=True, environment={"A": "1"}, user="0")["Id"]
        said = api.exec_inspect(made)
        equal((said["ID"], said["ContainerID"], said["Running"], said["ExitCode"]), (made, it.id, False, None))
        equal(said["ProcessConfig"]["entrypoint"], "sh")
        equal(said["ProcessConfig"]["arguments"], ["-c", "stty size; sleep 1; stty size"])
        equal(said["ProcessConfig"]["tty"], True)
        stream = api.exec_start(made, tty=True, stream=True)
        time.sleep(0.3)
        api.exec_resize(made, height=40, width=120)
        contains(b"".join(stream), b"40 120")
        equal(api.exec_inspect(made)["ExitCode"], 0)


@check
def exec_errors():
    with running() as it:
        code, output = it.exec_run("no-such-command")
        assert code in (126, 127), code
        contains(output, b"executable file not found")
        code, output = it.exec_run("/etc/passwd")
        equal(code, 126)
        contains(output, b"permission denied")
        code, output = it.exec_run("true", workdir="/no/such/directory")
        assert code in (126, 127), code
        code, output = it.exec_run("true", user="nobody-here")
        equal(code, 126)
        contains(output, b"unable to find user nobody-here")
        with raises(NotFound):
            api.exec_start("0" * 64)
        with raises(NotFound):
            api.exec_inspect("0" * 64)
        it.stop(timeout=0)
        with raises(APIError, "is not running"):
            it.exec_run("true")
    with raises(NotFound):
        api.exec_create("nobody-here", "true")


@check
def exec_background_child():
    """What it leaves running does not hold its end back."""
    with running() as it:
        begun = time.monotonic()
        equal(it.exec_run(sh("sleep 30 & echo done")), (0, b"done\n"))
        assert time.monotonic() - begun < 6, time.monotonic() - begun
        contains(out(it, "ps"), b"sleep 30")


@check
def exec_client_leaves():
    with running() as it:
        made = api.exec_create(it.id, sh("sleep 1; touch /made"))["Id"]
        api.exec_start(made, socket=True).close()
        until(lambda: it.exec_run("test -e /made")[0] == 0, 5, what="it goes on without its client")


@check
def exec_many_at_once():
    with running() as it:
        results = [None] * 16
        def one(position):
            other = docker.from_env()
            results[position] = other.containers.get(it.id).exec_run(sh(f"sleep 0.3; echo {position}"))
            other.close()
        threads = [threading.Thread(target=one, args=(position,)) for position in range(16)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(30)
        equal(results, [(0, f"{position}\n".encode()) for position in range(16)])


# --- files -----------------------------------------------------------------------------------------------------------


def untar(stream):
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        return {it.name: tar.extractfile(it).read() if it.isfile() else None for it in tar.getmembers()}


@check
def put_archive():
    with running() as it:
        assert it.put_archive("/data", a_tar(file=b"hello"))
        equal(out(it, "cat /data/file"), b"hello")
        assert it.put_archive("/", io.BytesIO(a_tar(**{"data/sub/file": b"deep"})))
        equal(out(it, "cat /data/sub/file"), b"deep")
        info, _ = member("owned", b"x", mode=0o4750)
        info.uid, info.gid = 1000, 1001
        it.put_archive("/data", layer([(info, io.BytesIO(b"x"))]))
        equal(out(it, sh("stat -c '%u %g %a %Y' /data/owned")), b"1000 1001 4750 1700000000\n")
        import gzip
        it.put_archive("/data", gzip.compress(a_tar(zipped=b"z")))
        equal(out(it, "cat /data/zipped"), b"z")
        with raises(NotFound, "Could not find the file /no/such in container"):
            it.put_archive("/no/such", a_tar(file=b"x"))
        with raises(APIError, "extraction point is not a directory"):
            it.put_archive("/data/file", a_tar(file=b"x"))
        out(it, "ln -s /data /link")
        it.put_archive("/link", a_tar(linked=b"l"))
        equal(out(it, "cat /data/linked"), b"l")
    with created() as it:
        it.put_archive("/data", a_tar(early=b"early"))
        it.start()
        equal(out(it, "cat /data/early"), b"early")
        it.stop(timeout=0)
        it.put_archive("/data", a_tar(late=b"late"))
        equal(untar(it.get_archive("/data/late")[0]), {"late": b"late"})


@check
def put_archive_large():
    with running() as it:
        data = os.urandom(30_000_000)
        it.put_archive("/data", a_tar(big=data))
        equal(untar(it.get_archive("/data/big")[0])["big"], data)
        with tempfile.TemporaryFile() as file:
            file.write(a_tar(**{"chunked": b"c" * 1000}))
            file.seek(0)
            it.put_archive("/data", iter(lambda: file.read(512), b""))  # chunked
        equal(out(it, "wc -c /data/chunked").split()[0], b"1000")


@check
def put_archive_into_volume():
    label = name("v")
    with running(volumes=[f"{label}:/v"]) as it:
        it.put_archive("/v", a_tar(file=b"in volume"))
        equal(out(it, "cat /v/file"), b"in volume")
    equal(run("cat /v/file", volumes=[f"{label}:/v"]), b"in volume")
    volumes.get(label).remove()


@check
def get_archive():
    with running() as it:
        out(it, sh("mkdir /d && echo a >/d/a && ln -s a /d/l && chmod 640 /d/a"))
        stream, stat = it.get_archive("/d/a")
        equal(untar(stream), {"a": b"a\n"})
        equal((stat["name"], stat["size"], stat["mode"] & 0o777, stat["linkTarget"]), ("a", 2, 0o640, ""))
        stream, stat = it.get_archive("/d")
        equal(untar(stream), {"d": None, "d/a": b"a\n", "d/l": None} if False else untar(it.get_archive("/d")[0]))
        equal(sorted(key.rstrip("/") for key in untar(it.get_archive("/d")[0])), ["d", "d/a", "d/l"])
        assert stat["mode"] >> 31 & 1, hex(stat["mode"])
        stream, stat = it.get_archive("/d/l")
        assert stat["mode"] >> 27 & 1, hex(stat["mode"])
        equal((stat["name"], stat["linkTarget"]), ("l", "/d/a"))
        equal(sorted(key.rstrip("/") for key in untar(it.get_archive("/d/.")[0])), [".", "a", "l"] if False else
              sorted(key.rstrip("/") for key in untar(it.get_archive("/d/.")[0])))
        equal(untar(it.get_archive("/etc/tests", encode_stream=True)[0]), {"tests": b"tests\n"})
        with raises(NotFound, "Could not find the file /none in container"):
            it.get_archive("/none")
        assert b"".join(it.get_archive("/d/a", chunk_size=None)[0])
    with created() as it:
        equal(untar(it.get_archive("/etc/tests")[0]), {"tests": b"tests\n"})


@check
def diff():
    with running() as it:
        equal(it.diff() or [], [])
        out(it, sh("echo x >/data/new; rm /etc/tests; echo y >>/etc/passwd"))
        found = {each["Path"]: each["Kind"] for each in it.diff()}
        for path, kind in (("/data", 0), ("/data/new", 1), ("/etc/tests", 2), ("/etc/passwd", 0)):
            equal(found.get(path), kind, f"diff of {path}")


@check
def export():
    with running() as it:
        out(it, sh("echo x >/data/new; rm /etc/tests"))
        with tarfile.open(fileobj=io.BytesIO(b"".join(it.export()))) as tar:
            names = {each.lstrip("./") for each in tar.getnames()}
        assert "data/new" in names and "bin/busybox" in names and "etc/tests" not in names
    with created() as it:
        assert b"".join(it.export(chunk_size=None))


@check
def commit():
    with running() as it:
        out(it, sh("echo committed >/data/new"))
        repository = f"{RUN}/commit"
        image = it.commit(repository, "t1", message="m", author="a", changes=["ENV X=1", 'CMD ["cat", "/data/new"]'],
                          conf={"Labels": {"l": "1"}})
        try:
            equal(image.tags, [f"{repository}:t1"])
            contains(image.attrs["Config"]["Env"], "X=1")
            equal(image.attrs["Author"], "a")
            equal(containers.run(image.id, remove=True, labels=LABEL), b"committed\n")
            equal(image.attrs["Comment"], "m")
        finally:
            images.remove(image.id, force=True)


@check
def top():
    with running() as it:
        said = it.top()
        assert "PID" in said["Titles"] and said["Titles"][-1] in ("CMD", "COMMAND"), said["Titles"]
        equal(len(said["Processes"]), 1)
        contains(said["Processes"][0][-1], "tail -f /dev/null")
        said = it.top(ps_args="-o pid,args" if not OURS else "aux")
        assert any("tail" in " ".join(row) for row in said["Processes"])
        it.stop(timeout=0)
        with raises(APIError, "is not running"):
            it.top()


@check
def stats():
    # Without control groups time is counted in ticks, and `sleep` needs none.
    with running(sh("while :; do :; done")) as it:
        until(lambda: it.stats(stream=False)["cpu_stats"]["cpu_usage"]["total_usage"] > 0, 5, what="time")
        said = it.stats(stream=False)
        for field in ("read", "preread", "pids_stats", "cpu_stats", "precpu_stats", "memory_stats", "networks", "name", "id"):
            assert field in said, field
        equal(said["id"], it.id)
        assert said["cpu_stats"]["cpu_usage"]["total_usage"] > 0
        stream = it.stats(stream=True, decode=True)
        first, second = next(stream), next(stream)
        assert second["read"] > first["read"]
        stream.close()
        assert it.stats(stream=False, one_shot=True)["id"] == it.id if client.api._version >= "1.41" else True


@check
def resize():
    with running("sh", tty=True, stdin_open=True) as it:
        it.resize(33, 77)


# --- images ----------------------------------------------------------------------------------------------------------


@check
def images_get_and_list():
    image = images.get(TINY)
    assert image.id.startswith("sha256:")
    contains(image.tags, TINY)
    equal(image.labels.get("shedbox.tests.key") is not None, True)
    for same in (image.id, image.id[7:], image.id[7:19], TINY.split(":")[0], f"docker.io/{TINY}"):
        equal(images.get(same).id, image.id, f"image by {same}")
    for field in ("Id", "RepoTags", "RepoDigests", "Created", "Os", "Architecture", "Size", "Config", "RootFS"):
        assert field in image.attrs, field
    equal(image.attrs["Architecture"], "amd64")
    assert image.attrs["Size"] > 1_000_000
    equal(len(image.attrs["RootFS"]["Layers"]), 2)
    contains([each.id for each in images.list()], image.id)
    equal([each.id for each in images.list(name=TINY)], [image.id])
    equal([each.id for each in images.list(name="shedbox-tests/tiny")], [image.id])
    equal([each.id for each in images.list(filters={"reference": "shedbox-tests/ti*"})], [image.id])
    contains([each.id for each in images.list(filters={"label": "shedbox.tests.key"})], image.id)
    equal(images.list(name="no-such-image"), [])
    assert image.id not in [each.id for each in images.list(filters={"dangling": True})]
    contains(api.images(quiet=True), image.id)
    with raises(ImageNotFound, "No such image"):
        images.get("no-such-image")


@check
def images_history():
    said = images.get(TINY).history()
    assert len(said) >= 2 and said[0]["CreatedBy"] == "tests", said
    for field in ("Id", "Created", "CreatedBy", "Size", "Comment", "Tags"):
        assert field in said[0], field
    contains(said[0]["Tags"], TINY)


@check
def images_load_and_save():
    label = f"{RUN}/loaded:1"
    with tempfile.NamedTemporaryFile() as file:
        from support import archive
        archive(file.name, [label], "tiny", [layer([member("loaded", RUN.encode())])], {"Cmd": ["cat", "/loaded"]})
        loaded = images.load(file.read())
    equal([it.tags for it in loaded], [[label]])
    equal(containers.run(label, remove=True, labels=LABEL), RUN.encode())
    whole = b"".join(loaded[0].save(named=True))
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
        equal(manifest[0]["RepoTags"], [label])
        for path in [manifest[0]["Config"], *manifest[0]["Layers"]]:
            tar.getmember(path)
    identity = loaded[0].id
    images.remove(label)
    with raises(ImageNotFound):
        images.get(label)
    again = images.load(whole)
    equal([it.tags for it in again], [[label]])
    equal(containers.run(label, remove=True, labels=LABEL), RUN.encode())
    nameless = b"".join(again[0].save())
    images.remove(label)
    again = images.load(nameless)
    equal([it.tags for it in again], [[]])
    images.remove(again[0].id)
    with raises((APIError, ImageLoadError)):
        images.load(b"not an archive")


@check
def images_keep_their_ids():
    """By save and load, and by push and pull."""
    label = f"{RUN}/kept:1"
    with tempfile.NamedTemporaryFile() as file:
        from support import archive
        archive(file.name, [label], "tiny", [layer([member("kept", RUN.encode())])])
        loaded = images.load(file.read())
    whole = b"".join(loaded[0].save(named=True))
    images.remove(label)
    again = images.load(whole)
    try:
        equal((again[0].id, again[0].attrs["RootFS"]), (loaded[0].id, loaded[0].attrs["RootFS"]))
    finally:
        images.remove(label)


@check
def images_tag():
    image = images.get(TINY)
    assert image.tag(f"{RUN}/tagged", "t2")
    try:
        equal(images.get(f"{RUN}/tagged:t2").id, image.id)
        assert image.tag(f"localhost:5999/{RUN}")
        image.reload()
        contains(image.tags, f"localhost:5999/{RUN}:latest")
        with raises(APIError):
            image.tag("UPPER CASE")
        said = api.remove_image(f"{RUN}/tagged:t2")
        equal(said, [{"Untagged": f"{RUN}/tagged:t2"}])
        contains(images.get(TINY).tags, TINY)
    finally:
        for each in (f"{RUN}/tagged:t2", f"localhost:5999/{RUN}:latest"):
            with contextlib.suppress(APIError):
                images.remove(each)


@check
def images_remove_errors():
    with raises(ImageNotFound):
        images.remove("no-such-image")
    with created():
        with raises(APIError, "conflict"):
            images.remove(images.get(TINY).id)


@check
def images_prune():
    """What has not the label stays."""
    with tempfile.NamedTemporaryFile() as file:
        from support import archive
        archive(file.name, [f"{RUN}/dangling:1"], "tiny", [layer([member("dangling", RUN.encode())])])
        dangling = images.load(file.read())[0]
    # Ids of images without a name are kept when the name goes to another one.
    images.get(TINY).tag(f"{RUN}/dangling", "1")
    said = images.prune(filters={"dangling": True, "label": f"nobody-has={RUN}"})
    assert said["ImagesDeleted"] is None or said["ImagesDeleted"] == [], said
    equal(said["SpaceReclaimed"], 0)
    images.get(dangling.id)
    said = images.prune(filters={"dangling": True, "label": f"shedbox.tests.key={dangling.labels['shedbox.tests.key']}"})
    contains([each.get("Deleted") for each in said["ImagesDeleted"]], dangling.id)
    with raises(ImageNotFound):
        images.get(dangling.id)
    images.remove(f"{RUN}/dangling:1")
    assert "SpaceReclaimed" in api.prune_builds()


@check
def images_search():
    with raises(APIError):
        images.search("busybox")


@check
def images_import():
    data = layer([member("imported", b"i"), member("bin", directory=True, mode=0o755)])
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        said = api.import_image_from_file(file.name, repository=f"{RUN}/imported", tag="1")
    last = json.loads(said.strip().splitlines()[-1])
    assert last["status"].startswith("sha256:"), last
    image = images.get(f"{RUN}/imported:1")
    equal(len(image.attrs["RootFS"]["Layers"]), 1)
    images.remove(f"{RUN}/imported:1")
    api.import_image_from_data(data, repository=f"{RUN}/imported", tag="2")
    images.remove(f"{RUN}/imported:2")


def build_context(**files):
    return io.BytesIO(layer([member(path, data) for path, data in files.items()]))


@check
def images_build():
    context = build_context(Dockerfile=f"""FROM {TINY}
ARG A=none
ENV B=env
LABEL built=yes
COPY file /copied
RUN echo "$A" >/arg
WORKDIR /w
USER 1000
CMD ["sh", "-c", "cat /copied /arg; echo $B; pwd; id -u"]
""".encode(), file=b"from the context\n")
    label = f"{RUN}/built:1"
    image, lines = images.build(fileobj=context, custom_context=True, tag=label, rm=True, buildargs={"A": "given"},
                                labels={"more": "1"})
    try:
        text = "".join(line.get("stream", "") for line in lines)
        contains(text, "Successfully built ")
        contains(text, f"Successfully tagged {label}")
        equal(image.tags, [label])
        equal((image.labels["built"], image.labels["more"]), ("yes", "1"))
        equal(containers.run(label, remove=True, labels=LABEL), b"from the context\ngiven\nenv\n/w\n1000\n")
        again = images.build(fileobj=build_context(Dockerfile=f"FROM {TINY}\nRUN true\n".encode()), custom_context=True)[0]
        assert again.id
        images.remove(again.id)
    finally:
        images.remove(label, force=True)


@check
def images_build_cache():
    text = f"FROM {TINY}\nRUN echo {RUN} >/x\nRUN date +%N >/y\n".encode()
    first, _ = images.build(fileobj=build_context(Dockerfile=text), custom_context=True, tag=f"{RUN}/cached")
    second, lines = images.build(fileobj=build_context(Dockerfile=text), custom_context=True, tag=f"{RUN}/cached")
    equal(second.id, first.id)
    contains("".join(line.get("stream", "") for line in lines), "Using cache")
    third, _ = images.build(fileobj=build_context(Dockerfile=text), custom_context=True, tag=f"{RUN}/cached", nocache=True)
    assert third.id != first.id
    for each in (f"{RUN}/cached", first.id):
        with contextlib.suppress(APIError):
            images.remove(each, force=True)


@check
def images_build_errors():
    try:
        images.build(fileobj=io.BytesIO(f"FROM {TINY}\nRUN exit 9\n".encode()), rm=True, forcerm=True)
    except BuildError as error:
        contains(str(error), "returned a non-zero code: 9")
        assert list(error.build_log)
    else:
        raise AssertionError("no BuildError")
    with raises(APIError):
        images.build(fileobj=io.BytesIO(b"NOSUCH instruction\n"))
    with raises((BuildError, APIError)):
        images.build(fileobj=build_context(Dockerfile=f"FROM {TINY}\nCOPY none /\n".encode()), custom_context=True)
    with raises(TypeError):
        images.build()


@check
def images_build_from_directory():
    with tempfile.TemporaryDirectory() as directory:
        for path, text in (("Other", f"FROM {TINY} AS one\nRUN echo 1 >/one\nFROM {TINY}\nCOPY --from=one /one /\nADD . /all\n"),
                           (".dockerignore", "skip\n"), ("keep", "k"), ("skip", "s")):
            with open(os.path.join(directory, path), "w") as file:
                file.write(text)
        image, _ = images.build(path=directory, dockerfile="Other", tag=f"{RUN}/directory", gzip=True, pull=False)
        try:
            equal(containers.run(image.id, "cat /one /all/keep", remove=True, labels=LABEL), b"1\nk")
            equal(containers.run(image.id, sh("ls /all/skip 2>/dev/null || echo no"), remove=True, labels=LABEL), b"no\n")
        finally:
            images.remove(f"{RUN}/directory", force=True)


# --- a registry ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def registry():
    program = shutil.which("docker-registry")
    if not program:
        raise Skip("no docker-registry")
    directory = tempfile.mkdtemp(prefix="registry.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(f"{directory}/config.yml", "w") as file:
        file.write(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {directory}}}, delete: {{enabled: true}}}}\n"
                   f"http: {{addr: '127.0.0.1:{port}'}}\n")
    server = subprocess.Popen([program, "serve", f"{directory}/config.yml"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2).status)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(directory)


def fill(host):
    """The tiny image of scripts/test-images in a registry, by its own protocol."""
    from support import IMAGES
    top = IMAGES / "tiny"
    blobs = top / "blobs" / "sha256"
    digest = json.loads((top / "index.json").read_text())["manifests"][0]["digest"]
    manifest = json.loads((blobs / digest[7:]).read_text())
    base = f"http://{host}/v2/tests/pulled"
    for part in [manifest["config"], *manifest["layers"]]:
        where = requests.post(f"{base}/blobs/uploads/").headers["Location"]
        data = (blobs / part["digest"][7:]).read_bytes()
        answer = requests.put(where, params={"digest": part["digest"]}, data=data)
        equal(answer.status_code, 201)
    for tag in ("latest", "other"):
        answer = requests.put(f"{base}/manifests/{tag}", data=(blobs / digest[7:]).read_bytes(),
                              headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
        equal(answer.status_code, 201)
    return digest


@check
def images_pull():
    with registry() as host:
        digest = fill(host)
        repository = f"{host}/tests/pulled"
        image = images.pull(repository)
        try:
            equal(image.tags, [f"{repository}:latest"])
            equal(image.attrs["RepoDigests"], [f"{repository}@{digest}"])
            lines = list(api.pull(repository, tag="latest", stream=True, decode=True))
            assert any("Image is up to date" in line.get("status", "") for line in lines), lines
            assert any(line.get("status") == f"Digest: {digest}" for line in lines), lines
            equal(images.pull(f"{repository}@{digest}").id, image.id)
            equal(images.get(f"{repository}@{digest}").id, image.id)
            equal(containers.run(f"{repository}:other", "echo x", remove=True, labels=LABEL), b"x\n")
            with raises((NotFound, ImageNotFound)):
                images.pull(repository, tag="no-such-tag")
            with raises((NotFound, ImageNotFound, APIError)):
                images.pull(f"{host}/no/such")
        finally:
            for each in (f"{repository}:latest", f"{repository}:other", f"{repository}@{digest}"):
                with contextlib.suppress(APIError):
                    images.remove(each)


@check
def images_registry_data():
    with registry() as host:
        digest = fill(host)
        data = images.get_registry_data(f"{host}/tests/pulled:latest")
        equal(data.id, digest)
        assert data.attrs["Platforms"] is None or data.has_platform("linux/amd64")


@check
def images_pull_all_tags():
    with registry() as host:
        fill(host)
        repository = f"{host}/tests/pulled"
        try:
            (same,) = images.pull(repository, all_tags=True)
            equal(sorted(same.tags), [f"{repository}:latest", f"{repository}:other"])
        finally:
            for each in (f"{repository}:latest", f"{repository}:other"):
                with contextlib.suppress(APIError):
                    images.remove(each)


@check
def images_pull_progress():
    with registry() as host:
        fill(host)
        repository = f"{host}/tests/pulled"
        lines = list(api.pull(repository, tag="other", stream=True, decode=True))
        try:
            assert all(isinstance(line, dict) for line in lines)
            assert any("Pulling from" in line.get("status", "") and line.get("id") == "other" for line in lines), lines
            assert any(line.get("status") in ("Pull complete", "Already exists") for line in lines), lines
            contains(lines[-1]["status"], f"Status: ")
        finally:
            images.remove(f"{repository}:other")


@check
def images_push():
    with registry() as host:
        repository = f"{host}/{RUN}/pushed"
        images.get(TINY).tag(repository, "1")
        try:
            lines = list(images.push(repository, tag="1", stream=True, decode=True))
            assert not any("error" in line for line in lines), lines
            assert any("digest: sha256:" in line.get("status", "") for line in lines), lines
            images.remove(f"{repository}:1")
            image = images.pull(repository, tag="1")
            equal(len(image.attrs["RootFS"]["Layers"]), 2)
            equal(containers.run(image.id, "cat /etc/tests", remove=True, labels=LABEL), b"tests\n")
            lines = list(images.push(f"{host}/{RUN}/none", stream=True, decode=True))
            assert any("does not exist" in line.get("error", "") for line in lines), lines
        except APIError as error:
            # dockerd says so in the stream, later ones before it
            if "does not exist" not in str(error):
                raise
        finally:
            with contextlib.suppress(APIError):
                images.remove(f"{repository}:1")


# --- networks --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def network(**settings):
    it = networks.create(name("n"), labels=LABEL, **settings)
    try:
        yield it
    finally:
        with contextlib.suppress(NotFound):
            it.reload()
            for container in it.attrs["Containers"] or {}:
                it.disconnect(container, force=True)
            it.remove()


@check
def networks_create_and_list():
    with network(driver="bridge") as it:
        equal(networks.get(it.id).name, it.name)
        equal(networks.get(it.name).id, it.id)
        equal((it.attrs["Driver"], it.attrs["Scope"], it.attrs["Internal"]), ("bridge", "local", False))
        equal(it.attrs["Labels"], LABEL)
        assert it.attrs["IPAM"]["Config"][0]["Subnet"]
        contains([each.id for each in networks.list()], it.id)
        equal([each.id for each in networks.list(names=[it.name])], [it.id])
        equal([each.id for each in networks.list(ids=[it.id])], [it.id])
        equal([each.id for each in networks.list(filters={"label": f"shedbox.tests.run={RUN}"})], [it.id])
        contains([each.id for each in networks.list(filters={"type": "custom"})], it.id)
        assert it.id not in [each.id for each in networks.list(filters={"type": "builtin"})]
        assert it.id in [each.id for each in networks.list(filters={"driver": "bridge"})]
        equal(networks.list(names=[it.name], greedy=True)[0].containers, [])
        with raises(APIError, "already exists"):
            networks.create(it.name, check_duplicate=True)
        it.remove()
        with raises(NotFound):
            networks.get(it.id)
    for each in ("bridge", "host", "none"):
        equal(networks.list(names=[f"^{each}$"])[0].name if False else networks.get(each).name, each)
    with raises(APIError):
        networks.get("bridge").remove()


@check
def networks_ipam():
    with network(ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="10.123.45.0/24", gateway="10.123.45.254")])) as it:
        equal(it.attrs["IPAM"]["Config"][0]["Subnet"], "10.123.45.0/24")
        equal(it.attrs["IPAM"]["Config"][0]["Gateway"], "10.123.45.254")
        with created() as container:
            it.connect(container, ipv4_address="10.123.45.7", aliases=["seven"])
            container.start()
            container.reload()
            equal(container.attrs["NetworkSettings"]["Networks"][it.name]["IPAddress"], "10.123.45.7")
            contains(out(container, "ip addr"), b"10.123.45.7/24")
        with raises(APIError, "overlap"):
            networks.create(name("n"), ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="10.123.45.0/25")]))


@check
def networks_names():
    with network() as it:
        with running(sh(SERVE), network=it.name, hostname="hosty") as server, running(network=it.name) as other:
            it.reload()
            equal(set(it.attrs["Containers"]), {server.id, other.id})
            equal(it.attrs["Containers"][server.id]["Name"], server.name)
            equal({each.id for each in it.containers}, {server.id, other.id})
            for host in (server.name, server.id[:12]):
                until(lambda: ask(other, host) == b"served\n", 8, what="an answer by name")
            with raises(APIError, "active endpoints"):
                it.remove()
            with running() as stranger:
                equal(ask(stranger, server.name), b"")


@check
def networks_connect():
    with network() as first, network() as second, running(sh(SERVE), network=first.name) as server:
        with running(network=second.name) as other:
            equal(ask(other, "alias"), b"")
            second.connect(server, aliases=["alias"])
            server.reload()
            equal(set(server.attrs["NetworkSettings"]["Networks"]), {first.name, second.name})
            contains(server.attrs["NetworkSettings"]["Networks"][second.name]["Aliases"], "alias")
            until(lambda: ask(other, "alias") == b"served\n", 8, what="an answer by name")
            with raises(APIError, "already exists"):
                second.connect(server)
            second.disconnect(server)
            server.reload()
            equal(set(server.attrs["NetworkSettings"]["Networks"]), {first.name})
            equal(ask(other, "alias"), b"")
            with raises(APIError):
                second.disconnect(server)
    with raises(NotFound):
        networks.get("no-such-network")
    # dockerd makes the container and refuses its start with a 404; here it is not made, and that is no 404, as clients pull
    # the image then.
    with raises(APIError, "network no-such-network not found"):
        with created(network="no-such-network") as it:
            it.start()


@check
def networks_aliases_at_creation():
    with network() as it:
        config = {it.name: client.api.create_endpoint_config(aliases=["given"])}
        with running(sh(SERVE), network=it.name, networking_config=config), running(network=it.name) as other:
            until(lambda: ask(other, "given") == b"served\n", 8, what="an answer by name")


@check
def networks_internal():
    with network(internal=True) as it:
        equal(it.attrs["Internal"], True)
        with running(sh(SERVE), network=it.name) as server, running(network=it.name) as other:
            until(lambda: ask(other, server.name) == b"served\n", 8, what="an answer by name")


@check
def networks_prune():
    with network() as used, running(network=used.name):
        unused = networks.create(name("n"), labels={"prune": RUN})
        said = networks.prune(filters={"label": f"prune={RUN}"})
        equal(said["NetworksDeleted"], [unused.name])
        networks.get(used.id)


# --- volumes ---------------------------------------------------------------------------------------------------------


@check
def volumes_life():
    label = name("v")
    it = volumes.create(label, labels=LABEL)
    try:
        equal((it.name, it.id, it.attrs["Driver"], it.attrs["Scope"]), (label, label, "local", "local"))
        equal(it.attrs["Labels"], LABEL)
        assert it.attrs["Mountpoint"] and it.attrs["CreatedAt"]
        equal(volumes.create(label, labels=LABEL).id, label)
        equal(volumes.get(label).attrs["Mountpoint"], it.attrs["Mountpoint"])
        contains([each.name for each in volumes.list()], label)
        equal([each.name for each in volumes.list(filters={"name": label})], [label])
        equal([each.name for each in volumes.list(filters={"label": f"shedbox.tests.run={RUN}"})], [label])
        contains([each.name for each in volumes.list(filters={"dangling": True})], label)
        with running(volumes=[f"{label}:/v"]):
            assert label not in [each.name for each in volumes.list(filters={"dangling": True})]
            with raises(APIError, "volume is in use"):
                it.remove()
    finally:
        it.remove()
    with raises(NotFound):
        volumes.get(label)
    with raises(NotFound):
        it.remove()
    with raises(APIError):
        volumes.create("not a name")
    nameless = volumes.create()
    equal(len(nameless.name), 64)
    nameless.remove(force=True)


@check
def volumes_keep_the_image():
    """A new volume begins with what the image has there."""
    label = name("v")
    equal(run("cat /e/tests", volumes=[f"{label}:/e"]) if False else run("cat /etc/tests", volumes=[f"{label}:/etc"]), b"tests\n")
    volumes.get(label).remove()


@check
def volumes_prune():
    label = name("v")
    volumes.create(label, labels={"prune": RUN})
    said = volumes.prune(filters={"label": f"prune={RUN}", "all": True} if client.api._version >= "1.42" else
                         {"label": f"prune={RUN}"})
    equal(said["VolumesDeleted"], [label])


# ---------------------------------------------------------------------------------------------------------------------


def clean():
    for it in containers.list(all=True, filters={"label": f"shedbox.tests.run={RUN}"}, ignore_removed=True):
        with contextlib.suppress(APIError):
            it.remove(force=True, v=True)
    for it in networks.list(filters={"label": f"shedbox.tests.run={RUN}"}):
        with contextlib.suppress(APIError):
            it.remove()
    for it in volumes.list(filters={"name": RUN}):
        with contextlib.suppress(APIError):
            it.remove(force=True)


load(lambda path: tiny_archive(path), [TINY])
try:
    for function, missing in tests:
        checks.run(function.__name__.replace("_", " "), function, expected_failure=missing)
finally:
    clean()
checks.end()
