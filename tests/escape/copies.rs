//! CVE-2018-15664, CVE-2019-14271, CVE-2026-41568: copies both ways against a tree that changes while it is copied, and
//! an archive whose content the sandbox decides. Links that stand still are in `tests/volumes/copies.rs`.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, scratch};

const ROUNDS: usize = 25;

fn swapped(case: Case, one: &str, two: &str) -> Case {
    let case = Attack::new(include_str!("swap.py"))
        .with(one)
        .with(two)
        .left_in(case);
    case.sh("for i in $(seq 200); do test -s /tmp/swaps && exit; sleep 0.02; done; exit 1")
        .ok()
}

/// Copies run while a directory and a link to the host's directory change places thousands of times a second.
#[test]
fn nothing_of_the_host_comes_or_goes_through_a_swapped_link() {
    require!(userns);
    let host = scratch();
    std::fs::write(host.path().join("file"), "the host's").unwrap();
    let outside = host.path().display();
    let mut case = Case::host()
        .sh(&format!("mkdir -p /t/dir/sub; echo inside >/t/dir/file; ln -s {outside} /t/link; ln -s {outside}/file /t/filelink; echo inside >/t/plain"))
        .ok();
    case = swapped(case, "/t/dir", "/t/link");
    case = Attack::new(include_str!("swap.py"))
        .with("/t/plain")
        .with("/t/filelink")
        .left_in(case);
    let (home, name) = (case.get_home(), case.name());
    let here = scratch();
    std::fs::write(here.path().join("payload"), "payload").unwrap();
    let payload = here.path().join("payload").display().to_string();
    let (mut out, mut into) = (0, 0);
    for round in 0..ROUNDS {
        let to = here.path().join(format!("to{round}"));
        let to_text = to.to_str().unwrap();
        for source in ["/t/dir/file", "/t/dir/.", "/t/plain", "/t"] {
            let output = home
                .shedbox(["cp", "--follow-link", &format!("{name}:{source}"), to_text])
                .output()
                .unwrap();
            out += usize::from(output.status.success());
            no_secret(&to);
            crate::support::home::remove_tree(&to);
        }
        for target in ["/t/dir/file", "/t/dir/", "/t/dir/new", "/t/plain"] {
            let output = home
                .shedbox(["cp", &payload, &format!("{name}:{target}")])
                .output()
                .unwrap();
            into += usize::from(output.status.success());
        }
        assert_eq!(
            std::fs::read_to_string(host.path().join("file")).unwrap(),
            "the host's"
        );
        assert_eq!(std::fs::read_dir(host.path()).unwrap().count(), 1);
    }
    // Some got through to the sandbox's own files: the race was on.
    assert!(out > ROUNDS && into > 0, "{out} copies out, {into} in");
    let (case, swaps) = case.sh("cat /tmp/swaps").output();
    let count: u64 = String::from_utf8_lossy(&swaps.stdout)
        .trim()
        .parse()
        .unwrap();
    assert!(count > 1000, "{count}");
    drop(case);
}

/// No file below `path` holds what is the host's; links are not followed.
fn no_secret(path: &Path) {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return;
    };
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            no_secret(&entry.unwrap().path());
        }
    } else if metadata.is_file() {
        assert_ne!(
            std::fs::read(path).unwrap(),
            b"the host's",
            "{}",
            path.display()
        );
    }
}

/// Everything but files, directories and links, and names that a careless reader takes for something else.
#[test]
fn odd_files_come_out_as_what_they_are_or_not_at_all() {
    require!(userns);
    let case = Case::host()
        .exec([
            "python3",
            "-c",
            "import os,socket
os.makedirs('/odd'); os.chdir('/odd')
os.mkfifo('fifo'); s=socket.socket(socket.AF_UNIX); s.bind('socket')
for n in ('new\\nline','-rf','--help',' ','*','..x','\\x1b[2J'): open(n,'w').write(n)
open(b'\\xff\\xfe','w').write('bytes')
os.symlink('/etc/shadow','link'); os.symlink('fifo','tofifo'); os.link('-rf','hard')
open('sparse','w').truncate(1<<40)",
        ])
        .ok();
    let here = scratch();
    let (home, name) = (case.get_home(), case.name());
    let to = here.path().join("to");
    let archive = home.shedbox(["cp", &format!("{name}:/odd/."), "-"]);
    drop(archive);
    let case = {
        home.run(["exec", name, "rm", "/odd/sparse"]);
        let output = home
            .shedbox(["cp", &format!("{name}:/odd"), to.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        case
    };
    for odd in ["new\nline", "-rf", "--help", " ", "*", "..x", "\x1b[2J"] {
        assert_eq!(std::fs::read_to_string(to.join(odd)).unwrap(), odd);
    }
    assert_eq!(
        std::fs::read(to.join(std::ffi::OsStr::from_bytes(b"\xff\xfe"))).unwrap(),
        b"bytes"
    );
    assert_eq!(
        std::fs::read_link(to.join("link")).unwrap(),
        Path::new("/etc/shadow")
    );
    if let Ok(metadata) = std::fs::symlink_metadata(to.join("fifo")) {
        assert!(metadata.file_type().is_fifo());
    }
    assert!(!to.join("socket").is_file());
    // A FIFO that is asked for by name is not read from.
    let (home, name) = (case.get_home(), case.name());
    for source in [
        "/odd/fifo",
        "/odd/tofifo",
        "/proc/kmsg",
        "/dev/zero",
        "/dev/pts/ptmx",
    ] {
        let began = std::time::Instant::now();
        let to = here.path().join("special");
        let _ = home
            .shedbox([
                "cp",
                "--follow-link",
                &format!("{name}:{source}"),
                to.to_str().unwrap(),
            ])
            .output()
            .unwrap();
        assert!(began.elapsed().as_secs() < 5, "{source}");
        assert!(
            !to.is_file() || std::fs::metadata(&to).unwrap().len() == 0,
            "{source}"
        );
        let _ = std::fs::remove_file(&to);
    }
}

/// A file that changes its size while it is packed: what is more than its header says must not be read as the next
/// header. The content is made of headers of an entry that leads out.
#[test]
fn a_file_that_grows_while_it_is_copied_is_no_way_into_the_archive() {
    require!(userns);
    let case = Case::host();
    let grow = "import os,tarfile,io
b=io.BytesIO(); t=tarfile.open(fileobj=b,mode='w',format=tarfile.USTAR_FORMAT)
for n in ('../evil','/tmp/evil','evil'):
    i=tarfile.TarInfo(n); i.size=4; t.addfile(i,io.BytesIO(b'evil'))
t.close(); blocks=b.getvalue()*50
os.makedirs('/grow',exist_ok=True); open('/grow/z-last','w').write('last'); f=os.open('/grow/file',os.O_CREAT|os.O_RDWR)
n=0
while True:
    os.pwrite(f,blocks,0); os.ftruncate(f,512); os.pwrite(f,blocks,512); os.ftruncate(f,len(blocks)*2); os.ftruncate(f,0)
    n+=1
    if n%50==0: open('/tmp/grown','w').write(str(n))";
    let case = case.with("--detach").exec(["python3", "-c", grow]).ok();
    let case = case
        .sh("for i in $(seq 200); do test -s /tmp/grown && exit; sleep 0.02; done; exit 1")
        .ok();
    let here = scratch();
    let (home, name) = (case.get_home(), case.name());
    let mut whole = 0;
    for round in 0..ROUNDS {
        let to = here.path().join(format!("to{round}"));
        let output = home
            .shedbox(["cp", &format!("{name}:/grow"), to.to_str().unwrap()])
            .output()
            .unwrap();
        whole += usize::from(output.status.success());
        let names: Vec<_> = std::fs::read_dir(&to)
            .map(|entries| {
                entries
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect()
            })
            .unwrap_or_default();
        assert!(
            names.iter().all(|name| name == "file" || name == "z-last"),
            "{names:?}"
        );
        if output.status.success() {
            assert_eq!(std::fs::read_to_string(to.join("z-last")).unwrap(), "last");
        } else {
            assert!(!output.stderr.is_empty());
        }
        assert!(!here.path().join("evil").exists() && !Path::new("/tmp/evil").exists());
        // The same as a stream: whoever reads it finds these two entries and no other.
        let stream = home
            .shedbox(["cp", &format!("{name}:/grow"), "-"])
            .output()
            .unwrap();
        if stream.status.success() {
            let list = list_of(&stream.stdout);
            assert!(
                list.lines().all(|line| ["grow", "grow/file", "grow/z-last"]
                    .contains(&line.trim_end_matches('/'))),
                "{list}"
            );
        }
    }
    assert!(whole > 0, "not one of {ROUNDS} copies came out whole");
}

/// The names in an archive, as GNU tar reads them.
fn list_of(archive: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, archive).unwrap();
    let output = std::process::Command::new("tar")
        .arg("-tf")
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// CVE-2019-14271: the program that copies must not load what the image brings.
#[test]
fn nothing_of_the_image_is_loaded_to_copy() {
    require!(userns, image "debian");
    let case = Case::image("debian")
        .sh("printf 'int evil;' >/tmp/e; mkdir -p /etc; echo /tmp/evil.so >/etc/ld.so.preload; rm -f /lib/x86_64-linux-gnu/libnss_* /lib/aarch64-linux-gnu/libnss_*; printf 'passwd: evil\\n' >/etc/nsswitch.conf; rm -rf /usr/lib/*/gconv; echo content >/tmp/file; mv /bin/tar /tmp/tar.was; printf '#!/bin/sh\\ntouch /tmp/ran' >/usr/bin/tar; chmod 755 /usr/bin/tar")
        .ok();
    let here = scratch();
    let (home, name) = (case.get_home(), case.name());
    let to = here.path().join("to");
    home.run(["cp", &format!("{name}:/tmp/file"), to.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "content\n");
    home.run(["cp", to.to_str().unwrap(), &format!("{name}:/tmp/back")]);
    case.sh("cat /tmp/back; test -e /tmp/ran || echo not run")
        .stdout("content\nnot run");
}
