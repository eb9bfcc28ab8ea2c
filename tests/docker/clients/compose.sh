#!/usr/bin/env bash
# Compose on whatever daemon DOCKER_HOST names: two services, a network, a volume, a health check.
#
#   DOCKER_HOST=… compose.sh IMAGE        an image with busybox that the daemon has
#
# Runs with docker-compose (1.29, Python) and with the `docker compose` plugin, each where it is installed.
set -uo pipefail
image=${1:-shedbox-tests/tiny:latest}
directory=$(mktemp -d)
passed=0 failed=0 skipped=0
trap 'rm -rf "$directory"' EXIT

cat >"$directory/docker-compose.yml" <<END
version: "2.4"
services:
  server:
    image: $image
    command: ["sh", "-c", "mkdir -p /www; echo served >/www/index.html; echo started >>/v/log; echo ready; exec httpd -f -p 8000 -h /www"]
    volumes: ["data:/v"]
    networks: ["inner"]
    ports: ["127.0.0.1::8000"]
    environment: {GIVEN: "a b"}
    healthcheck: {test: ["CMD-SHELL", "test -e /www/index.html"], interval: 300ms, timeout: 5s, retries: 20}
  client:
    image: $image
    command: ["tail", "-f", "/dev/null"]
    init: true
    stop_grace_period: 1s
    networks: {inner: {aliases: ["other"]}}
    depends_on: {server: {condition: service_healthy}}
networks: {inner: {}}
volumes: {data: {}}
END

said=
check() { # name, command…
  local name=$1
  shift
  if said=$(timeout 90 "$@" 2>&1); then
    passed=$((passed + 1))
    echo "ok    compose: $name, by $who"
  else
    failed=$((failed + 1))
    echo "FAIL  compose: $name, by $who: $(tail -n 5 <<<"$said" | tr '\n' ' ' | cut -c1-600)"
  fi
}
says() { grep -qF -- "$1" <<<"$said" || { failed=$((failed + 1)) && echo "FAIL  compose: does not say $1: $(tail -n 5 <<<"$said" | tr '\n' ' ')"; }; }

battery() {
  project=sbc$$
  compose=("$@" -p "$project" -f "$directory/docker-compose.yml")
  check "config" "${compose[@]}" config
  check "up -d" "${compose[@]}" up -d
  check "ps" "${compose[@]}" ps
  says Up
  says healthy
  says 8000/tcp
  check "ps -q" "${compose[@]}" ps -q
  [ "$(grep -cE '^[0-9a-f]{64}$' <<<"$said")" = 2 ] || { failed=$((failed + 1)) && echo "FAIL  compose: ps -q does not say two: $said"; }
  check "exec -T" "${compose[@]}" exec -T server sh -c 'echo "$GIVEN"; cat /v/log'
  says "a b"
  says started
  check "exec -T gives its status" bash -c '"$@"; [ $? = 7 ]' - "${compose[@]}" exec -T client sh -c 'exit 7'
  check "exec -T reads standard input" bash -c 'echo from here | "$@"' - "${compose[@]}" exec -T client cat
  says "from here"
  # By DNS and TCP; the static busybox crashes in its own wget.
  check "the client reaches the server by name" "${compose[@]}" exec -T client sh -c '
    a=$(nslookup server | awk "/^Address/ { x = \$2 } END { print x }")
    printf "GET / HTTP/1.0\r\n\r\n" | nc -w 3 "$a" 8000'
  says served
  check "the server finds the client by alias" "${compose[@]}" exec -T server nslookup other
  check "port" "${compose[@]}" port server 8000
  port=${said##*:}
  check "the published port answers" python3 -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:$port/', timeout=3).read())"
  says served
  check "logs" "${compose[@]}" logs --no-color server
  says ready
  check "logs --tail" "${compose[@]}" logs --no-color --tail=1 server
  check "top" "${compose[@]}" top
  says "tail -f /dev/null"
  check "run --rm" "${compose[@]}" run --rm -T client echo once
  says once
  check "restart" "${compose[@]}" restart -t 1 server
  check "stop" "${compose[@]}" stop -t 1 client
  check "start" "${compose[@]}" start client
  check "up -d again changes nothing" "${compose[@]}" up -d
  check "up -d --force-recreate" "${compose[@]}" up -d --force-recreate
  check "the volume is kept" "${compose[@]}" exec -T server sh -c 'test $(wc -l </v/log) -ge 3'
  check "up -d --scale" "${compose[@]}" up -d --scale client=3
  check "kill" "${compose[@]}" kill client
  check "rm" "${compose[@]}" rm -f client
  check "down -v" "${compose[@]}" down -v -t 1 --remove-orphans
  check "nothing is left" bash -c '
    left=$(docker ps -aq --filter "label=com.docker.compose.project=$1"; docker network ls -q --filter "name=$1"; docker volume ls -q --filter "name=$1")
    echo "left: $left"; [ -z "$left" ]' - "$project"
}

any=
if command -v docker-compose >/dev/null; then
  any=1 who="docker-compose $(docker-compose version --short 2>/dev/null)"
  battery docker-compose --ansi never
fi
if docker compose version >/dev/null 2>&1; then
  any=1 who="docker compose $(docker compose version --short)"
  battery docker compose
  if [ -n "${DOCKER_LINK-}" ]; then
    who="our docker compose $("$DOCKER_LINK" compose version --short)"
    battery "$DOCKER_LINK" compose
  fi
else
  skipped=1
  echo "skip  compose: there is no docker compose plugin"
fi
[ -n "$any" ] || { skipped=$((skipped + 1)) && echo "skip  compose: there is no docker-compose"; }
echo "compose: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
