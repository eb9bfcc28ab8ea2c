"""mini-swe-agent with its scripted model, through `environment_class: docker`.

    DOCKER_HOST=… python mini_swe_agent.py [WORD…]

DOCKER_LINK  a docker-named link of ours, to be the agent's `executable` too
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from support import TESTBED, Checks, Testbed, contains, docker, equal, load, processes, until

checks = Checks("mini-swe-agent", 300)
scratch = tempfile.TemporaryDirectory(prefix="mini.")
testbed = Testbed(scratch.name)
MARK = str(20_000_000 + os.getpid())
SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
BIN = Path(sys.executable).parent
ENVIRONMENT = {
    **os.environ, "MSWEA_CONFIGURED": "true", "MSWEA_COST_TRACKING": "ignore_errors", "MSWEA_SILENT_STARTUP": "1",
    "MSWEA_GLOBAL_CONFIG_DIR": f"{scratch.name}/config", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
    "HF_HOME": f"{scratch.name}/hf", "COLUMNS": "200", "HOME": scratch.name,
}
CURE = "sed -i 's/a - b/a + b/' calc.py && git diff --stat"
ACTIONS = [
    "pwd; id -un; echo $GIVEN; ls",
    CURE,
    "python3 -c 'from calc import add; print(add(2, 3))'",
    "echo out; echo err >&2; exit 7",
    f"{SUBMIT} && git diff",
]
count = 0


def config(executable, actions, **settings):
    outputs = [
        {"role": "assistant", "content": f"I run {action}", "extra": {"actions": [{"command": action}], "cost": 0.0}}
        for action in actions
    ]
    return {
        "model": {"model_class": "deterministic", "model_name": "deterministic", "outputs": outputs},
        "agent": {"system_template": "s", "instance_template": "{{task}}", "step_limit": 50, "cost_limit": 3.0},
        "environment": {
            "environment_class": "docker", "executable": executable, "image": TESTBED, "cwd": "/testbed",
            "timeout": 20, "env": {"GIVEN": "a b"}, **settings,
        },
    }


def run(executable, actions=ACTIONS, **settings):
    """A single run's trajectory."""
    global count
    count += 1
    directory = Path(scratch.name) / f"run{count}"
    directory.mkdir()
    (directory / "cfg.yaml").write_text(yaml.safe_dump(config(executable, actions, **settings)))
    done = subprocess.run(
        [BIN / "mini", "-c", "cfg.yaml", "-t", "task", "--exit-immediately", "--yolo", "-o", "traj.json"],
        cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=200,
    )
    path = directory / "traj.json"
    assert path.exists(), f"no trajectory: {done.returncode} {(done.stdout + done.stderr)[-1500:]}"
    return json.loads(path.read_text())


def text(trajectory):
    return "\n".join(str(message.get("content")) for message in trajectory["messages"])


def minis():
    return [n for n in docker("ps", "-a", "--format", "{{.Names}}").stdout.split() if n.startswith("minisweagent-")]


def submitted(executable):
    before = set(minis())
    trajectory = run(executable)
    equal(trajectory["info"]["exit_status"], "Submitted")
    contains(trajectory["info"]["submission"], "+    return a + b")
    said = text(trajectory)
    for wanted in ("/testbed", "root", "a b", "calc.py", "5\n", "out\nerr\n", "<returncode>7</returncode>" if "<returncode>" in said else "7"):
        contains(said, wanted, "observations")
    until(lambda: set(minis()) <= before, 30, what="no container is left")


def timed_out(executable):
    begun = time.monotonic()
    trajectory = run(executable, [f"sleep {MARK}", "echo still here", f"{SUBMIT}"], timeout=2)
    equal(trajectory["info"]["exit_status"], "Submitted")
    contains(text(trajectory), "still here")
    assert time.monotonic() - begun < 60
    # The agent leaves the stop of its container to a command in the background.
    until(lambda: not processes(MARK), 40, what="no process is left")


def large(executable):
    trajectory = run(executable, ["seq 1 200000 | tail -n 150000 | wc -c; head -c 200000 /dev/zero | tr '\\0' y", f"{SUBMIT}; seq 1 100000"])
    equal(trajectory["info"]["exit_status"], "Submitted")
    equal(len(trajectory["info"]["submission"].split()), 100000)


def no_image(executable):
    try:
        run(executable, image="127.0.0.1:1/none:latest")
    except AssertionError as error:
        contains(str(error), "docker")
    else:
        raise AssertionError("it ran")


def batch(executable):
    """The runner of SWE-bench, on rows of ours; its predictions are what the harness takes."""
    directory = Path(scratch.name) / f"batch{executable.replace('/', '_')}"
    data = directory / "data"
    data.mkdir(parents=True)
    rows = [
        {"instance_id": f"calc__calc-{n}", "image_name": TESTBED, "docker_image": TESTBED, "problem_statement": "add() subtracts",
         "repo": "calc/calc", "base_commit": testbed.base, "patch": testbed.gold, "test_patch": testbed.tests, "version": "1"}
        for n in range(8)
    ]
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = config(executable, [CURE, f"{SUBMIT} && git diff"])
    del settings["environment"]["image"]
    (directory / "cfg.yaml").write_text(yaml.safe_dump(settings))
    begun = time.monotonic()
    done = subprocess.run(
        [BIN / "mini-extra", "swebench", "--subset", "data", "--split", "test", "-c", "cfg.yaml", "-w", "4", "-o", "out"],
        cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=250,
    )
    path = directory / "out" / "preds.json"
    assert path.exists(), (done.stdout + done.stderr)[-1500:]
    predictions = json.loads(path.read_text())
    equal(len(predictions), 8, "predictions")
    for each in predictions.values():
        contains(each["model_patch"], "+    return a + b")
    checks.note(f"8 instances, 4 workers: {time.monotonic() - begun:.1f} s")
    until(lambda: not minis(), 60, what="no container is left")


checks.run("image loads", load, lambda path: testbed.archive(path), [TESTBED])
executables = [("the real docker", shutil.which("docker"))]
if os.environ.get("DOCKER_LINK"):
    executables.append(("our docker", os.environ["DOCKER_LINK"]))
for who, executable in executables:
    for name, function in (
        ("a scripted run is submitted", submitted),
        ("a command that takes too long", timed_out),
        ("much output", large),
        ("an image that does not exist", no_image),
        ("the batch runner of SWE-bench", batch),
    ):
        checks.run(f"{name}, by {who}", function, executable)
if len(executables) == 1:
    checks.note("DOCKER_LINK is not set: not by our docker")
scratch.cleanup()
checks.end()
