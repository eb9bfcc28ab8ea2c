"""What the suites share: a list of checks with one line each, and two images made from what scripts/test-images built.

Nothing here looks at which daemon answers: the same suites run on dockerd.
"""

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
IMAGES = Path(
    os.environ.get("SHEDBOX_TEST_IMAGES") or HERE.parents[2] / "target" / "test-images"
)
TINY = "shedbox-tests/tiny:latest"
TESTBED = "shedbox-tests/testbed:latest"
# What both images carry, so that one that is there already is known for the same.
KEY = "shedbox.tests.key"


class Checks:
    """One line per check; a check that is expected to fail runs all the same."""

    def __init__(self, suite, seconds=60):
        """No check may take longer than `seconds`."""
        self.suite, self.seconds = suite, seconds
        self.passed, self.failed, self.expected, self.skipped = 0, [], 0, 0
        self.only = [word for word in sys.argv[1:] if not word.startswith("-")]

    def run(self, name, function, *arguments, expected_failure=None):
        if self.only and not any(word in name for word in self.only):
            return None
        started = time.monotonic()
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(self.seconds)
        try:
            result = function(*arguments)
        except Skip as reason:
            self.skipped += 1
            self._say("skip", name, f"({reason})")
            return None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a client may well exit
            said = " ".join(f"{type(error).__name__}: {error}".split())[:600]
            if expected_failure:
                self.expected += 1
                self._say("xfail", name, f"({expected_failure}) {said}")
                return None
            self.failed.append(name)
            where = [f for f in traceback.extract_tb(error.__traceback__) if "/clients/" in f.filename and not f.filename.endswith("/support.py")]
            line = f"line {where[-1].lineno}: " if where else ""
            self._say("FAIL", name, line + said)
            if os.environ.get("CLIENTS_TRACE"):
                traceback.print_exc()
            return None
        finally:
            signal.alarm(0)
        if expected_failure:
            self.failed.append(name)
            self._say("XPASS", name, f"(expected to fail: {expected_failure})")
            return result
        self.passed += 1
        self._say("ok", name, f"{time.monotonic() - started:.2f} s")
        return result

    def _say(self, verdict, name, rest):
        print(f"{verdict:5} {self.suite}: {name} {rest}", flush=True)

    def note(self, text):
        print(f"      {self.suite}: {text}", flush=True)

    def end(self):
        also = f" (and {self.expected} failed as expected)" if self.expected else ""
        print(
            f"{self.suite}: {self.passed} passed, {len(self.failed)} failed, {self.skipped} skipped{also}",
            flush=True,
        )
        for name in self.failed:
            print(f"  failed: {name}")
        sys.exit(1 if self.failed else 0)


class Skip(Exception):
    pass


class TooLong(BaseException):
    """Not caught by a client that catches exceptions."""


def too_long(*_):
    raise TooLong("the check takes too long")


def equal(found, wanted, what=""):
    assert found == wanted, f"{what or 'value'}: found {found!r}, wanted {wanted!r}"


def contains(found, wanted, what=""):
    assert wanted in found, f"{what or 'value'}: {wanted!r} is not in {found!r}"


@contextlib.contextmanager
def raises(kind, text=""):
    try:
        yield
    except kind as error:
        assert text.lower() in str(error).lower(), f"{kind.__name__} does not say {text!r}: {error}"
        return
    raise AssertionError(f"no {kind.__name__}")


def until(function, seconds=10, every=0.05, what="the condition"):
    """The first true value of a function."""
    end = time.monotonic() + seconds
    while True:
        value = function()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(every)


def processes(mark):
    """Pids on this host with a word of theirs in the command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


def docker(*arguments, host=None, check=True, timeout=120, stdin=None):
    """The docker command."""
    environment = dict(os.environ)
    if host:
        environment["DOCKER_HOST"] = host
    done = subprocess.run(
        ["docker", *arguments], env=environment, capture_output=True, text=True, timeout=timeout, stdin=stdin
    )
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.returncode}: {done.stderr}"
    return done


# --- images ----------------------------------------------------------------------------------------------------------


def layout(name):
    """The configuration and the layers, as files, of an OCI layout."""
    top = IMAGES / name
    blob = lambda digest: top / "blobs" / Path(*digest.split(":"))
    index = json.loads((top / "index.json").read_text())
    manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text())
    config = json.loads(blob(manifest["config"]["digest"]).read_text())
    return config, [blob(layer["digest"]) for layer in manifest["layers"]]


def member(path, data=b"", mode=0o644, link=None, directory=False):
    info = tarfile.TarInfo(path)
    info.mode, info.mtime = mode, 1700000000
    if link:
        info.type, info.linkname = tarfile.SYMTYPE, link
    elif directory:
        info.type = tarfile.DIRTYPE
    else:
        info.size = len(data)
    return info, io.BytesIO(data)


def layer(members):
    """An uncompressed layer from what `member` makes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, data if info.isfile() else None)
    return out.getvalue()


def archive(out, names, base, layers, settings=None):
    """What `docker save` writes: a layout of ours with more layers on it."""
    config, files = layout(base)
    config["config"].update(settings or {})
    key = hashlib.sha256(json.dumps([config, base, [hashlib.sha256(l).hexdigest() for l in layers]]).encode())
    config["config"]["Labels"] = {KEY: key.hexdigest()}
    for data in layers:
        config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(data).hexdigest()}")
        config["history"].append({"created": "2023-11-14T22:13:20Z", "created_by": "tests"})
    text = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(text).hexdigest()}.json"
    paths = [f"{position}/layer.tar" for position in range(len(files) + len(layers))]
    with tarfile.open(out, "w") as tar:
        for path, file in zip(paths, files):
            tar.add(file, arcname=path)
        for path, data in zip(paths[len(files) :], layers):
            tar.addfile(*member(path, data))
        tar.addfile(*member(config_name, text))
        manifest = [{"Config": config_name, "RepoTags": names, "Layers": paths}]
        tar.addfile(*member("manifest.json", json.dumps(manifest).encode()))
    return key.hexdigest()


def tiny_archive(out, names=(TINY,)):
    """Busybox, and a layer of ours with a user and a file to look for."""
    return archive(
        out,
        list(names),
        "tiny",
        [layer([member("etc/tests", b"tests\n"), member("data", directory=True, mode=0o755)])],
        {"Cmd": ["/bin/sh"]},
    )


def git(directory, *arguments, **environment):
    return subprocess.run(
        ["git", "-C", str(directory), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", "t"), ("EMAIL", "t@localhost"), ("DATE", "1700000000 +0000"))},
            **environment,
        },
    ).stdout


CALC = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a * 2\n"
TEST_CALC = "from calc import double\n\n\ndef test_double():\n    assert double(3) == 6\n"
MORE_TESTS = "\n\ndef test_add():\n    from calc import add\n\n    assert add(2, 3) == 5\n"


class Testbed:
    """A small repository with a mistake in it, its cure, the tests of the cure, and an image with it in /testbed."""

    def __init__(self, scratch):
        self.directory = Path(scratch) / "testbed"
        (self.directory / "tests").mkdir(parents=True)
        git(self.directory, "init", "--quiet", "--initial-branch=main")
        (self.directory / "calc.py").write_text(CALC)
        (self.directory / "conftest.py").write_text("")
        (self.directory / "tests" / "test_calc.py").write_text(TEST_CALC)
        git(self.directory, "add", "--all")
        git(self.directory, "commit", "--quiet", "--message=one")
        self.base = git(self.directory, "rev-parse", "HEAD").strip()
        self.gold = self.difference("calc.py", CALC.replace("a - b", "a + b"))
        self.nothing = self.difference("calc.py", CALC + "\n\n# nothing\n")
        self.tests = self.difference("tests/test_calc.py", TEST_CALC + MORE_TESTS)

    def difference(self, path, text):
        before = (self.directory / path).read_text()
        (self.directory / path).write_text(text)
        patch = git(self.directory, "diff")
        (self.directory / path).write_text(before)
        return patch

    def archive(self, out, names=(TESTBED,)):
        members = [member("testbed", directory=True, mode=0o755)]
        for path in sorted(self.directory.rglob("*")):
            name = f"testbed/{path.relative_to(self.directory)}"
            # What differs from one making to the next, and git does without.
            if path.is_dir():
                members.append(member(name, directory=True, mode=0o755))
            elif not name.endswith(".git/index") and "/hooks/" not in name:
                members.append(member(name, path.read_bytes()))
        members.append(member("usr/bin/python", link="python3"))
        packages = Path(__import__("pytest").__file__).parent.parent
        for package in ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments"):
            for path in sorted([packages / "py.py"] if package == "py" else (packages / package).rglob("*.py")):
                members.append(
                    member(f"usr/lib/python3/dist-packages/{path.relative_to(packages)}", path.read_bytes())
                )
        # They ask for their own versions.
        for path in sorted(packages.glob("*.dist-info/*")):
            if path.name in ("METADATA", "entry_points.txt") and path.parent.name.startswith(("pytest-", "pluggy-")):
                members.append(
                    member(f"usr/lib/python3/dist-packages/{path.relative_to(packages)}", path.read_bytes())
                )
        start = b"#!/usr/bin/python3\nimport pytest\nraise SystemExit(pytest.console_main())\n"
        members.append(member("usr/local/bin/pytest", start, mode=0o755))
        # The harness before 5 activates an environment of conda in each script.
        members.append(member("opt/miniconda3/bin/activate", b"conda() { :; }\n"))
        # The index is made when a container first asks; do it once, here, with the times of the layer.
        members.append(member("testbed/.git/index", self._index()))
        return archive(out, list(names), "debian", [layer(members)], {"WorkingDir": "/testbed"})

    def _index(self):
        return (self.directory / ".git" / "index").read_bytes()


def load(make, names, host=None):
    """Brings an image into a daemon; `make` writes its archive to a path and tells its key."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        key = make(file.name)
        wanted = "{{index .Config.Labels \"%s\"}}" % KEY
        for name in names:
            found = docker("image", "inspect", "--format", wanted, name, host=host, check=False)
            if found.stdout.strip() != key:
                docker("load", "--input", file.name, host=host, timeout=300)
                return
