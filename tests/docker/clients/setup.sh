#!/usr/bin/env bash
# Makes the virtual environments of the suites in a directory: real clients, unmodified, from their package registry.
#
#   setup.sh [--freeze] DIRECTORY [clients] [swebench4]      default: clients
#
# `clients` has docker, swebench 5, mini-swe-agent, testcontainers; `swebench4` has the harness as it was before. Each is
# made once and made again when its requirements or the interpreter change. --freeze writes the requirements anew from
# what is named below.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
freeze=
if [ "${1-}" = --freeze ]; then freeze=1 && shift; fi
directory=${1:?which directory}
shift
[ $# -gt 0 ] || set -- clients
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

# The system's own, as other users cannot reach one below /root.
python=${CLIENTS_PYTHON:-/usr/bin/python3}

exec 9>"$directory/.lock"
flock 9
for name in "$@"; do
  case $name in
  clients)
    requirements=$here/requirements.txt
    wanted=(docker==7.2.0 swebench==5.0.2 mini-swe-agent==2.4.6 testcontainers==4.15.0 pytest==8.4.2)
    ;;
  swebench4)
    requirements=$here/requirements-swebench4.txt
    wanted=(docker==7.2.0 swebench==4.1.0)
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
