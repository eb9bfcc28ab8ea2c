#!/usr/bin/env bash
# Runs suites of real clients on the daemon that DOCKER_HOST names.
#
#   DOCKER_HOST=unix://… CLIENTS_VENV=DIRECTORY run.sh [SUITE…]      default: all
#
#   docker-py, swebench, swebench4, mini-swe-agent, testcontainers, compose; when named: inspect, harbor
#
# CLIENTS_VENV           what setup.sh has made
# SHEDBOX_TEST_IMAGES    what scripts/test-images has made (default: target/test-images of this repository)
# DOCKER_HOST_REFERENCE  a dockerd to compare swebench's reports and time with
# DOCKER_LINK            a docker-named link of ours for mini-swe-agent
# SHEDBOX_BIN            asked to prune after an interrupted run
#
# One line per check; fails when a check fails, one that is expected to fail and passes included.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${DOCKER_HOST:?which daemon}" "${CLIENTS_VENV:?which environments; see setup.sh}"
export DOCKER_HOST PYTHONDONTWRITEBYTECODE=1
python=$CLIENTS_VENV/clients/bin/python
[ $# -gt 0 ] || set -- docker-py swebench swebench4 mini-swe-agent testcontainers compose

failed=()
for suite in "$@"; do
  case $suite in
  inspect | harbor) environment=$CLIENTS_VENV/$suite ;;
  *) environment=$CLIENTS_VENV/clients ;;
  esac
  [ -x "$environment/bin/python" ] || {
    echo "run.sh: no $environment; run setup.sh $CLIENTS_VENV ${environment##*/}" >&2
    exit 2
  }
  case $suite in
  docker-py) "$python" "$here/docker_py.py" ;;
  swebench) "$python" "$here/swebench_harness.py" ;;
  swebench4)
    if [ -x "$CLIENTS_VENV/swebench4/bin/python" ]; then
      SWEBENCH_PYTHON=$CLIENTS_VENV/swebench4/bin/python "$python" "$here/swebench_harness.py"
    else
      echo "skip  swebench4: no environment; run setup.sh $CLIENTS_VENV swebench4"
    fi
    ;;
  mini-swe-agent) "$python" "$here/mini_swe_agent.py" ;;
  testcontainers) "$python" "$here/testcontainers_py.py" ;;
  compose) DOCKER_CONFIG=$CLIENTS_VENV/docker && export DOCKER_CONFIG && "$python" -c "import sys; sys.path[:0] = ['$here']; import support as s; s.load(s.tiny_archive, [s.TINY])" &&
    "$here/compose.sh" ;;
  # These two with an image that the daemon has: IMAGE.
  inspect)
    check=("$CLIENTS_VENV/inspect/bin/python" -m pytest -q -p no:cacheprovider --asyncio-mode=auto "$here/inspect_docker.py")
    export DOCKER_CONFIG=$CLIENTS_VENV/docker INSPECT_IMAGE=${IMAGE:?which image}
    # To root nothing is without permissions.
    "${check[@]}" -k 'not without_permissions' && INSPECT_USER=1000 "${check[@]}" -k without_permissions
    ;;
  harbor) DOCKER_CONFIG=$CLIENTS_VENV/docker HARBOR=$CLIENTS_VENV/harbor/bin/harbor "$here/harbor.sh" "${IMAGE:?which image}" ;;
  *)
    echo "run.sh: no suite is named $suite" >&2
    exit 2
    ;;
  esac || failed+=("$suite")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "run.sh: failed: ${failed[*]}"
  exit 1
fi
