# shellcheck shell=bash
# Several stages, other images, ONBUILD, and what of the context counts. Read by ../build.sh, where the words are.

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
