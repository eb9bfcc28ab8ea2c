//! Host paths inside: read-only, writable, copy-on-write; where they may go.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::require;
use crate::rootfs::Rootfs;
use crate::support::{Case, Home, scratch};

fn volume(source: &std::path::Path, rest: &str) -> String {
    format!("--volume={}:{rest}", source.display())
}

#[test]
fn read_write_is_the_default_and_files_are_the_callers() {
    require!(userns, image "tiny");
    let dir = scratch();
    std::fs::write(dir.path().join("host"), "host\n").unwrap();
    Case::image("tiny")
        .option(volume(dir.path(), "/data"))
        .sh("cat /data/host; echo changed >/data/host; mkdir /data/sub; echo new >/data/sub/new; stat -c %u /data/sub/new")
        .stdout("host\n0");
    assert_eq!(
        std::fs::read_to_string(dir.path().join("host")).unwrap(),
        "changed\n"
    );
    let new = std::fs::metadata(dir.path().join("sub/new")).unwrap();
    assert_eq!(
        new.uid(),
        std::fs::metadata(dir.path()).unwrap().uid(),
        "root inside is the caller outside"
    );
}

#[test]
fn read_only_is_read_only_all_the_way_down() {
    require!(userns, image "tiny");
    let dir = scratch();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub/file"), "host").unwrap();
    Case::image("tiny")
        .option(volume(dir.path(), "/data:ro"))
        .sh("echo x >/data/sub/file")
        .stderr("Read-only file system")
        .status(1)
        .sh("chmod 777 /data/sub/file || rm /data/sub/file || mkdir /data/new || touch /data/sub/file")
        .stderr("Read-only file system")
        .status(1)
        .sh("mount -o remount,rw /data; umount /data; echo x >/data/sub/file")
        .status(1)
        .sh("cat /data/sub/file")
        .stdout("host");
    assert_eq!(
        std::fs::read_to_string(dir.path().join("sub/file")).unwrap(),
        "host"
    );
}

#[test]
fn copy_on_write_leaves_the_host_alone() {
    require!(userns, image "tiny");
    let dir = scratch();
    std::fs::create_dir(dir.path().join("src")).unwrap();
    std::fs::write(dir.path().join("src/a"), "a\n").unwrap();
    std::fs::write(dir.path().join("gone"), "x").unwrap();
    std::fs::set_permissions(dir.path().join("src/a"), PermissionsExt::from_mode(0o755)).unwrap();
    symlink("src/a", dir.path().join("link")).unwrap();
    Case::image("tiny")
        .option(volume(dir.path(), "/project:cow"))
        .sh("cd /project; cat link; echo more >>src/a; rm gone; mkdir -p build/out; mv src moved; ls; cat moved/a; stat -c %a moved/a")
        .stdout("a\nbuild\nlink\nmoved\na\nmore\n755");
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["gone", "link", "src"]);
    assert_eq!(
        std::fs::read_to_string(dir.path().join("src/a")).unwrap(),
        "a\n"
    );
}

#[test]
fn two_copies_on_write_of_one_directory_do_not_meet() {
    require!(userns, image "tiny");
    let dir = scratch();
    std::fs::write(dir.path().join("file"), "host").unwrap();
    Case::image("tiny")
        .option(volume(dir.path(), "/one:cow"))
        .option(volume(dir.path(), "/two:cow"))
        .option(volume(dir.path(), "/host:ro"))
        .sh("echo one >/one/file; cat /one/file /two/file /host/file")
        .stdout("one\nhosthost");
}

#[test]
fn single_files() {
    require!(userns, image "tiny");
    let dir = scratch();
    let (read, write) = (dir.path().join("read"), dir.path().join("write"));
    std::fs::write(&read, "read").unwrap();
    std::fs::write(&write, "before").unwrap();
    Case::image("tiny")
        .option(volume(&read, "/etc/motd:ro"))
        .option(volume(&write, "/new/place/write"))
        .sh("cat /etc/motd; echo x >/etc/motd")
        .status(1)
        .sh("printf after >/new/place/write; cat /etc/motd")
        .stdout("read");
    assert_eq!(std::fs::read_to_string(&write).unwrap(), "after");
    assert_eq!(std::fs::read_to_string(&read).unwrap(), "read");
}

#[test]
fn a_relative_source_is_the_callers() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let dir = scratch();
    std::fs::create_dir_all(dir.path().join("work/data")).unwrap();
    std::fs::write(dir.path().join("work/data/file"), "found").unwrap();
    for source in ["./data", ".", "../work/./data/../data"] {
        let option = format!("--volume={source}:/data:ro");
        let output = home
            .command([
                "run",
                "--rm",
                &option,
                &image,
                "sh",
                "-c",
                "cat /data/file /data/data/file 2>/dev/null; true",
            ])
            .current_dir(dir.path().join("work"))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "found",
            "{source}: {output:?}"
        );
    }
}

#[test]
fn outer_targets_come_before_inner_ones() {
    require!(userns, image "tiny");
    let (outer, inner) = (scratch(), scratch());
    std::fs::create_dir(outer.path().join("inner")).unwrap();
    std::fs::write(outer.path().join("file"), "outer\n").unwrap();
    std::fs::write(inner.path().join("file"), "inner\n").unwrap();
    let options = [
        volume(inner.path(), "/data/inner"),
        volume(outer.path(), "/data"),
        "--tmpfs=/data/inner/tmp".into(),
    ];
    std::fs::create_dir(inner.path().join("tmp")).unwrap();
    for order in [[0, 1, 2], [2, 1, 0]] {
        let mut case = Case::image("tiny");
        for index in order {
            case = case.option(options[index].clone());
        }
        case.sh("cat /data/file /data/inner/file; touch /data/inner/tmp/x; stat -f -c %T /data/inner/tmp")
            .stdout("outer\ninner\ntmpfs");
    }
    assert_eq!(
        std::fs::read_dir(inner.path().join("tmp")).unwrap().count(),
        0
    );
}

#[test]
fn mounts_below_a_source_come_along() {
    require!(userns, image "tiny");
    // /dev has mounts of its own on every machine: pts, shm.
    Case::image("tiny")
        .option("--volume=/dev:/hostdev:ro")
        .sh("stat -f -c %T /hostdev/pts")
        .stdout("devpts");
}

#[test]
fn mount_in_words() {
    require!(userns, image "tiny");
    let dir = scratch();
    std::fs::write(dir.path().join("file"), "host").unwrap();
    let source = dir.path().display();
    Case::image("tiny")
        .option(format!("--mount=type=bind,source={source},target=/rw"))
        .option(format!("--mount=type=bind,src={source},dst=/ro,readonly"))
        .option(format!("--mount=type=bind,source={source},destination=/cow,cow"))
        .option("--mount=type=tmpfs,target=/scratch,tmpfs-size=1m,tmpfs-mode=700")
        .sh("echo x >/ro/file")
        .status(1)
        .sh("printf cow >/cow/file; printf rw >/rw/new; cat /cow/file /ro/new; stat -c ' %a' /scratch; df -k /scratch | awk 'NR==2{print $2}'")
        .stdout("cowrw 700\n1024");
    assert_eq!(
        std::fs::read_to_string(dir.path().join("file")).unwrap(),
        "host"
    );
}

/// What an image says of its own directories must not decide where on the host a mount point is made.
#[test]
fn a_target_through_a_link_stays_inside() {
    require!(userns);
    let (data, outside) = (scratch(), scratch());
    std::fs::write(data.path().join("file"), "data").unwrap();
    let above = std::path::PathBuf::from(format!("../../../../../..{}", outside.path().display()));
    let rootfs = Rootfs::new()
        .link("absolute", outside.path())
        .link("above", &above)
        .link("loop", "loop".as_ref())
        .link("inside", "/tmp".as_ref());
    let home = Home::new();
    let run = |target: &str, file: &str| {
        let option = volume(data.path(), target);
        home.run([
            "run",
            "--rm",
            &option,
            "--rootfs",
            rootfs.text(),
            "sh",
            "-c",
            &format!("cat {file}"),
        ])
    };
    assert_eq!(run("/inside/data", "/tmp/data/file"), "data");
    let made = format!("{}/data/file", outside.path().display());
    for target in ["/absolute/data", "/above/data"] {
        let option = volume(data.path(), target);
        let output = home
            .shedbox([
                "run",
                "--rm",
                &option,
                "--rootfs",
                rootfs.text(),
                "sh",
                "-c",
                &format!("cat {made}"),
            ])
            .output()
            .unwrap();
        // Either it leads to a place of that name inside, or it is refused; never outside.
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stdout == "data" || (output.status.code() == Some(125) && stderr.contains("volume")),
            "{target}: {output:?}"
        );
        assert_eq!(
            std::fs::read_dir(outside.path()).unwrap().count(),
            0,
            "{target}"
        );
    }
    home.refused(
        [
            "run",
            "--rm",
            &volume(data.path(), "/loop/data"),
            "--rootfs",
            rootfs.text(),
            "true",
        ],
        125,
        "/loop",
    );
    // The directory that served as rootfs is as it was.
    assert!(!rootfs.path().join("tmp/data").exists());
}

#[test]
fn proc_and_dev_that_are_links_are_refused() {
    require!(userns);
    let outside = scratch();
    for name in ["proc", "sys", "dev"] {
        let rootfs = Rootfs::new();
        std::fs::remove_dir(rootfs.path().join(name)).unwrap();
        let rootfs = rootfs.link(name, outside.path());
        Home::new().refused(
            ["run", "--rm", "--rootfs", rootfs.text(), "true"],
            125,
            &format!("/{name}"),
        );
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_rootfs_directory_is_not_written_to() {
    require!(userns);
    let rootfs = Rootfs::new();
    let before = std::fs::metadata(rootfs.path().join("etc"))
        .unwrap()
        .mtime_nsec();
    let case = Case::rootfs(rootfs.text());
    case.sh("echo x >/etc/new; rm /bin/ln; mkdir /made; ls /etc/new")
        .stdout("/etc/new")
        .reset()
        .sh("ls /etc/new")
        .status(1);
    assert!(!rootfs.path().join("etc/new").exists() && rootfs.path().join("bin/ln").is_symlink());
    assert_eq!(
        std::fs::metadata(rootfs.path().join("etc"))
            .unwrap()
            .mtime_nsec(),
        before
    );
}
