#!/usr/bin/env bash
# Makes the virtual environments of the suites in a directory: real clients, unmodified, from their package registry.
#
#   setup.sh [--freeze] DIRECTORY [clients] [swebench4] [inspect] [harbor] [compose]
#                                    default: clients compose
#
# `clients` has docker, swebench 5, mini-swe-agent, testcontainers; `swebench4` has the harness as it was before; `inspect`
# and `harbor` (Python 3.12) have what they say; `compose`
# is the plugin of Docker's command, from Debian 13, as the package of Debian 12 is version 1. Each is made once; the first
# two are made again when their requirements or the interpreter change. --freeze writes the requirements anew from
# what is named below.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
freeze=
if [ "${1-}" = --freeze ]; then freeze=1 && shift; fi
directory=${1:?which directory}
shift
[ $# -gt 0 ] || set -- clients compose
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

# The system's own, as other users cannot reach one below /root.
python=${CLIENTS_PYTHON:-/usr/bin/python3}

exec 9>"$directory/.lock"
flock 9

# By apt's own configuration, which says where packages are; in directories of its own, so that the machine's lists stay as
# they are.
fetch_compose() {
  local plugin=$directory/docker/cli-plugins/docker-compose apt=$directory/.apt origin options
  [ ! -x "$plugin" ] || return 0
  echo "setup.sh: fetching Docker Compose" >&2
  origin=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" && !/security/ { print $2; exit }')
  [ -n "$origin" ] || {
    echo "setup.sh: apt has no lists of Debian; run: apt-get update" >&2
    return 1
  }
  rm -rf "$apt"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/files"
  echo "deb $origin trixie main" >"$apt/sources.list"
  options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$apt/lists"
    -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3)
  apt-get "${options[@]}" update >&2
  (cd "$apt" && apt-get "${options[@]}" download docker-compose >&2)
  dpkg-deb --extract "$apt"/docker-compose_*.deb "$apt/files"
  mkdir -p "${plugin%/*}"
  install -m 755 "$apt/files/usr/libexec/docker/cli-plugins/docker-compose" "$plugin"
  chmod -R a+rX "$directory/docker"
  rm -rf "$apt"
}

for name in "$@"; do
  case $name in
  compose)
    fetch_compose
    continue
    ;;
  clients)
    requirements=$here/requirements.txt
    wanted=(docker==7.2.0 swebench==5.0.2 mini-swe-agent==2.4.6 testcontainers==4.15.0 pytest==8.4.2 websocket-client==1.9.2)
    ;;
  swebench4)
    requirements=$here/requirements-swebench4.txt
    wanted=(docker==7.2.0 swebench==4.1.0)
    ;;
  inspect)
    requirements=$here/requirements-inspect.txt
    wanted=(inspect_ai==0.3.285 pytest==8.4.2 pytest-asyncio==1.2.0)
    ;;
  harbor)
    requirements=$here/requirements-harbor.txt
    wanted=(harbor==0.24.0)
    ;;
  *)
    echo "setup.sh: no environment is named $name" >&2
    exit 2
    ;;
  esac
  key() { { "$python" --version && cat "$requirements"; } | sha256sum | cut -d' ' -f1; }
  if [ -z "$freeze" ] && [ "$(cat "$directory/$name/.key" 2>/dev/null)" = "$(key)" ]; then
    continue
  fi
  echo "setup.sh: making $directory/$name" >&2
  rm -rf "${directory:?}/$name"
  "$python" -m venv "$directory/$name"
  pip=("$directory/$name/bin/pip" --quiet --disable-pip-version-check install)
  if [ -n "$freeze" ]; then
    "${pip[@]}" "${wanted[@]}"
    {
      echo "# ${wanted[*]} and all that they bring. Made by setup.sh --freeze."
      "$directory/$name/bin/pip" freeze
    } >"$requirements"
  else
    "${pip[@]}" --no-deps --requirement "$requirements"
  fi
  # Byte code for everyone, as the suites run as users who cannot write here.
  "$directory/$name/bin/python" -m compileall -q -j 2 "$directory/$name/lib" >/dev/null 2>&1 || true
  chmod -R a+rX "$directory/$name"
  key >"$directory/$name/.key"
done
