//! A snapshot is exactly what was there: of a sandbox that runs (a copy) and of one that does not (a rename).

use crate::require;
use crate::subject::Subject;
use crate::support::{Lane, scratch};

/// Says of everything below some directories what it is, what is in it, whose it is and when it was changed.
const LOOK: &str = "set +e; cd /; find bin etc home opt new moved was -exec stat -c '%n %F %a %u %g %s %Y %h' {} + | \
    grep -v '^etc/\\(hosts\\|hostname\\|resolv.conf\\) ' | sed 's/\\( directory [0-9]* [0-9]* [0-9]*\\) [0-9]* \\([0-9]*\\) [0-9]*$/\\1 \\2/' | sort; \
    find etc home new was moved -type f ! -name resolv.conf ! -name hosts ! -name hostname -exec md5sum {} + | sort; readlink new/link; \
    stat -c %b new/holes; true";

/// Deletes, opaque directories, renames, links, holes, times.
const WRITE: &str = "mkdir -p /opt /new/sub; echo one >/new/sub/file; chmod 4711 /new/sub/file; ln /new/sub/file /new/hard; \
    ln -s /nowhere /new/link; mkfifo -m 640 /new/fifo; rm /etc/group; rm -r /home; mkdir /home; echo own >/home/own; \
    mv /bin/arch /bin/moved; mkdir /was; mv /new/sub /moved; echo x >>/etc/image; chmod 1750 /opt; \
    dd if=/dev/zero of=/new/holes bs=1 count=1 seek=3145727 2>/dev/null; rm -r /var; echo file >/var; \
    touch -d @1600000000 /moved/file; touch -d @1500000000 /opt /moved; mkdir -m 2775 /new/setgid";

const CHANGE: &str = "rm -r /moved /new /home /opt; mkdir -p /home/app /opt/x /new /moved; echo other >/etc/group; \
    echo y >>/etc/image; rm /bin/moved; rm /var; mkdir /var; echo z >/new/z; echo changed >/was/it";

fn all_is_kept(at_rest: bool) {
    let subject = Subject::new();
    subject.sh(WRITE);
    if Lane::current() != Lane::Single {
        subject.sh("echo a >/new/a; chown 1000:1001 /new/a; echo b >/new/b; chown 65534:7 /new/b; chown -h 5:6 /new/link; chown 33:33 /new");
    }
    let seen = subject.sh(LOOK);
    assert!(seen.contains("moved/file regular file 4711"), "{seen}");
    if at_rest {
        subject.snapshot_at_rest("kept");
        assert_eq!(subject.sh(LOOK), seen, "after the rename");
    } else {
        subject.snapshot("kept");
    }
    subject.sh(CHANGE);
    assert_ne!(subject.sh(LOOK), seen);
    subject.restore("kept");
    assert_eq!(subject.sh(LOOK), seen);
    // What is written over it does not change it.
    subject.sh(CHANGE);
    subject.restore("kept");
    assert_eq!(subject.sh(LOOK), seen);
    subject
        .sh("test -f /var; ! test -e /bin/arch; ! test -e /etc/group; test \"$(ls /home)\" = own");
    subject.home.run(["reset", &subject.name]);
    subject.sh(
        "test -e /bin/arch; test -e /etc/group; test -d /home/app; test -d /var; ! test -e /new",
    );
}

#[test]
fn all_is_kept_of_a_sandbox_that_runs() {
    require!(userns, image "tiny");
    all_is_kept(false);
}

#[test]
fn all_is_kept_of_a_sandbox_that_does_not() {
    require!(userns, image "tiny");
    all_is_kept(true);
}

#[test]
fn attributes_and_links_are_kept() {
    require!(userns, image "debian");
    let home = crate::support::Home::new();
    let image = home.image("debian");
    home.run([
        "run",
        "-d",
        "--name",
        "attributes",
        &image,
        "sleep",
        "1000000",
    ]);
    let python = |script: &str| home.run(["exec", "attributes", "python3", "-c", script]);
    python(
        "import os, socket\n\
         os.mkdir('/d'); open('/d/f', 'w').write('f'); os.link('/d/f', '/d/g')\n\
         os.setxattr('/d/f', 'user.note', b'kept'); os.setxattr('/d', 'user.dir', b'too')\n\
         socket.socket(socket.AF_UNIX).bind('/d/socket')\n\
         os.utime('/d/f', ns=(1600000000123456789, 1600000000123456789))",
    );
    let look = "import os\n\
        a, b = os.stat('/d/f'), os.stat('/d/g')\n\
        print(os.getxattr('/d/f', 'user.note'), os.getxattr('/d', 'user.dir'), a.st_ino == b.st_ino, a.st_nlink, a.st_mtime_ns, oct(os.stat('/d/socket').st_mode))";
    let seen = python(look);
    assert!(
        seen.starts_with("b'kept' b'too' True 2 1600000000123456789 0o14"),
        "{seen}"
    );
    home.run(["snapshot", "create", "attributes", "kept"]);
    python("import shutil; shutil.rmtree('/d')");
    home.run(["restore", "attributes", "kept"]);
    assert_eq!(python(look), seen);
}

/// Many snapshots over each other: more than are kept apart.
#[test]
fn a_long_chain_is_merged_and_shows_the_same() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let mut seen = Vec::new();
    for number in 1..=20 {
        subject.sh(&format!(
            "echo {number} >/file{number}; echo {number} >>/all; rm -f /file{}; rm -rf /dir; mkdir /dir; echo {number} >/dir/{number}; rm -f /etc/group",
            number - 3
        ));
        subject.snapshot_at_rest(&number.to_string());
        seen.push(subject.sh("cd /; ls; cat all; ls dir; cat dir/*"));
    }
    let snapshots = subject.snapshots();
    let depths: Vec<usize> = snapshots.iter().map(|snapshot| snapshot.depth).collect();
    assert_eq!(depths[..16], (1..=16).collect::<Vec<_>>());
    // A merged one lies on nothing; the sandbox went on in what it had.
    assert_eq!(depths[16..], [1, 1, 1, 1]);
    for number in [1, 5, 16, 17, 18, 20] {
        subject.restore(&number.to_string());
        assert_eq!(
            subject.sh("cd /; ls; cat all; ls dir; cat dir/*"),
            seen[number - 1],
            "{number}"
        );
        subject.sh("! test -e /etc/group");
    }
    // From the merged one a new chain begins.
    subject.restore("17");
    subject.sh("echo more >/more");
    subject.snapshot_at_rest("21");
    assert_eq!(subject.snapshots().last().unwrap().depth, 2);
}

#[test]
fn copies_of_volumes_are_kept() {
    require!(userns, image "tiny");
    let host = scratch();
    std::fs::write(host.path().join("file"), "host").unwrap();
    std::fs::write(host.path().join("gone"), "host").unwrap();
    let volume = format!("{}:/work:cow", host.path().display());
    let subject = Subject::with(&["--volume", &volume]);
    for at_rest in [false, true] {
        subject.sh("echo changed >/work/file; rm -f /work/gone; echo new >/work/new");
        if at_rest {
            subject.snapshot_at_rest("rest");
        } else {
            subject.snapshot("runs");
        }
        let look = "cd /work; ls; cat file new";
        let seen = subject.sh(look);
        subject.home.run(["reset", &subject.name]);
        assert_eq!(
            subject.sh("cat /work/file /work/gone; ls /work"),
            "hosthostfile\ngone"
        );
        subject.restore(if at_rest { "rest" } else { "runs" });
        assert_eq!(subject.sh(look), seen);
        subject.sh("echo over >/work/file");
        let fork = subject.home.run([
            "fork",
            &format!("{}:{}", subject.name, if at_rest { "rest" } else { "runs" }),
        ]);
        assert_eq!(subject.sh_in(&fork, look), seen);
    }
    assert_eq!(
        std::fs::read_to_string(host.path().join("file")).unwrap(),
        "host"
    );
    assert!(!host.path().join("new").exists());
}

#[test]
fn what_comes_of_a_snapshot_is_in_commit_diff_and_copies() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("echo below >/below; rm /etc/group; mkdir /gone; echo x >/gone/x");
    subject.snapshot_at_rest("below");
    subject.sh("echo above >/above; rm -r /gone");
    // What was written since.
    let mut changes: Vec<String> = home
        .run(["diff", name])
        .lines()
        .map(str::to_owned)
        .collect();
    changes.sort();
    assert_eq!(changes, ["A /above", "D /gone"]);
    let image = crate::support::unique("committed");
    home.run(["docker", "commit", name, &image]);
    let look = "cd /; cat below above; ls / | grep -c gone; test -e etc/group || echo no group";
    assert_eq!(
        home.run(["run", "--rm", "--pull=never", &image, "sh", "-c", look]),
        "below\nabove\n0\nno group"
    );
    home.run(["stop", "--time=0", name]);
    let copy = scratch();
    home.run([
        "cp",
        &format!("{name}:/below"),
        copy.path().to_str().unwrap(),
    ]);
    assert_eq!(
        std::fs::read_to_string(copy.path().join("below")).unwrap(),
        "below\n"
    );
}
