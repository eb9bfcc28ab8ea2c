#!/usr/bin/env bash
# Dockerfiles and what has to come of them, with the real `docker build` of the classic builder.
#
#   DOCKER_HOST=unix://... [BASE=tiny:latest] [ENGINE=ours|dockerd] [ONLY=word] tests/docker/build.sh
#
# BASE is a busybox image with the users app (1000) and nobody. With ENGINE=dockerd, what dockerd's own classic builder
# cannot do or says in other words is left out: the rest holds there, too. Prints a line for each check that fails, and
# how many did not; the status is 1 if any did. Everything it makes is named `build-test-*` or is below its own directory.
set -u
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

case_of run-and-output <<'E'
FROM $BASE
RUN echo to stdout; echo to stderr >&2
RUN ["echo", "exec form", "$HOME"]
E
build --no-cache; works
says 'Step 1/3 : FROM '; says 'Step 2/3 : RUN echo to stdout; echo to stderr >&2'; says 'to stdout'; says 'to stderr'
says 'exec form $HOME'; says ' ---> Running in '; says ' intermediate container '; says 'Successfully built '
says 'Successfully tagged build-test-run-and-output:latest'

case_of cache <<'E'
FROM $BASE
ENV A=$ONCE
RUN echo once >/file
COPY f /f
E
sh_ eval 'echo 1 >f'; build; works; counts 0 'Using cache'
sh_ touch -d 2001-01-01 f; build; works; counts 3 'Using cache'
sh_ eval 'echo 2 >f'; build; works; counts 2 'Using cache'; shows 2 cat /f
sh_ eval 'echo 1 >f'; build; counts 3 'Using cache'; shows 1 cat /f
sh_ chmod 755 f; build; counts 2 'Using cache'
build --no-cache; works; counts 0 'Using cache'

case_of cache-of-arguments <<'E'
FROM $BASE
ARG V=default
RUN echo $V >/v
E
build; works; shows default cat /v
build --build-arg V=other; works; shows other cat /v
build --build-arg V=other; says 'Using cache'; shows other cat /v

case_of failing-command <<'E'
FROM $BASE
RUN echo before; exit 7
E
build; fails "The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7"; says before

case_of unknown-command <<'E'
FROM $BASE
RUN ["/nonexistent"]
E
build; fails 'no such file or directory'

# dockerd's shell is process 1, which cannot kill itself.
ours killed-command <<'E'
FROM $BASE
RUN kill -9 $$
E
build; fails 'returned a non-zero code: 137'

case_of syntax-error <<'E'
FROM $BASE
FROBNICATE x
E
build; fails 'unknown instruction: FROBNICATE'

case_of empty-file </dev/null
build; fails 'cannot be empty'

case_of comment-alone <<<'# nothing'
build; fails 'file with no instructions'

case_of no-from <<<'RUN true'
build; fails 'no build stage in current context'

case_of missing-dockerfile <<<x
build -f nowhere; fails 'nowhere'

case_of global-arguments <<'E'
ARG IMAGE=$BASE
ARG SEEN=global
FROM ${IMAGE}
ARG SEEN
ARG OWN=own
RUN echo "$SEEN $OWN [$IMAGE]" >/args
E
build; works; says 'Step 1/6 : ARG IMAGE='; shows 'global own []' cat /args
build --build-arg SEEN=given; works; shows 'given own []' cat /args

case_of unused-argument <<<'FROM $BASE'
build --build-arg NOBODY=1; works; says '[Warning] One or more build-args [NOBODY] were not consumed'

case_of environment <<'E'
FROM $BASE
ENV A=1 B="two words" C=$A
ENV D=${A:-x}${Z:-default}
ARG A=argument
RUN echo "$A|$B|$C|$D" >/env
E
build; works; shows '1|two words||1default' cat /env

case_of proxy-is-no-cache-miss <<'E'
FROM $BASE
RUN echo "$http_proxy" >/proxy
E
build --build-arg http_proxy=http://one; works; shows http://one cat /proxy
build --build-arg http_proxy=http://two; says 'Using cache'

case_of configuration <<'E'
FROM $BASE
LABEL a=1 "b c"="d e"
EXPOSE 80 53/udp 8000-8001
VOLUME /data ["/more"]
USER app
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=5s --retries=2 CMD true
ENTRYPOINT ["/bin/echo", "entry"]
CMD ["command"]
MAINTAINER me
E
sh_ sed -i 's|^VOLUME.*|VOLUME ["/data", "/more"]|' Dockerfile
build; works
has '{{.Config.Labels.a}} {{index .Config.Labels "b c"}}' '1 d e'
has '{{range $p, $_ := .Config.ExposedPorts}}{{$p}} {{end}}' '53/udp 80/tcp 8000/tcp 8001/tcp '
has '{{range $p, $_ := .Config.Volumes}}{{$p}} {{end}}' '/data /more '
has '{{.Config.User}} {{.Config.StopSignal}} {{.Author}}' 'app SIGUSR1 me'
has '{{json .Config.Healthcheck.Test}} {{.Config.Healthcheck.Retries}}' '["CMD-SHELL","true"] 2'
has '{{json .Config.Entrypoint}} {{json .Config.Cmd}}' '["/bin/echo","entry"] ["command"]'

case_of entrypoint-drops-command <<'E'
FROM $BASE
ENTRYPOINT ["/bin/echo", "only"]
E
build; works; has '{{json .Config.Cmd}}' null

case_of labels-of-the-command-line <<<'FROM $BASE'
build --label x=y --label z='$HOME'; works; has '{{.Config.Labels.x}} {{.Config.Labels.z}}' 'y $HOME'; says 'Step 2/3 : LABEL x=y'

case_of wrong-signal <<'E'
FROM $BASE
STOPSIGNAL NOSUCH
E
build; fails 'nvalid signal: NOSUCH'

case_of wrong-port <<'E'
FROM $BASE
EXPOSE many
E
build; fails 'nvalid containerPort: many'

case_of working-directory <<'E'
FROM $BASE
WORKDIR /a/b
WORKDIR c
RUN pwd >here
WORKDIR /etc
E
build; works; shows /a/b/c cat /a/b/c/here; has '{{.Config.WorkingDir}}' /etc
shows '755 0 0' stat -c '%a %u %g' /a/b/c

case_of working-directory-alone <<'E'
FROM $BASE
WORKDIR /made/by/it
E
build; works; shows '' ls /made/by/it

case_of user <<'E'
FROM $BASE
RUN chmod 777 /tmp
USER app
RUN id -u >/tmp/id
USER 65534:2000
RUN id -u >/tmp/id2; id -g >>/tmp/id2
E
build; works; shows 1000 cat /tmp/id; shows $'65534\n2000' cat /tmp/id2

case_of unknown-user <<'E'
FROM $BASE
USER nosuchuser
RUN true
E
build; fails 'unable to find user nosuchuser'

case_of shell <<'E'
FROM $BASE
SHELL ["/bin/sh", "-ec"]
RUN false; echo not reached
E
build; fails "The command '/bin/sh -ec false; echo not reached' returned a non-zero code: 1"

case_of copy-files <<'E'
FROM $BASE
WORKDIR /w
COPY a /renamed
COPY a b in/
COPY a .
COPY ["a b", "/space dir/"]
E
sh_ eval 'echo A >a; echo B >b; echo S >"a b"; chmod 640 a'
build; works; shows A cat /renamed; shows B cat /w/in/b; shows A cat /w/a; shows S cat '/space dir/a b'
shows '640 0 0' stat -c '%a %u %g' /renamed

case_of copy-directory <<'E'
FROM $BASE
COPY d /new
COPY d /tmp
RUN ls -ld /tmp | cut -c1-10 >/mode
E
sh_ eval 'mkdir -p d/sub d/empty; echo x >d/x; echo y >d/sub/y; chmod 711 d/sub; chmod 700 d'
build; works; shows y cat /new/sub/y; shows $'empty\nsub\nx' ls /new; shows 711 stat -c %a /new/sub; shows drwxrwxrwt cat /mode

case_of copy-everything <<'E'
FROM $BASE
COPY . /all/
E
sh_ eval 'mkdir d; echo 1 >d/1; echo h >.hidden'
build; works; shows $'.hidden\nDockerfile\nd' ls -A /all

case_of copy-wildcards <<'E'
FROM $BASE
COPY *.txt /t/
COPY d?/f* /u/
COPY [ab].md /v/
E
sh_ eval 'mkdir d1 d2; touch a.txt b.txt c.md a.md b.md d1/f1 d2/f2 d2/g'
build; works; shows $'a.txt\nb.txt' ls /t; shows $'f1\nf2' ls /u; shows $'a.md\nb.md' ls /v

case_of copy-nothing <<'E'
FROM $BASE
COPY none /
E
build; fails 'COPY failed: file not found in build context or excluded by .dockerignore: stat none: file does not exist'

case_of copy-no-match <<'E'
FROM $BASE
COPY *.none /
E
build; fails 'COPY failed: no source files were specified'

case_of copy-several-to-a-file <<'E'
FROM $BASE
COPY a b /x
E
sh_ touch a b; build
fails 'When using COPY with more than one source file, the destination must be a directory and end with a /'

case_of copy-directory-over-file <<'E'
FROM $BASE
COPY d /etc/passwd
E
sh_ mkdir d; build; fails 'not a directory'

case_of copy-owners <<'E'
FROM $BASE
COPY --chown=app f /by-name
COPY --chown=app:extra f /by-names
COPY --chown=5:6 d /deep/dir
COPY --chown=7 f /by-number
E
sh_ eval 'mkdir d; touch f d/x'; build; works
shows '1000 1000' stat -c '%u %g' /by-name; shows '1000 2000' stat -c '%u %g' /by-names; shows '7 7' stat -c '%u %g' /by-number
shows $'0 0\n5 6\n5 6' stat -c '%u %g' /deep /deep/dir /deep/dir/x

case_of copy-unknown-owner <<'E'
FROM $BASE
COPY --chown=nosuchuser Dockerfile /
E
build; fails nosuchuser

ours copy-modes <<'E'
FROM $BASE
COPY --chmod=4711 f /f
COPY --chmod=700 d /d
COPY --exclude=*.o d /e
E
sh_ eval 'mkdir d; touch f d/x d/y.o'; build; works; shows 4711 stat -c %a /f; shows 700 stat -c %a /d/x; shows x ls /e

case_of copy-links <<'E'
FROM $BASE
RUN ln -s /etc/real /etc/dest && ln -s /usr /ulink
COPY link /as-file
COPY dirlink /as-dir
COPY f /etc/dest
COPY f /ulink/f
COPY . /all/
E
sh_ eval 'mkdir d; echo F >f; echo X >d/x; ln -s f link; ln -s d dirlink; ln -s nowhere dangling; ln -s ../../etc/passwd up'
build; works; shows F cat /as-file; shows X cat /as-dir/x; shows F cat /etc/real; shows F cat /usr/f
shows 'f nowhere ../../etc/passwd' sh -c 'cd /all; echo $(for l in link dangling up; do readlink $l; done)'; shows /etc/real readlink /etc/dest

case_of copy-link-to-outside <<'E'
FROM $BASE
COPY out /x
E
sh_ ln -s /etc/hostname out; build; fails 'file not found in build context'

case_of copy-from-above <<'E'
FROM $BASE
COPY ../../Dockerfile /above
E
build; [ "$ENGINE" = ours ] && works; [ "$ENGINE" = ours ] && shows "FROM $BASE" head -n1 /above

ours copy-here-documents <<'E'
FROM $BASE
ENV WHO=world
COPY <<ONE <<"TWO" /docs/
hello $WHO
ONE
hello $WHO
TWO
E
build; works; shows 'hello world' cat /docs/ONE; shows 'hello $WHO' cat /docs/TWO

case_of add-archives <<'E'
FROM $BASE
ADD plain.tar /plain
ADD gz.tgz /gz/
COPY gz.tgz /kept.tgz
ADD not.gz /not.gz
E
sh_ eval 'mkdir -p d/e; echo 1 >d/e/f; tar -C d --owner=3 --group=4 --numeric-owner -cf plain.tar e; tar -C d -czf gz.tgz e; echo text | gzip >not.gz'
build; works; shows 1 cat /plain/e/f; shows '3 4' stat -c '%u %g' /plain/e/f; shows 1 cat /gz/e/f
shows 1 tar -xzOf /kept.tgz e/f; shows text zcat /not.gz

ours add-zstd <<'E'
FROM $BASE
ADD z.tar.zst /z
E
if [ -z "$skipped" ] && command -v zstd >/dev/null; then
  echo 1 >f; tar -cf - f | zstd -q >z.tar.zst; build; works; shows 1 cat /z/f
fi

ours add-bzip2 <<'E'
FROM $BASE
ADD b.tar.bz2 /
E
sh_ eval 'printf BZh91AY >b.tar.bz2'; build; fails 'bzip2 archives are not supported'

ours add-address <<'E'
FROM $BASE
ADD http://127.0.0.1:1/file /
E
build; fails 'fetches nothing'

ours hostile-archive-in-add <<'E'
FROM $BASE
ADD h.tar /in/
E
sh_ eval 'echo evil >f; tar --transform "s|f|../../evil|" -Pcf h.tar f'
build; fails 'leads out of the archive'

case_of stages <<'E'
FROM $BASE AS first
RUN mkdir /d && echo 1 >/d/f && chown -R 7:8 /d && ln -s f /d/l && echo 2 >/top
FROM $BASE AS second
COPY --from=first /d /e
COPY --from=0 /top /t
FROM first
COPY --from=second /e/f /from-second
COPY --from=first /d/l /followed
RUN cat /d/f >/inherited
E
build; works; shows '1 7 8' sh -c 'echo $(cat /from-second; stat -c "%u %g" /from-second)'; shows 1 cat /inherited; shows 1 cat /followed
build --target second; works; says 'Step 5/5'; shows 2 cat /t; shows '7 8' stat -c '%u %g' /e/f
[ "$ENGINE" != ours ] || { build --target 0; works; shows 2 cat /top; }
build --target nosuch; fails nosuch

case_of copy-of-an-image <<'E'
FROM scratch
COPY --from=$BASE /etc/passwd /etc/group /
COPY --from=$BASE /bin/busybox /bin/sh
E
build; works; shows root /bin/sh -c 'read -r line </passwd; echo ${line%%:*}'

case_of copy-wildcards-of-a-stage <<'E'
FROM $BASE AS one
RUN mkdir /lib1 /lib2 && echo real >/lib2/x.so.1 && ln -s /lib2/x.so.1 /lib1/x.so && echo y >/lib1/y.so
FROM $BASE
COPY --from=one /lib1/*.so /lib/
E
build; works; shows $'real\ny' cat /lib/x.so /lib/y.so

case_of copy-of-a-later-stage <<'E'
FROM $BASE
COPY --from=1 /x /
FROM $BASE
E
build; fails 'invalid from flag value 1'

case_of nothing-of-a-stage <<'E'
FROM $BASE AS one
FROM $BASE
COPY --from=one /nowhere /
E
build; fails 'COPY failed: '

case_of scratch <<'E'
FROM scratch
COPY f /f
ENV A=1
E
sh_ touch f; build; works; says 'Step 1/3 : FROM scratch'
if [ -z "$skipped" ]; then
  check; files=$(docker create --name build-test-scratch build-test-scratch x >/dev/null && docker export build-test-scratch | tar -t | grep -v -e /. -e '^\.dockerenv$' -e '^\(dev\|etc\|proc\|sys\)/\?$'; docker rm build-test-scratch >/dev/null)
  [ "$files" = f ] || bad "an image of one file has [$files]"
fi

case_of scratch-alone <<<'FROM scratch'
build; fails 'No image was generated'

case_of onbuild <<'E'
FROM $BASE
ONBUILD COPY f /triggered
ONBUILD RUN echo ran >/ran
E
build; works; has '{{range .Config.OnBuild}}{{.}}|{{end}}' 'COPY f /triggered|RUN echo ran >/ran|'; lacks '# Executing'
sh_ eval 'printf "FROM build-test-onbuild\nENV A=1\n" >Dockerfile; echo F >f; name=onbuild-child'
build; works; says '# Executing 2 build triggers'; shows F cat /triggered; shows ran cat /ran; has '{{len .Config.OnBuild}}' 0

case_of dockerignore <<'E'
FROM $BASE
COPY . /c
E
sh_ eval 'mkdir d; touch a b d/x d/keep; printf "a\nd/*\n!d/keep\nDockerfile\n.dockerignore\n" >.dockerignore'
build; works; shows $'/c\n/c/b\n/c/d\n/c/d/keep' sh -c 'find /c | sort'

case_of dockerignore-hides <<'E'
FROM $BASE
COPY a /
E
sh_ eval 'touch a; echo a >.dockerignore'; build; fails 'excluded by .dockerignore'

case_of other-dockerfile <<<'FROM nosuch'
sh_ eval 'mkdir s; printf "FROM $BASE\nRUN echo other >/o\n" >s/Other'; build -f s/Other; works; shows other cat /o

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

left=$(docker images -q --filter 'reference=build-test-*' | sort -u)
[ -z "$left" ] || docker rmi -f $(docker images --filter 'reference=build-test-*' --format '{{.Repository}}:{{.Tag}}') >/dev/null 2>&1
echo "$cases Dockerfiles, $checks checks, $failures failed"
[ "$failures" = 0 ]
