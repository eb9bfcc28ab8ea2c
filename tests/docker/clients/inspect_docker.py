"""Inspect's own self-check of sandboxes, on its Docker provider: Compose 2 and Docker's command on our socket.

    DOCKER_HOST=… pytest --asyncio-mode=auto inspect_docker.py

INSPECT_IMAGE  an image with bash and coreutils that the daemon has
INSPECT_USER   who runs commands; the checks of files without permissions need somebody but root
"""

import os
import tempfile

import pytest_asyncio
from inspect_ai.util._sandbox.docker.docker import DockerSandboxEnvironment as Docker
from inspect_ai.util._sandbox.self_check import *  # noqa: F403  the checks are found by name

COMPOSE = f"""
services:
  default:
    image: {os.environ["INSPECT_IMAGE"]}
    command: tail -f /dev/null
    user: "{os.environ.get("INSPECT_USER", "0")}"
    working_dir: /tmp
    network_mode: none
    init: true
    stop_grace_period: 1s
"""


@pytest_asyncio.fixture(scope="function")
async def sandbox_env():
    with tempfile.TemporaryDirectory() as directory:
        config = f"{directory}/compose.yaml"
        with open(config, "w") as file:
            file.write(COMPOSE)
        await Docker.task_init("self_check", config)
        environments = await Docker.sample_init("self_check", config, {})
        try:
            yield environments["default"]
        finally:
            await Docker.sample_cleanup("self_check", config, environments, False)
            await Docker.task_cleanup("self_check", config, True)
