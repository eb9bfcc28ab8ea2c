//! `--landlock-ro` and `--landlock-rw`: what is named can be reached, nothing else.

use crate::attempt::{abi, from_abi, python};
use crate::require;
use crate::support::{Case, Home, Ran, scratch_base};

const SYSTEM: &str = "--landlock-ro=/usr,/bin,/lib,/lib64,/etc";

fn attempts(case: Case, attempts: &str) -> Ran {
    let [python, flag, program] = python(attempts);
    case.exec([python.as_str(), &flag, &program])
}

/// A sandbox with two volumes that the lists are about.
fn with_lists() -> (Case, tempfile::TempDir) {
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    for part in ["read", "write", "other"] {
        let part = dir.path().join(part);
        std::fs::create_dir(&part).expect("mkdir");
        std::fs::write(part.join("file"), "text").expect("write");
    }
    let case = Case::host()
        .option(format!("--volume={}:/work", dir.path().display()))
        .option(SYSTEM)
        .option("--landlock-ro=/work/read")
        .option("--landlock-rw=/work/write,/tmp");
    (case, dir)
}

#[test]
fn reading_and_writing() {
    require!(userns, program "python3");
    if abi() == 0 {
        return refused_without_landlock();
    }
    let (case, _dir) = with_lists();
    attempts(
        case,
        "
attempt('read ro', lambda: read('/work/read/file'))
attempt('list ro', lambda: os.listdir('/work/read'))
attempt('write ro', lambda: write('/work/read/file'))
attempt('make ro', lambda: make('/work/read/new'))
attempt('remove ro', lambda: os.unlink('/work/read/file'))
attempt('read rw', lambda: read('/work/write/file'))
attempt('write rw', lambda: write('/work/write/file'))
attempt('make rw', lambda: make('/work/write/new'))
attempt('remove rw', lambda: os.unlink('/work/write/new'))
attempt('directory rw', lambda: os.mkdir('/work/write/dir'))
attempt('read other', lambda: read('/work/other/file'))
attempt('list other', lambda: os.listdir('/work/other'))
attempt('write other', lambda: write('/work/other/file'))
attempt('root', lambda: os.listdir('/'))
attempt('home', lambda: make('/root/new'))
attempt('tmp', lambda: make('/tmp/new'))
",
    )
    .stdout(
        "read ro ok\nlist ro ok\nwrite ro EACCES\nmake ro EACCES\nremove ro EACCES\n\
         read rw ok\nwrite rw ok\nmake rw ok\nremove rw ok\ndirectory rw ok\n\
         read other EACCES\nlist other EACCES\nwrite other EACCES\nroot EACCES\nhome EACCES\ntmp ok",
    );
}

fn refused_without_landlock() {
    Home::shared().refused(
        ["run", "--rm", SYSTEM, "host", "true"],
        125,
        "limiting paths needs Landlock ABI 1 (Linux 5.13): this kernel has no Landlock, or it is switched off",
    );
}

/// Renames and links across the border of what may be written (ABI 1 refuses every rename across directories, ABI 2
/// and later those that would add rights).
#[test]
fn moving_across_the_border() {
    require!(userns, program "python3", landlock 1);
    let (case, _dir) = with_lists();
    let inside = if abi() >= 2 { "ok" } else { "EXDEV" };
    attempts(
        case,
        "
os.mkdir('/work/write/a')
make('/work/write/moved')
attempt('within', lambda: os.rename('/work/write/moved', '/work/write/a/moved'))
attempt('link within', lambda: os.link('/work/write/file', '/work/write/a/link'))
attempt('out', lambda: os.rename('/work/write/file', '/work/other/new'))
attempt('in', lambda: os.rename('/work/other/file', '/work/write/new'))
attempt('link in', lambda: os.link('/work/read/file', '/work/write/link'))
",
    )
    .stdout(&format!(
        "within {inside}\nlink within {inside}\nout EACCES\nin EACCES\nlink in EXDEV"
    ));
}

#[test]
fn cutting_off() {
    require!(userns, program "python3", landlock 1);
    let (case, _dir) = with_lists();
    let denied = from_abi(3, "EACCES");
    attempts(
        case,
        "
attempt('ro', lambda: os.truncate('/work/read/file', 0))
attempt('rw', lambda: os.truncate('/work/write/file', 0))
",
    )
    .stdout(&format!("ro {denied}\nrw ok"));
}

/// What programs need to start is there without being named; what they could do beyond that is not.
#[test]
fn devices_and_proc_are_there() {
    require!(userns, program "python3", landlock 1);
    let case = Case::host().option(SYSTEM);
    attempts(
        case,
        "
import fcntl, pty, termios
for name in ['null', 'zero', 'full', 'random', 'urandom']:
    attempt(name, lambda: read('/dev/' + name))
attempt('write null', lambda: os.write(os.open('/dev/null', os.O_WRONLY), b'x'))
attempt('terminal', lambda: fcntl.ioctl(pty.openpty()[1], termios.TIOCGWINSZ, b'12345678'))
attempt('ioctl null', lambda: fcntl.ioctl(os.open('/dev/urandom', os.O_RDONLY), 0x80045200, b'1234'))
attempt('status', lambda: read('/proc/self/status'))
attempt('others', lambda: read('/proc/1/stat'))
attempt('score', lambda: open('/proc/self/oom_score_adj', 'w').write('500'))
attempt('shm', lambda: make('/dev/shm/a'))
attempt('sys', lambda: os.listdir('/sys'))
",
    )
    .stdout(
        "null ok\nzero ok\nfull ok\nrandom ok\nurandom ok\nwrite null ok\nterminal ok\nioctl null ok\nstatus ok\n\
         others ok\nscore ok\nshm EACCES\nsys EACCES",
    );
}

#[test]
fn a_missing_path_is_an_error() {
    require!(userns, landlock 1);
    let home = Home::shared();
    home.refused(
        [
            "run",
            "--rm",
            SYSTEM,
            "--landlock-rw=/no/such",
            "host",
            "true",
        ],
        125,
        "stage `landlock`: openat2(/no/such) => ENOENT",
    );
    home.refused(
        ["run", "--rm", "--landlock-rw=relative", "host", "true"],
        125,
        "Landlock path `relative` is not an absolute path",
    );
}

/// A link in the image leads to where it leads inside, never outside.
#[test]
fn paths_resolve_inside() {
    require!(userns, program "python3", landlock 1);
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    std::os::unix::fs::symlink("/../../../../tmp", dir.path().join("link")).expect("symlink");
    let case = Case::host()
        .option(format!("--volume={}:/work", dir.path().display()))
        .option(SYSTEM)
        .option("--landlock-rw=/work/link");
    attempts(case, "attempt('tmp', lambda: make('/tmp/new'))").stdout("tmp ok");
}

/// The working directory is made before the lists are looked at, accounts are known although /etc is closed, and a reset
/// changes nothing of it.
#[test]
fn it_works_with_little() {
    require!(userns, landlock 1);
    Case::host()
        .option("--landlock-ro=/usr,/bin,/lib,/lib64")
        .option("--workdir=/made/here")
        .option("--landlock-rw=/made/here")
        .sh("echo text > file && cat file && cat /etc/passwd; id -u")
        .stdout("text\n0")
        .reset()
        .sh("ls; cat /etc/passwd; id -u; touch /made/else || pwd")
        .stdout("0\n/made/here");
}
