//! `cp` against a sandbox that plays foul: nothing of the host is read or written but what was named.

use std::io::Write;
use std::path::Path;

use crate::require;
use crate::rootfs::Rootfs;
use crate::support::{Case, Lane, scratch};

/// A tar archive by the host's tar.
fn tar_of(dir: &Path, options: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("tar")
        .args(["-C", dir.to_str().unwrap(), "-cf", "-"])
        .args(options)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The class of CVE-2018-15664 and CVE-2019-14271: a path inside that the sandbox has made a link to the host's.
#[test]
fn links_of_the_sandbox_do_not_reach_the_host() {
    require!(userns);
    let host = scratch();
    std::fs::write(host.path().join("secret"), "host's").unwrap();
    std::fs::write(host.path().join("new"), "from outside").unwrap();
    let outside = host.path().display().to_string();
    let rootfs = Rootfs::new();
    let mut case = Case::rootfs(rootfs.text())
        .sh(&format!("ln -s {outside} /absolute; ln -s ../../../../../../..{outside} /above; ln -s /proc/1/root{outside} /magic; ln -s /proc/self/cwd /cwd"))
        .ok();
    let (home, name) = (case.get_home(), case.name().to_owned());
    let copy = host.path().join("copy");
    let new = host.path().join("new");
    for link in ["absolute", "above", "magic"] {
        for inside in [
            format!("{name}:/{link}/secret"),
            format!("{name}:/{link}/."),
        ] {
            let output = home
                .shedbox(["cp", "--follow-link", &inside, copy.to_str().unwrap()])
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1), "{inside}: {output:?}");
            assert!(!copy.exists(), "{inside}");
        }
        let output = home
            .shedbox([
                "cp",
                new.to_str().unwrap(),
                &format!("{name}:/{link}/secret"),
            ])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{link}: {output:?}");
    }
    assert_eq!(
        std::fs::read_to_string(host.path().join("secret")).unwrap(),
        "host's"
    );
    // The same place made inside is a place inside.
    case = case.sh(&format!("mkdir -p {outside}")).ok();
    let home = case.get_home();
    home.run([
        "cp",
        new.to_str().unwrap(),
        &format!("{name}:/absolute/put"),
    ]);
    assert!(!host.path().join("put").exists());
    case.sh(&format!("cat {outside}/put /above/put"))
        .stdout("from outsidefrom outside");
}

#[test]
fn a_directory_that_is_swapped_all_the_time() {
    require!(userns);
    let host = scratch();
    std::fs::write(host.path().join("secret"), "host's").unwrap();
    std::fs::write(host.path().join("new"), "from outside").unwrap();
    let outside = host.path().display().to_string();
    let rootfs = Rootfs::new();
    let case = Case::rootfs(rootfs.text())
        .with("--detach")
        .sh(&format!("mkdir /real /real/sub; echo inside >/real/secret; while :; do mv /real /dir; mv /dir /real; ln -s {outside} /dir; rm /dir; done"))
        .ok();
    let (home, name) = (case.get_home(), case.name());
    let copy = host.path().join("copy");
    for _ in 0..30 {
        let _ = home
            .shedbox(["cp", &format!("{name}:/dir/secret"), copy.to_str().unwrap()])
            .output()
            .unwrap();
        if let Ok(content) = std::fs::read_to_string(&copy) {
            assert_eq!(content, "inside\n");
            std::fs::remove_file(&copy).unwrap();
        }
        let _ = home
            .shedbox([
                "cp",
                host.path().join("new").to_str().unwrap(),
                &format!("{name}:/dir/planted"),
            ])
            .output()
            .unwrap();
        assert!(!host.path().join("planted").exists());
    }
    assert_eq!(
        std::fs::read_to_string(host.path().join("secret")).unwrap(),
        "host's"
    );
}

/// What a sandbox sends is unpacked beneath the destination, whatever names and links are in it.
#[test]
fn what_comes_out_stays_where_it_was_sent() {
    require!(userns);
    let host = scratch();
    let victim = host.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    let rootfs = Rootfs::new();
    let case = Case::rootfs(rootfs.text())
        .sh(&format!("mkdir -p /tree/a; ln -s {} /tree/a/out; echo x >/tree/file; ln -s ../../victim /tree/up", victim.display()))
        .ok();
    let (home, name) = (case.get_home(), case.name());
    let dest = host.path().join("dest");
    home.run(["cp", &format!("{name}:/tree"), dest.to_str().unwrap()]);
    assert!(
        std::fs::symlink_metadata(dest.join("a/out"))
            .unwrap()
            .is_symlink()
    );
    // A second copy over the first must not go through the links that the first has brought.
    let case = case.sh("rm /tree/a/out /tree/up; mkdir /tree/a/out /tree/up; echo evil >/tree/a/out/evil; echo evil >/tree/up/evil").ok();
    let _ = case
        .get_home()
        .shedbox([
            "cp",
            &format!("{}:/tree/.", case.name()),
            dest.to_str().unwrap(),
        ])
        .output()
        .unwrap();
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0);
}

#[test]
fn archives_on_standard_streams() {
    require!(userns, image "tiny");
    let dir = scratch();
    std::fs::create_dir_all(dir.path().join("tree/sub")).unwrap();
    std::fs::write(dir.path().join("tree/sub/file"), "content").unwrap();
    std::fs::hard_link(
        dir.path().join("tree/sub/file"),
        dir.path().join("tree/second"),
    )
    .unwrap();
    let archive = tar_of(dir.path(), &["--owner=1000", "--group=1000", "tree"]);
    let mut case = Case::image("tiny");
    case.start();
    let (home, name) = (case.get_home(), case.name().to_owned());
    home.shedbox(["cp", "-", &format!("{name}:/tmp")])
        .write_stdin(archive.clone())
        .assert()
        .success();
    let keep = home
        .shedbox(["cp", "--archive", "-", &format!("{name}:/root")])
        .write_stdin(archive)
        .output()
        .unwrap();
    assert!(
        keep.status.success(),
        "{}",
        String::from_utf8_lossy(&keep.stderr)
    );
    let owner = if Lane::current() == Lane::Single {
        "0"
    } else {
        "1000"
    };
    let case = case
        .sh("cat /tmp/tree/second; stat -c ' %u %h' /tmp/tree/second /root/tree/second")
        .stdout(&format!("content 0 2\n {owner} 2"));
    let home = case.get_home();
    let out = home
        .shedbox(["cp", &format!("{name}:/tmp/tree"), "-"])
        .output()
        .unwrap();
    let back = scratch();
    let mut tar = std::process::Command::new("tar")
        .args(["-C", back.path().to_str().unwrap(), "-xf", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(&out.stdout).unwrap();
    assert!(tar.wait().unwrap().success());
    assert_eq!(
        std::fs::read_to_string(back.path().join("tree/second")).unwrap(),
        "content"
    );

    // Names that lead out lead nowhere.
    let evil = tar_of(
        dir.path(),
        &[
            "--transform=s,tree/sub/file,../../../evil,",
            "-P",
            "tree/sub/file",
        ],
    );
    let refused = home
        .shedbox(["cp", "-", &format!("{name}:/tmp")])
        .write_stdin(evil)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("../evil"),
        "{refused:?}"
    );
    let broken = home
        .shedbox(["cp", "-", &format!("{name}:/tmp")])
        .write_stdin(vec![b'n'; 5000])
        .output()
        .unwrap();
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
}

#[test]
fn a_large_tree_both_ways() {
    require!(userns, image "tiny");
    let dir = scratch();
    let tree = dir.path().join("tree");
    for number in 0..20 {
        let sub = tree.join(format!("d{number}"));
        std::fs::create_dir_all(&sub).unwrap();
        for file in 0..50 {
            std::fs::write(sub.join(format!("f{file}")), vec![b'x'; file * 997]).unwrap();
        }
    }
    let mut case = Case::image("tiny");
    case.start();
    let (home, name) = (case.get_home(), case.name());
    home.run(["cp", tree.to_str().unwrap(), &format!("{name}:/tree")]);
    let back = dir.path().join("back");
    home.run(["cp", &format!("{name}:/tree"), back.to_str().unwrap()]);
    let same = std::process::Command::new("diff")
        .arg("-r")
        .args([&tree, &back])
        .output()
        .unwrap();
    assert!(same.status.success() && same.stdout.is_empty(), "{same:?}");
}
