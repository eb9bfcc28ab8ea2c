#!/usr/bin/env bash
# Dockerfiles and what has to come of them, with the real `docker build` of the classic builder.
#
#   DOCKER_HOST=unix://... [BASE=tiny:latest] [ENGINE=ours|dockerd] [ONLY=word] tests/docker/build.sh
#
# BASE is a busybox image with the users app (1000) and nobody. With ENGINE=dockerd, what dockerd's own classic builder
# cannot do or says in other words is left out: the rest holds there, too. Prints a line for each check that fails, and
# how many did not; the status is 1 if any did. Everything it makes is named `build-test-*` or is below its own directory.
# What is tried is in build/*.sh.
set -u
parts=$(dirname "$(readlink -f "$0")")/build
export DOCKER_BUILDKIT=0 DOCKER_CLI_HINTS=false BUILDKIT_PROGRESS=plain LC_ALL=C.UTF-8
BASE=${BASE:-tiny:latest} ENGINE=${ENGINE:-ours} ONLY=${ONLY:-}
here=$(mktemp -d)
export HOME=$here DOCKER_CONFIG=$here/config
trap 'cd /; chmod -R u+rwX "$here"; rm -rf "$here"' EXIT
socket=${DOCKER_HOST#unix://} once=$$.$RANDOM
checks=0 failures=0 cases=0 name= out= status=0

# A case begins: an empty directory, and the Dockerfile from standard input. `$BASE` in it is the image, `$ONCE` a text
# that no build before had.
case_of() {
  name=$1
  [[ $name == *$ONLY* ]] || { skipped=1; cat >/dev/null; return; }
  skipped=
  cases=$((cases + 1))
  mkdir "$here/$name" && cd "$here/$name" || exit 2
  sed "s|\$BASE|$BASE|; s|\$ONCE|$once|" >Dockerfile
}
# The same for what dockerd's classic builder has not.
ours() {
  [ "$ENGINE" = ours ] && case_of "$1" || { skipped=1; cat >/dev/null; }
}
bad() {
  failures=$((failures + 1))
  printf 'not ok %s: %s\n%s\n' "$name" "$1" "$(sed 's/^/    /' <<<"$out" | tail -n 25)"
}
check() {
  checks=$((checks + 1))
}
# Builds; flags may follow. What it printed is looked at by the others.
build() {
  [ -n "$skipped" ] && return
  out=$(timeout 60 docker build -t "build-test-$name" "$@" . 2>&1 | grep -v -e '^$' -e '^DEPRECATED' -e '^  *\(BuildKit is\|environment-var\|Install the\|https:\)')
  status=${PIPESTATUS[0]}
  # The status of a pipeline in a substitution is that of grep.
  grep -q -e '^Successfully built' -e '^sha256:[0-9a-f]\{64\}$' <<<"$out" && status=0 || status=1
}
works() {
  [ -n "$skipped" ] && return
  check
  [ "$status" = 0 ] || bad "the build fails"
}
fails() {
  [ -n "$skipped" ] && return
  check
  [ "$status" != 0 ] || bad "the build does not fail"
  says "$1"
}
says() {
  [ -n "$skipped" ] && return
  check
  grep -qF -- "$1" <<<"$out" || bad "it does not say: $1"
}
lacks() {
  [ -n "$skipped" ] && return
  check
  ! grep -qF -- "$1" <<<"$out" || bad "it says: $1"
}
counts() {
  [ -n "$skipped" ] && return
  check
  local count
  count=$(grep -cF -- "$2" <<<"$out")
  [ "$count" = "$1" ] || bad "it says $count times and not $1 times: $2"
}
# What a command prints in the image.
shows() {
  [ -n "$skipped" ] && return
  check
  local wanted=$1 seen
  shift
  seen=$(timeout 30 docker run --rm --entrypoint "$1" "build-test-$name" "${@:2}" 2>&1 </dev/null)
  [ "$seen" = "$wanted" ] || bad "$* prints [$seen] and not [$wanted]"
}
# What the image's configuration says.
has() {
  [ -n "$skipped" ] && return
  check
  local seen
  seen=$(docker image inspect --format "$1" "build-test-$name" 2>&1)
  [ "$seen" = "$2" ] || bad "$1 is [$seen] and not [$2]"
}
# A command of this machine for its case alone.
sh_() {
  [ -n "$skipped" ] || "$@"
}
# Asks the API itself: what a context that no client makes is answered with. Archive on standard input.
post() {
  curl -s --max-time 30 --unix-socket "$socket" -H 'Content-Type: application/x-tar' --data-binary @- -w '\nHTTP %{http_code}\n' \
    "http://docker/v1.41/build?$1"
}

for part in commands files stages runs; do
  # shellcheck source=/dev/null
  . "$parts/$part.sh"
done

left=$(docker images -q --filter 'reference=build-test-*' | sort -u)
[ -z "$left" ] || docker rmi -f $(docker images --filter 'reference=build-test-*' --format '{{.Repository}}:{{.Tag}}') >/dev/null 2>&1
echo "$cases Dockerfiles, $checks checks, $failures failed"
[ "$failures" = 0 ]
