#!/usr/bin/env bash
# Harbor with its Docker provider: a task with an image, and one with a Dockerfile; the oracle solves both, nobody else does.
#
#   DOCKER_HOST=… HARBOR=PROGRAM harbor.sh IMAGE        an image with bash that the daemon has
#
# Docker Compose is the plugin of Docker's command.
set -uo pipefail
image=${1:?which image} harbor=${HARBOR:?which program}
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit
# Or a table of prices is fetched.
export LITELLM_LOCAL_MODEL_COST_MAP=True DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0}

task() { # name, line of task.toml
  mkdir -p "$1"/{environment,solution,tests}
  cat >"$1/task.toml" <<END
version = "1.0"
[metadata]
author_name = "shedbox"
difficulty = "easy"
category = "test"
tags = []
[verifier]
timeout_sec = 60.0
[agent]
timeout_sec = 60.0
[environment]
build_timeout_sec = 120.0
$2
cpus = 1
memory = "256M"
storage = "1G"
END
  echo 'Write hello into /app/hello.txt' >"$1/instruction.md"
  printf 'FROM %s\nWORKDIR /app\n' "$image" >"$1/environment/Dockerfile"
  printf '#!/bin/bash\nmkdir -p /app; echo hello >/app/hello.txt\n' >"$1/solution/solve.sh"
  # shellcheck disable=SC2016 # for the shell inside
  printf '#!/bin/bash\nset -- $(grep -cs hello /app/hello.txt); echo "${1:-0}" >/logs/verifier/reward.txt\n' >"$1/tests/test.sh"
  chmod +x "$1/solution/solve.sh" "$1/tests/test.sh"
}

failed=0
check() { # task, agent, attempts, mean
  local name="$1, $2, $3 at once" said
  said=$(timeout 300 "$harbor" run -p "$1" -a "$2" -o jobs --job-name "$1-$2-$3" -k "$3" -n "$3" --yes 2>&1)
  if grep -q "Mean: $4" <<<"$said"; then
    echo "ok    harbor: $name: mean $4"
  else
    failed=$((failed + 1))
    echo "FAIL  harbor: $name: not $4: $(tail -n 20 <<<"$said" | tr '\n' ' ' | cut -c1-600)"
  fi
}

task ready "docker_image = \"$image\""
task built ''
check ready oracle 1 1.000
check ready oracle 4 1.000
check ready nop 1 0.000
check built oracle 1 1.000
left=$(docker ps -aq --filter name=ready --filter name=built)
[ -z "$left" ] || { failed=$((failed + 1)) && echo "FAIL  harbor: containers are left: $left"; }
[ "$failed" = 0 ]
