# shellcheck shell=bash
# COPY and ADD of the context. Read by ../build.sh, where the words are.

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

case_of add-bzip2-and-xz <<'E'
FROM $BASE
ADD b.tar.bz2 /b
ADD x.tar.xz /x
ADD short.bz2 /
E
sh_ eval 'echo 1 >f; tar -cjf b.tar.bz2 f; tar -cJf x.tar.xz f; printf BZh91AY >short.bz2'
build; works; shows 1 cat /b/f; shows 1 cat /x/f; shows BZh91AY cat /short.bz2

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
