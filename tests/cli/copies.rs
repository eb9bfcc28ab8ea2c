//! `cp`, both ways.

use std::os::unix::fs::{MetadataExt, symlink};

use crate::require;
use crate::support::{Case, Home, scratch};

fn refused(home: &Home, arguments: &[&str]) -> String {
    let output = home.shedbox(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn files_and_directories_in_and_out() {
    require!(userns);
    let mut case = Case::host();
    case.start();
    let name = case.name().to_owned();
    let inside = |path: &str| format!("{name}:{path}");
    let host = scratch();
    let path = |name: &str| host.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir_all(host.path().join("tree/sub")).unwrap();
    std::fs::write(host.path().join("tree/sub/file"), "content").unwrap();
    symlink("sub/file", host.path().join("tree/link")).unwrap();

    let home = case.get_home();
    home.run(["cp", &path("tree"), &inside("/tmp/new")]);
    home.run(["cp", &path("tree/sub/file"), &inside("/tmp/")]);
    home.run(["cp", &format!("{}/.", path("tree")), &inside("/tmp")]);
    let case = case
        .sh("cat /tmp/new/link /tmp/file /tmp/sub/file; readlink /tmp/new/link; stat -c %u /tmp/file")
        .stdout("contentcontentcontentsub/file\n0");

    let home = case.get_home();
    home.run(["cp", &inside("/tmp/new"), &path("out")]);
    home.run(["cp", &inside("/tmp/new/link"), &path("link")]);
    home.run(["cp", "-L", &inside("/tmp/new/link"), &path("followed")]);
    assert_eq!(
        std::fs::read_to_string(host.path().join("out/sub/file")).unwrap(),
        "content"
    );
    assert!(
        std::fs::symlink_metadata(host.path().join("link"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(
        std::fs::read_to_string(host.path().join("followed")).unwrap(),
        "content"
    );
    let own = std::fs::metadata(host.path()).unwrap().uid();
    assert_eq!(
        std::fs::metadata(host.path().join("followed"))
            .unwrap()
            .uid(),
        own
    );

    let stream = home
        .shedbox(["cp", &inside("/tmp/new"), "-"])
        .output()
        .unwrap()
        .stdout;
    home.shedbox(["cp", "-", &inside("/opt")])
        .write_stdin(stream)
        .assert()
        .success();
    case.sh("cat /opt/new/sub/file").stdout("content");
}

#[test]
fn what_cannot_be_copied_is_named() {
    require!(userns);
    let mut case = Case::host();
    case.start();
    let (home, name) = (case.get_home(), case.name());
    let host = scratch();
    let file = host.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    let there = format!("{name}:/tmp/x");
    assert!(refused(home, &["cp", "/no/such", &there]).contains("cannot read /no/such"));
    assert!(
        refused(home, &["cp", &format!("{name}:/no/such"), "."]).contains("/no/such: no such file")
    );
    assert!(
        refused(home, &["cp", file, &format!("{name}:/no/such/")])
            .contains("no such directory: /no/such/")
    );
    assert!(refused(home, &["cp", file, file]).contains("one end of a copy must be in a sandbox"));
    assert!(refused(home, &["cp", file, "nobody:/x"]).contains("nobody"));
}

#[test]
fn a_stopped_sandbox_still_has_its_files() {
    require!(userns);
    let case = Case::host()
        .sh("echo kept >/tmp/kept")
        .ok()
        .command(["stop"])
        .ok();
    let (home, name) = (case.get_home(), case.name());
    let host = scratch();
    let out = host.path().join("out");
    home.run(["cp", &format!("{name}:/tmp/kept"), out.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(out).unwrap(), "kept\n");
}

/// A link of the sandbox's making is not followed on the host.
#[test]
fn a_link_does_not_lead_out() {
    require!(userns);
    let host = scratch();
    let secret = host.path().join("secret");
    std::fs::write(&secret, "mine").unwrap();
    let case = Case::host()
        .sh(&format!("ln -s {} /tmp/link", secret.display()))
        .ok();
    let (home, name) = (case.get_home(), case.name());
    let inside = format!("{name}:/tmp/link");
    let copy = host.path().join("copy");
    refused(
        home,
        &["cp", "--follow-link", &inside, copy.to_str().unwrap()],
    );
    assert!(!copy.exists());
    let out = host.path().join("out");
    home.run(["cp", &inside, out.to_str().unwrap()]);
    assert!(std::fs::symlink_metadata(out).unwrap().is_symlink());
    // Inside it leads nowhere, so there is nothing that could be written.
    let new = host.path().join("new");
    std::fs::write(&new, "from outside").unwrap();
    refused(home, &["cp", new.to_str().unwrap(), &inside]);
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "mine");
}
