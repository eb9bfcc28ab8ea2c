# shellcheck shell=bash
# Instructions that run something or change the configuration, variables, and what is no Dockerfile. Read by ../build.sh, where the words are.

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
