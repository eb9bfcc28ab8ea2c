"""The SWE-bench harness, unmodified, on rows and an image of our own.

    DOCKER_HOST=… python swebench_harness.py [WORD…]

SWEBENCH_PYTHON  the interpreter of another version's environment (default: this one)
DOCKER_HOST_REFERENCE  a dockerd to compare the reports and the time with
SHEDBOX_BIN  asked to prune after the interrupted run, when it is set
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support import TESTBED, Checks, Skip, Testbed, contains, docker, equal, load, processes, until

PYTHON = os.environ.get("SWEBENCH_PYTHON", sys.executable)
VERSION = subprocess.run(
    [PYTHON, "-c", "import importlib.metadata as m; print(m.version('swebench'))"],
    capture_output=True, text=True, check=True,
).stdout.strip()
NEW = int(VERSION.split(".")[0]) >= 5
REFERENCE = os.environ.get("DOCKER_HOST_REFERENCE")
# No other process has this in its command line.
MARK = str(10_000_000 + os.getpid())
checks = Checks(f"swebench-{VERSION}", 900)
scratch = tempfile.TemporaryDirectory(prefix="swebench.")
testbed = Testbed(scratch.name)


def image(instance):
    """Before 5 the name of the image follows from the instance."""
    if NEW:
        return TESTBED
    return f"swebench/sweb.eval.x86_64.{instance.lower().replace('__', '_1776_')}:latest"


def row(number, before="", kind="calc"):
    instance = f"pytest-dev__pytest-{kind}{number}"
    return {
        "instance_id": instance,
        "image": image(instance),
        # A repository that the harness before 5 knows how to test.
        "repo": "pytest-dev/pytest",
        "version": "7.2",
        "base_commit": testbed.base,
        "environment_setup_commit": testbed.base,
        "patch": testbed.gold,
        "test_patch": testbed.tests,
        "problem_statement": "add() subtracts",
        "hints_text": "",
        "created_at": "2023-11-14T22:13:20Z",
        "FAIL_TO_PASS": json.dumps(["tests/test_calc.py::test_add"]),
        "PASS_TO_PASS": json.dumps(["tests/test_calc.py::test_double"]),
        "eval_script": f"""#!/bin/bash
set -uxo pipefail
cd /testbed
{before}
git checkout {testbed.base} tests/test_calc.py
git apply -v - <<'EOF_114329324912'
{testbed.tests}EOF_114329324912
: '>>>>> Start Test Output'
pytest -rA tests/test_calc.py
: '>>>>> End Test Output'
git checkout {testbed.base} tests/test_calc.py
""",
        "log_parser": "parse_log_pytest",
        "eval_type": "pass_and_fail",
    }


class Run:
    """One run of the harness in a directory of its own."""

    count = 0

    def __init__(self, rows, patches=None, workers=4, timeout=120, host=None):
        Run.count += 1
        self.id = f"t{os.getpid()}x{Run.count}"
        self.rows, self.patches, self.host = rows, patches, host
        self.model = "gold" if patches is None else "model"
        self.directory = Path(scratch.name) / self.id
        self.directory.mkdir()
        (self.directory / "rows.json").write_text(json.dumps(rows))
        predictions = "gold"
        if patches is not None:
            predictions = "predictions.json"
            (self.directory / predictions).write_text(json.dumps([
                {"instance_id": row["instance_id"], "model_name_or_path": "model", "model_patch": patch}
                for row, patch in zip(rows, patches)
            ]))
        self.command = [
            PYTHON, "-m", "swebench.harness.run_evaluation", "-d", "rows.json", "-p", predictions,
            "-id", self.id, "--max_workers", str(workers), "--timeout", str(timeout),
        ]
        if not NEW:
            self.command += ["--cache_level", "instance"]
        self.environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        if host:
            self.environment["DOCKER_HOST"] = host

    def start(self):
        self.output = (self.directory / "output").open("w")
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            self.command, cwd=self.directory, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT,
        )
        return self

    def finish(self, seconds=600):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the harness is not done in {seconds} s: {self.tail()}") from None
        self.seconds = time.monotonic() - self.begun
        assert code == 0, f"the harness ended with {code}: {self.tail()}"
        reports = list(self.directory.glob(f"*.{self.id}.json"))
        assert len(reports) == 1, f"no report: {self.tail()}"
        self.report = json.loads(reports[0].read_text())
        return self

    def go(self, seconds=600):
        return self.start().finish(seconds)

    def tail(self):
        return (self.directory / "output").read_text()[-1500:]

    def logs(self, instance):
        return self.directory / "logs" / "run_evaluation" / self.id / self.model / instance

    def log(self, instance):
        path = self.logs(instance) / "run_instance.log"
        return path.read_text() if path.exists() else self.tail()

    def containers(self):
        return docker("ps", "--all", "--no-trunc", "--format", "{{.Names}}", "--filter", f"name={self.id}",
                      host=self.host).stdout.split()

    def reports(self):
        """Both kinds of reports, without what a run alone has."""
        parts = {"run": self.report}
        for row in self.rows:
            path = self.logs(row["instance_id"]) / "report.json"
            parts[row["instance_id"]] = json.loads(path.read_text()) if path.exists() else None
        return json.loads(json.dumps(parts).replace(self.id, "RUN"))

    def all_resolved(self):
        ids = sorted(row["instance_id"] for row in self.rows)
        if self.report["resolved_ids"] != ids:
            bad = next(i for i in ids if i not in self.report["resolved_ids"])
            raise AssertionError(f"resolved {self.report['resolved_ids']}; of {bad}: {self.log(bad)[-900:]}")
        equal(self.report["error_ids"], [])
        self.nothing_left()

    def nothing_left(self):
        equal(self.report.get("unstopped_containers", []), [], "unstopped_containers")
        equal(self.containers(), [], "containers left")


def prepare(host=None):
    names = [TESTBED] if NEW else [image(f"pytest-dev__pytest-{kind}{i}") for kind, i in KINDS]
    load(lambda path: testbed.archive(path, names), names, host)


KINDS = [("calc", i) for i in range(16)] + [("mix", i) for i in range(4)] + [("hang", i) for i in range(4)]
MIX = [row(i, kind="mix") for i in range(4)]


def gold():
    Run([row(i) for i in range(4)]).go().all_resolved()


def patches():
    """The four ends that a patch has."""
    return [testbed.gold, testbed.nothing, "", "--- a/no\n+++ b/no\n@@ -1 +1 @@\n-x\n+y\n"]


def mixed():
    run = Run(MIX, patches()).go()
    ids = [row["instance_id"] for row in MIX]
    equal(run.report["resolved_ids"], ids[:1], "resolved_ids")
    equal(run.report["unresolved_ids"], ids[1:2], "unresolved_ids")
    equal(run.report["empty_patch_ids"], ids[2:3], "empty_patch_ids")
    equal(run.report["error_ids"], ids[3:], "error_ids")
    contains(run.log(ids[3]), "Patch Apply Failed")
    run.nothing_left()
    return run


def hang_rows(seconds_of_sleep):
    if NEW:
        # One that heeds TERM and leaves children, one that does not heed it.
        return [
            row(0, f"sleep {seconds_of_sleep} & sleep {seconds_of_sleep}", "hang"),
            row(1, f"trap '' TERM; (setsid sleep {seconds_of_sleep} &) ; sleep {seconds_of_sleep}", "hang"),
            row(2, f"while :; do sleep {seconds_of_sleep} & wait; done", "hang"),
            row(3, "", "hang"),
        ]
    # Its script follows from the repository: the patch has to do it.
    return [row(i, kind="hang") for i in range(4)]


def hang_patch():
    return testbed.difference("conftest.py", f"import os\n\nos.system('sleep {MARK} & sleep {MARK}')\n")


def hang():
    rows = hang_rows(MARK)
    given = [testbed.gold if NEW else hang_patch()] * 3 + [testbed.gold]
    run = Run(rows, given, timeout=6).start()
    until(lambda: processes(MARK), 60, what="a script that hangs")
    run.finish(120)
    ids = [row["instance_id"] for row in rows]
    equal(run.report["resolved_ids"], ids[3:], "resolved_ids")
    equal(run.report["error_ids"], ids[:3], "error_ids")
    for instance in ids[:3]:
        contains(run.log(instance), "Test timed out after 6 seconds")
        contains((run.logs(instance) / "test_output.txt").read_text(), "Timeout error: 6 seconds exceeded.")
    run.nothing_left()
    until(lambda: not processes(MARK), 5, what="no process that hangs is left")


def hang_ends_in_the_sandbox():
    """The harness sends TERM, inside, to the pid that exec inspect tells; dockerd tells a pid of the host."""
    import docker as library

    client = library.from_env()
    prepare()
    container = client.containers.run(TESTBED if NEW else image("pytest-dev__pytest-calc0"), "tail -f /dev/null", detach=True)
    try:
        made = client.api.exec_create(container.id, f"sleep {MARK}")["Id"]
        client.api.exec_start(made, detach=True)
        pid = until(lambda: client.api.exec_inspect(made)["Pid"])
        container.exec_run(f"kill -TERM {pid}", detach=True)
        until(lambda: not client.api.exec_inspect(made)["Running"], 5, what="the exec ends by the harness's kill")
    finally:
        container.remove(force=True)


def big_output():
    rows = [row(0, "set +x; exec 2>&1; seq 1 600000; head -c 3000 /dev/zero | tr '\\0' x; echo; seq 1 100000 >&2; set -x")]
    run = Run(rows).go()
    run.all_resolved()
    lines = (run.logs(rows[0]["instance_id"]) / "test_output.txt").read_text().splitlines()
    numbers = [line for line in lines if line.isdigit()]
    equal(len(numbers), 700000, "lines of output")
    contains(lines, "x" * 3000)


def sixteen():
    run = Run([row(i) for i in range(16)], workers=16).go()
    run.all_resolved()
    checks.note(f"16 rows, 16 workers: {run.seconds:.1f} s")


def killed():
    rows = hang_rows(MARK)
    given = [testbed.gold if NEW else hang_patch()] * 4
    run = Run(rows[:3], given[:3]).start()
    try:
        until(lambda: len(processes(MARK)) >= 3, 60, what="three scripts that run")
    finally:
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
    left = run.containers()
    equal(len(left), 3, "containers after the harness was killed")
    # What runs is not pruned.
    docker("container", "prune", "--force", "--filter", "label!=keep")
    equal(sorted(run.containers()), sorted(left), "containers after prune")
    docker("rm", "--force", *left)
    docker("container", "prune", "--force", "--filter", "label!=keep")
    equal(run.containers(), [], "containers left")
    until(lambda: not processes(MARK), 5, what="no process is left")
    if os.environ.get("SHEDBOX_BIN"):
        done = subprocess.run([os.environ["SHEDBOX_BIN"], "prune", "--force"], capture_output=True, text=True)
        equal(done.returncode, 0, f"shedbox prune: {done.stderr}")
        prepare()


def killed_and_again():
    """The same run once more, as people do it: left-overs with its names are in the way."""
    rows = [row(0, f"[ -e /tmp/again ] || sleep {MARK}"), row(1)] if NEW else [row(0), row(1)]
    run = Run(rows, None if NEW else [hang_patch(), testbed.gold], timeout=8).start()
    until(lambda: processes(MARK), 60, what="a script that runs")
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    assert run.containers(), "no container is left to be in the way"
    run.start().finish()
    equal(run.containers(), [], "containers left")
    until(lambda: not processes(MARK), 5, what="no process is left")


def same_reports():
    if not REFERENCE:
        raise Skip("DOCKER_HOST_REFERENCE is not set")
    ours = mixed().reports()
    theirs = Run(MIX, patches(), host=REFERENCE).go().reports()
    for part in theirs:
        for field in theirs[part] or {}:
            equal((ours[part] or {}).get(field), theirs[part][field], f"{part}.{field}")
    equal(ours, theirs)


def ratio():
    if not REFERENCE:
        raise Skip("DOCKER_HOST_REFERENCE is not set")
    rows = [row(i) for i in range(8)]
    ours = Run(rows).go().seconds
    theirs = Run(rows, host=REFERENCE).go().seconds
    checks.note(f"8 rows, 4 workers: {ours:.1f} s, dockerd {theirs:.1f} s, ratio {ours / theirs:.2f}")
    assert ours / theirs <= 0.5, f"ratio {ours / theirs:.2f}, wanted at most 0.5"


checks.run("image loads", prepare)
if REFERENCE:
    prepare(REFERENCE)
checks.run("gold patches are resolved", gold)
checks.run("an empty patch, one of no use and one that does not apply", mixed)
checks.run("16 workers", sixteen)
if NEW:
    checks.run("megabytes of output", big_output)
checks.run("time-out is recorded and leaves no process", hang)
checks.run("the kill of a time-out hits", hang_ends_in_the_sandbox)
checks.run("a harness killed leaves nothing after prune and rm", killed)
if NEW:
    # Before 5 what is left of a killed run is in the way, on dockerd too.
    checks.run("a harness killed can run again", killed_and_again)
checks.run("reports equal dockerd's", same_reports)
checks.run("half of dockerd's time", ratio)
if os.environ.get("CLIENTS_KEEP"):
    checks.note(f"kept {scratch.name}")
    scratch._finalizer.detach()
else:
    scratch.cleanup()
checks.end()
