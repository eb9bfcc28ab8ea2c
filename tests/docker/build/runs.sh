# shellcheck shell=bash
# Here-documents, mounts, networks, output, several builds at once, clients that leave, and the API itself. Read by ../build.sh, where the words are.

ours run-here-documents <<'E'
FROM $BASE
RUN <<EOF
set -e
echo one >/one
echo two >/two
EOF
RUN <<EOF
#!/bin/sh
cat
echo "$0 is a script" >/script
EOF
RUN cat <<A <<B >/both
first
A
second
B
E
build; works; shows $'one\ntwo' cat /one /two; shows '/dev/pipes/EOF is a script' cat /script; shows second cat /both

ours run-mounts <<'E'
FROM $BASE AS one
RUN echo from >/f
FROM $BASE
RUN --mount=type=cache,target=/cache,id=build-test-$$ echo kept >/cache/x; ls /cache
RUN --mount=type=tmpfs,target=/t,size=1m touch /t/x && grep -c ' /t tmpfs' /proc/mounts
RUN --mount=type=bind,target=/ctx cat /ctx/f >/seen && ! touch /ctx/new
RUN --mount=source=f,target=/g,rw echo more >>/g && cat /g >/seen2
RUN --mount=type=bind,from=one,source=/f,target=/h cat /h >/seen3
E
sh_ eval 'echo F >f'; build; works; shows $'F\nF\nmore\nfrom' cat /seen /seen2 /seen3; shows '' sh -c 'ls -A /cache /t /ctx 2>/dev/null | grep x'
sh_ eval 'echo G >f'; build; works; shows $'G\nG\nmore\nfrom' cat /seen /seen2 /seen3

ours run-mount-cache-stays <<'E'
FROM $BASE
ARG TURN
RUN --mount=type=cache,target=/c,id=build-test-$ONCE echo "$TURN" >>/c/turns && cat /c/turns >/turns
E
build --build-arg TURN=1; works; build --build-arg TURN=2; works; shows $'1\n2' tail -n2 /turns

ours run-mount-secret <<'E'
FROM $BASE
RUN --mount=type=secret,id=x cat /run/secrets/x
E
build; fails 'type=secret is not supported'

ours run-mount-ssh <<'E'
FROM $BASE
RUN --mount=type=ssh true
E
build; fails ssh

ours run-without-network <<'E'
FROM $BASE
RUN --network=none ls /sys/class/net >/net
E
build; works; shows lo cat /net

case_of network-of-the-build <<'E'
FROM $BASE
RUN ls /sys/class/net >/net
E
build --network none; works; shows lo cat /net

case_of hosts <<'E'
FROM $BASE
RUN grep -c '^1.2.3.4.*there' /etc/hosts >/count; head -n1 /etc/hosts
E
build --add-host there:1.2.3.4; works; shows 1 cat /count

case_of volume <<'E'
FROM $BASE
VOLUME /v
RUN touch /v/x
E
build; works

case_of background-process <<'E'
FROM $BASE
RUN sleep 300 & echo started >/s
RUN cat /s
E
sh_ eval 'began=$SECONDS'; build; works; says started
[ -n "$skipped" ] || { check; [ $((SECONDS - began)) -lt 30 ] || bad "it waits for a process in the background"; }

case_of much-output <<'E'
FROM $BASE
RUN seq 20000; echo ä€; seq 20001 40000 >&2
E
build --no-cache; works; says 'ä€'; says 20000; counts 1 39999

case_of deleted-files <<'E'
FROM $BASE
RUN echo 1 >/x && mkdir -p /d/e && echo 2 >/d/e/f
RUN rm /x && rm -r /d && mkdir /d
E
build; works; shows d sh -c 'ls -d x d 2>/dev/null'; shows '' ls -A /d

case_of nothing-of-ours-in-the-image <<'E'
FROM $BASE
RUN ls / >/before
RUN true
E
build; works
if [ -z "$skipped" ]; then
  check; docker create --name build-test-ours "build-test-$name" x >/dev/null
  seen=$(docker diff build-test-ours; docker rm build-test-ours >/dev/null); [ -z "$seen" ] || bad "the container differs: $seen"
fi

case_of quiet <<'E'
FROM $BASE
RUN echo chatter
E
build -q --no-cache; works; lacks chatter; lacks Step
[ -n "$skipped" ] || { check; [[ $out =~ ^sha256:[0-9a-f]{64}$ ]] || bad "it says more than an id"; }

case_of quiet-failure <<'E'
FROM $BASE
RUN echo chatter; exit 3
E
build -q; fails 'returned a non-zero code: 3'; says chatter

case_of several-names <<<'FROM $BASE'
build -t build-test-other:2; works; says 'Successfully tagged build-test-other:2'
sh_ docker rmi build-test-other:2 >/dev/null

case_of wrong-name <<<'FROM $BASE'
build -t UPPER; fails 'must be lowercase'

case_of platform <<'E'
FROM $BASE
ARG TARGETPLATFORM
ARG TARGETARCH
RUN echo "$TARGETPLATFORM $TARGETARCH" >/p
E
if [ "$ENGINE" = ours ] && [ "$(uname -m)" = x86_64 ]; then
  build --platform linux/x86_64; works; shows 'linux/amd64 amd64' cat /p
fi

case_of from-standard-input <<'E'
FROM $BASE
RUN echo alone >/a
E
sh_ eval 'out=$(docker build -q -t "build-test-$name" - <Dockerfile 2>/dev/null); status=$?'; works; shows alone cat /a

ours limits <<'E'
FROM $BASE
RUN df -k /dev/shm | tail -n1 | awk '{print $2}' >/shm
E
build --shm-size 8m; works; shows 8192 cat /shm

case_of two-at-once <<'E'
FROM $BASE
ARG N
RUN sleep 1; echo $N >/n
COPY f /f
E
if [ -z "$skipped" ]; then
  echo F >f
  for n in 1 2; do docker build -q --no-cache --build-arg N=$n -t build-test-at-once-$n . >$n 2>&1 & done; wait
  for n in 1 2; do
    check; seen=$(docker run --rm build-test-at-once-$n cat /n /f 2>&1); out=$(cat $n); [ "$seen" = $n$'\n'F ] || bad "build $n made [$seen]"
  done
  docker rmi build-test-at-once-1 build-test-at-once-2 >/dev/null
fi

case_of cancelled <<'E'
FROM $BASE
RUN echo started; sleep 300
E
if [ -z "$skipped" ]; then
  before=$(docker ps -aq | sort)
  docker build --no-cache . >log 2>&1 & client=$!
  for _ in $(seq 100); do grep -q started log && break; sleep 0.1; done
  kill -INT $client 2>/dev/null; kill -TERM $client 2>/dev/null; wait $client 2>/dev/null
  for _ in $(seq 100); do [ "$(docker ps -aq | sort)" = "$before" ] && break; sleep 0.1; done
  check; out=$(cat log); [ "$(docker ps -aq | sort)" = "$before" ] || [ "$ENGINE" != ours ] || bad "its container stays"
fi

ours asked-directly <<<'FROM $BASE'
if [ -z "$skipped" ]; then
  asked() { # words-of-the-answer  query  [file]
    check; out=$(post "$2" <"${3:-/dev/null}"); grep -qF -- "$1" <<<"$out" || bad "it does not say: $1"
  }
  tar -cf ok.tar Dockerfile
  gzip -k ok.tar
  printf 'FROM %s\n' "$BASE" >alone
  tar -P --transform 's|Dockerfile|../x|' -cf up.tar Dockerfile
  mkdir l; ln -s /etc l/a; tar -C l -cf link.tar a; mkdir m; mkdir m/a; touch m/a/passwd; tar -C m -rf link.tar a/passwd
  mkfifo pipe; tar -cf pipe.tar pipe
  head -c 700 ok.tar >cut.tar
  asked 'Successfully built' '' ok.tar
  asked 'Successfully built' '' ok.tar.gz
  asked 'Successfully built' 'dockerfile=x' alone
  asked 'HTTP 200' 'cachefrom=%5B%22x%22%5D&rm=0&forcerm=1&version=1' ok.tar
  asked 'forbidden path outside the build context' '' up.tar
  asked 'forbidden path outside the build context' '' link.tar
  asked 'have no place in a build context' '' pipe.tar
  asked 'HTTP 400' '' cut.tar
  asked 'HTTP 400' '' /dev/null
  asked 'forbidden path outside the build context' 'dockerfile=../../etc/passwd' ok.tar
  asked 'DOCKER_BUILDKIT=0' 'version=2' ok.tar
  asked 'git or http' 'remote=https://example.com/x.git' ok.tar
  asked 'squash is not supported' 'squash=1' ok.tar
  asked 'error reading build args' 'buildargs=%7B' ok.tar
  asked '"aux":{"ID":"sha256:' '' ok.tar
  check; out=$(docker ps -a --format '{{.Command}}' | grep -c 'build-test'); [ "$out" = 0 ] || bad "containers stay"
fi
