"""The same program of docker-py against two daemons: `docker_sdk.py IMAGE ROUNDS NAME=SOCKET NAME=SOCKET`.

Every round goes through both daemons, so that what else the machine does meets both alike. Prints a JSON object:
operation → name → milliseconds of each round.
"""
import json, sys, time

import docker

image, rounds, *peers = sys.argv[1:]
clients = {}
for peer in peers:
    name, socket = peer.split("=", 1)
    clients[name] = docker.DockerClient(base_url=f"unix://{socket}", timeout=120)


def timed(times, what, action):
    began = time.perf_counter()
    result = action()
    times.setdefault(what, []).append((time.perf_counter() - began) * 1000)
    return result


def episode(client, times):
    container = timed(
        times, "create + start", lambda: started(client.containers.create(image, ["tail", "-f", "/dev/null"], network_mode="none"))
    )
    for _ in range(3):
        code, _ = timed(times, "exec", lambda: container.exec_run(["true"]))
        assert code == 0
    timed(times, "inspect", container.reload)
    timed(times, "stop + rm", lambda: (container.stop(timeout=10), container.remove()))


def started(container):
    container.start()
    return container


all_times = {}
for round_number in range(int(rounds) + 1):
    for name, client in clients.items():
        times = {}
        episode(client, times)
        if round_number:  # the first one warms up
            for what, list_ in times.items():
                all_times.setdefault(what, {}).setdefault(name, []).extend(list_)
print(json.dumps(all_times))
