//! What programs do every day is the same with the domain as without.

use crate::attempt::python;
use crate::require;
use crate::support::{Case, Home, scratch_base, unique};

const EVERYDAY: &str = "
import fcntl, pty, termios, subprocess, threading
os.makedirs('/tmp/a/b'); os.makedirs('/tmp/c')
make('/tmp/a/b/file')
attempt('rename', lambda: os.rename('/tmp/a/b/file', '/tmp/c/file'))
attempt('rename directory', lambda: os.rename('/tmp/a/b', '/tmp/c/b'))
attempt('rename elsewhere', lambda: os.rename('/tmp/c/file', '/root/file'))
attempt('link', lambda: os.link('/root/file', '/tmp/a/link'))
attempt('symlink', lambda: os.symlink('file', '/tmp/c/symlink'))
attempt('fifo', lambda: os.mkfifo('/tmp/c/fifo'))
attempt('truncate', lambda: os.truncate('/root/file', 100))
attempt('cut', lambda: os.close(os.open('/root/file', os.O_WRONLY | os.O_TRUNC)))
attempt('mode', lambda: os.chmod('/root/file', 0o600))
attempt('remove', lambda: os.unlink('/tmp/a/link'))
attempt('rmdir', lambda: os.rmdir('/tmp/c/b'))
attempt('run', lambda: subprocess.run(['/bin/cp', '/bin/true', '/tmp/run'], check=True))
attempt('own program', lambda: subprocess.run(['/tmp/run'], check=True))
listener = socket.socket(socket.AF_UNIX); listener.bind('/tmp/socket'); listener.listen()
attempt('socket', lambda: socket.socket(socket.AF_UNIX).connect('/tmp/socket'))
master, slave = pty.openpty()
attempt('terminal', lambda: fcntl.ioctl(slave, termios.TIOCGWINSZ, b'12345678'))
attempt('terminal by name', lambda: fcntl.ioctl(os.open(os.ttyname(slave), os.O_RDWR | os.O_NOCTTY), termios.TIOCGWINSZ, b'12345678'))
def shell():
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp('sh', ['sh', '-c', 'exec 3</dev/tty && test -t 3'])
    assert os.waitpid(pid, 0)[1] == 0
attempt('controlling terminal', shell)
attempt('shared memory', lambda: make('/dev/shm/segment'))
queue = b'/queue'
attempt('queue', lambda: call(240, ctypes.c_char_p(queue[1:]), os.O_CREAT | os.O_RDWR, 0o600, 0))
attempt('queue file', lambda: os.listdir('/dev/mqueue'))
memory = os.memfd_create('m')
os.write(memory, b'#!/bin/true\\n')
attempt('memory', lambda: os.close(os.open('/proc/self/fd/%d' % memory, os.O_RDWR)))
attempt('pipe', lambda: os.close(os.open('/proc/self/fd/%d' % os.pipe()[0], os.O_RDONLY)))
attempt('substitution', lambda: subprocess.run(['bash', '-c', 'cat <(echo x)'], check=True, stdout=subprocess.DEVNULL))
attempt('null', lambda: write('/dev/null'))
attempt('signal', lambda: os.kill(os.getppid() or 1, 0))
attempt('anonymous file', lambda: os.close(os.open('/dev/shm', os.O_TMPFILE | os.O_RDWR)))
attempt('map', lambda: mmap.mmap(os.open('/bin/true', os.O_RDONLY), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE))
";

fn everyday(option: &str) -> String {
    let [python, flag, program] = python(EVERYDAY);
    let (_case, output) = Case::host()
        .option(option)
        .exec([python.as_str(), &flag, &program])
        .output();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn everything_works_as_without_it() {
    require!(userns, program "python3");
    let with = everyday("--landlock=best-effort");
    assert_eq!(with, everyday("--landlock=off"));
    let failed: Vec<&str> = with.lines().filter(|line| !line.ends_with(" ok")).collect();
    assert_eq!(failed, [""; 0]);
    assert_eq!(with.lines().count(), 27);
}

/// Volumes of each kind, a memory file system, and moves between them (EXDEV is overlay's and mounts' own answer).
#[test]
fn volumes() {
    require!(userns, program "python3");
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    for part in ["rw", "ro", "cow"] {
        std::fs::create_dir(dir.path().join(part)).expect("mkdir");
        std::fs::write(dir.path().join(part).join("file"), "text").expect("write");
    }
    let volume = |part: &str| format!("--volume={0}/{part}:/v/{part}:{part}", dir.path().display());
    let [python, flag, program] = python(
        "
for part in ('rw', 'ro', 'cow'):
    attempt('read ' + part, lambda: read('/v/%s/file' % part))
    attempt('write ' + part, lambda: write('/v/%s/file' % part))
    attempt('make ' + part, lambda: make('/v/%s/new' % part))
    attempt('move ' + part, lambda: os.rename('/v/%s/file' % part, '/v/%s/moved' % part))
os.mkdir('/v/rw/d'); os.mkdir('/v/cow/d')
attempt('into rw', lambda: os.rename('/v/rw/moved', '/v/rw/d/moved'))
attempt('into cow', lambda: os.rename('/v/cow/moved', '/v/cow/d/moved'))
attempt('between', lambda: os.rename('/v/rw/new', '/v/cow/from'))
attempt('memory', lambda: make('/v/memory/new'))
",
    );
    Case::host()
        .option(volume("rw"))
        .option(volume("ro"))
        .option(volume("cow"))
        .option("--tmpfs=/v/memory")
        .exec([python.as_str(), &flag, &program])
        .stdout(
            "read rw ok\nwrite rw ok\nmake rw ok\nmove rw ok\nread ro ok\nwrite ro EROFS\nmake ro EROFS\nmove ro EROFS\n\
             read cow ok\nwrite cow ok\nmake cow ok\nmove cow ok\ninto rw ok\ninto cow ok\nbetween EXDEV\nmemory ok",
        );
}

/// Init opens the log, rotates it and writes the result of the main process from inside the domain.
#[test]
fn the_log_outgrows_its_file() {
    require!(userns);
    let home = Home::shared();
    let name = unique("log");
    home.run([
        "run",
        "--detach",
        "--name",
        &name,
        "--log-max-size=16k",
        "host",
        "sh",
        "-c",
        "seq 10000; exit 3",
    ]);
    assert_eq!(home.run(["wait", &name]), "3");
    let log = home.run(["logs", &name]);
    assert!(log.ends_with("\n9999\n10000"), "{log}");
    assert!(log.len() < 16 << 10 && log.len() > 2 << 10);
    home.run(["rm", &name]);
}

#[test]
fn copies_in_and_out() {
    require!(userns);
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    std::fs::write(dir.path().join("in"), "text").expect("write");
    let mut case = Case::host();
    case.start();
    let inside = format!("{}:/root/in", case.name());
    let path = dir.path().join("in");
    case.get_home()
        .run(["cp", path.to_str().expect("UTF-8"), &inside]);
    let out = dir.path().join("out");
    case.get_home()
        .run(["cp", &inside, out.to_str().expect("UTF-8")]);
    assert_eq!(std::fs::read_to_string(out).expect("read"), "text");
    case.sh("cat /root/in").stdout("text");
}

/// A package manager unpacks, links, renames and removes.
#[test]
fn a_package_is_installed_and_removed() {
    require!(userns, program "dpkg-deb", image "debian");
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("DEBIAN")).expect("mkdir");
    std::fs::create_dir_all(tree.join("opt/probe")).expect("mkdir");
    std::fs::write(
        tree.join("DEBIAN/control"),
        "Package: probe\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: probe\n",
    )
    .expect("write");
    std::fs::write(tree.join("opt/probe/file"), "text").expect("write");
    std::fs::hard_link(tree.join("opt/probe/file"), tree.join("opt/probe/link")).expect("link");
    let package = dir.path().join("probe.deb");
    let built = std::process::Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .args([&tree, &package])
        .output()
        .expect("dpkg-deb");
    assert!(built.status.success());
    Case::image("debian")
        .option(format!("--volume={}:/packages:ro", dir.path().display()))
        .sh("dpkg -i /packages/probe.deb >/dev/null && cat /opt/probe/link && dpkg -r probe >/dev/null && ! test -e /opt/probe")
        .stdout("text");
}
