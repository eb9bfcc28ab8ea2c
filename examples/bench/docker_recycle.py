"""What `shedbox.recycle` saves a client of Docker's API: `docker_recycle.py SOCKET IMAGE ROUNDS [PAUSE_MS]`.

Requests over one kept connection, without an SDK. In each round a container with the label and one without are removed,
made anew and started, one after the other, so that what else the machine does meets both alike. Between two episodes a
client thinks for PAUSE_MS (a task runs in the container), in which the daemon prepares what it can. Prints p50 and p90
of each step in milliseconds, and the ratio.
"""
import http.client, json, socket, sys, time

path, image, rounds, *rest = sys.argv[1:]
pause = float(rest[0]) / 1000 if rest else 0.05


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)


connection = Connection("docker")


def ask(method, target, body=None):
    began = time.perf_counter()
    connection.request(method, target, body and json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    took = (time.perf_counter() - began) * 1000
    assert answer.status < 300, (method, target, answer.status, text)
    return took, json.loads(text) if text else None


def episode(old, label, network, times):
    """Removes `old`, makes and starts another one, and gives its id."""
    removed, _ = ask("DELETE", f"/containers/{old}?force=1") if old else (0, None)
    made, answer = ask(
        "POST",
        "/containers/create",
        {
            "Image": image,
            "Cmd": ["sleep", "1000"],
            "Labels": {"shedbox.recycle": label},
            "HostConfig": {"NetworkMode": network},
        },
    )
    started, _ = ask("POST", f"/containers/{answer['Id']}/start")
    for step, took in [("rm -f", removed), ("create", made), ("start", started), ("all", removed + made + started)]:
        times.setdefault(step, {}).setdefault(label, []).append(took)
    time.sleep(pause)
    return answer["Id"]


def quantile(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)]


for network in ["none", "bridge"]:
    times, ids = {}, {"true": None, "false": None}
    for round_number in range(int(rounds) + 3):
        if round_number == 3:  # the first ones warm up
            times = {}
        for label in ids:
            ids[label] = episode(ids[label], label, network, times)
    for id_ in ids.values():
        ask("DELETE", f"/containers/{id_}?force=1")
    for step, by_label in times.items():
        with_, without = by_label["true"], by_label["false"]
        print(
            f"{network:6} {step:6}  with {quantile(with_, .5):5.2f} / {quantile(with_, .9):5.2f}"
            f"   without {quantile(without, .5):5.2f} / {quantile(without, .9):5.2f}"
            f"   ratio {quantile(with_, .5) / quantile(without, .5):.2f}"
        )
