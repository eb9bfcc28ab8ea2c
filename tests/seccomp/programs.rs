//! Programs that people run, under the default profile and under `strict`.

use crate::require;
use crate::support::Case;

fn under_both(image: fn() -> Case, script: &str, expected: &str) {
    for profile in ["default", "strict"] {
        image()
            .option(format!("--security-opt=seccomp={profile}"))
            .sh(script)
            .stdout(expected);
    }
}

fn debian() -> Case {
    Case::image("debian")
}

#[test]
fn python() {
    require!(userns, image "debian");
    let script = "python3 - <<'END'
import asyncio,concurrent.futures,multiprocessing,os,select,signal,socket,sqlite3,subprocess,tempfile,threading,mmap,fcntl,json
def double(x): return 2*x
with concurrent.futures.ThreadPoolExecutor(4) as pool: a=sum(pool.map(double,range(10)))
with multiprocessing.get_context('fork').Pool(2) as pool: b=sum(pool.map(double,range(10)))
async def main():
    process=await asyncio.create_subprocess_exec('echo','x',stdout=subprocess.PIPE)
    return len((await process.communicate())[0])
c=asyncio.run(main())
db=sqlite3.connect(tempfile.mktemp()); db.execute('create table t(x)'); db.execute('insert into t values(7)')
d=db.execute('select x from t').fetchone()[0]
server=socket.create_server(('127.0.0.1',0)); client=socket.create_connection(server.getsockname()); e=client.getpeername()==server.getsockname()
f=os.getpid()>0 and len(os.sched_getaffinity(0))>0 and os.memfd_create('m')>0 and bool(socket.getaddrinfo('127.0.0.1',80))
print(a,b,c,d,e,f)
END";
    under_both(debian, script, "90 90 2 7 True True");
}

#[test]
fn perl_tar_gzip_sort_find() {
    require!(userns, image "debian");
    let script = "cd /tmp && mkdir -p d/e && seq 1000 | sort -R >d/e/f && tar -czf a.tgz d && mkdir out && tar -C out -xzf a.tgz && \
                  sort -n out/d/e/f | tail -1 && find out -type f -exec cp -a {} copy \\; && cmp copy d/e/f && \
                  perl -e 'print join(\",\", map { $_*2 } 1..3), \"\\n\"; system(\"true\")==0 or die' && \
                  xargs -P4 -n100 echo <copy | wc -l && dd if=/dev/zero bs=1M count=2 2>/dev/null | wc -c";
    under_both(debian, script, "1000\n2,4,6\n10\n2097152");
}

#[test]
fn a_compiler() {
    require!(userns, program "gcc");
    let script = "cd /tmp && printf '#include <stdio.h>\\n#include <pthread.h>\\nvoid*t(void*a){puts(\"thread\");return a;}int main(){pthread_t p;pthread_create(&p,0,t,0);pthread_join(p,0);puts(\"main\");return 0;}' >x.c && gcc -O1 -pthread x.c -o x && ./x";
    under_both(Case::host, script, "thread\nmain");
}

#[test]
fn packages() {
    require!(userns, image "debian");
    let script = "mkdir -p /p/DEBIAN /p/opt/p && echo hello >/p/opt/p/f && printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: p\\n' >/p/DEBIAN/control && \
                  dpkg-deb --build /p /p.deb >/dev/null && dpkg -i /p.deb >/dev/null 2>&1 && cat /opt/p/f && dpkg -r p >/dev/null 2>&1 && test ! -e /opt/p/f && echo gone";
    under_both(debian, script, "hello\ngone");
}

/// A debugger works by default and not under `strict`.
#[test]
fn a_debugger() {
    require!(userns, program "strace");
    Case::host()
        .sh("strace -f -e trace=openat -o /tmp/t true && grep -c 'openat.*\"/' /tmp/t | grep -qv '^0$' && echo traced")
        .stdout("traced");
    Case::host()
        .option("--security-opt=seccomp=strict")
        .sh("strace true 2>&1 | grep -o 'Operation not permitted' | head -1")
        .stdout("Operation not permitted");
}

/// A sandbox of the agent's own: bubblewrap wants a user namespace and mounts in it.
#[test]
fn a_sandbox_inside() {
    require!(userns, program "bwrap");
    let script = "bwrap --unshare-user --unshare-pid --ro-bind / / --tmpfs /tmp --dev /dev sh -c 'echo inside; touch /tmp/x; ls /tmp'";
    Case::host()
        .option("--security-opt=seccomp=nested")
        .sh(script)
        .stdout("inside\nx");
    Case::host().sh(script).status(1);
}
