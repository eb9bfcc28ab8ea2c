use super::*;

fn base() -> SandboxSpec {
    SandboxSpec::host().command(["true"])
}

#[test]
fn what_is_asked_for_becomes_rules() {
    let spec = base()
        .volume("/work", "/work")
        .bind("/data/", "/data", Access::Ro)
        .landlock_ro("/opt/tool")
        .workdir("/work/sub")
        .env("A", "b");
    let confined = Confined::from_spec(&spec).unwrap();
    assert_eq!(confined.read, ["/opt/tool", "/data/"]);
    assert_eq!(confined.write, ["/work"]);
    assert_eq!(confined.network, Reach::Closed);
    assert_eq!(confined.argv, ["true"]);
    assert_eq!(confined.env, ["A=b"]);
    let alone = Confined::from_spec(&base().workdir("/srv/x")).unwrap();
    assert_eq!(alone.write, ["/srv/x"]);
    // A directory that is readable anyway is not made writable by working in it, nor is one named `ro`.
    for dir in ["/usr/share", "/etc/ssl/certs", "/data/a"] {
        let spec = base().bind("/data", "/data", Access::Ro).workdir(dir);
        assert_eq!(Confined::from_spec(&spec).unwrap().write, [""; 0], "{dir}");
    }
    // Names that only begin alike are other names.
    let spec = base()
        .bind("/data", "/data", Access::Ro)
        .workdir("/database");
    assert_eq!(Confined::from_spec(&spec).unwrap().write, ["/database"]);
}

#[test]
fn ports() {
    let spec = base().allow_tcp_connect([443]);
    let confined = Confined::from_spec(&spec).unwrap();
    assert_eq!(confined.network.ports(), (Some(&[443][..]), Some(&[][..])));
    assert!(confined.landlock().check(3).is_err());
    assert!(confined.landlock().check(4).is_ok());
    let open = Confined::from_spec(&base().network(Network::Host)).unwrap();
    assert_eq!(open.network.ports(), (None, None));
    let closed = Confined::from_spec(&base()).unwrap();
    assert!(closed.landlock().check(1).is_ok());
    assert!(closed.landlock().check(0).is_err());
}

#[test]
#[expect(clippy::large_stack_arrays, reason = "a table, for one test at a time")]
fn what_cannot_be_had_is_named() {
    let refused = [
        (SandboxSpec::image("debian").command(["true"]), "no images"),
        (SandboxSpec::rootfs("/x").command(["true"]), "no images"),
        (SandboxSpec::host(), "stays up"),
        (SandboxSpec::host().command([""; 0]), "no command"),
        (base().name("a"), "a name"),
        (base().user("app"), "another user"),
        (base().read_only(), "read-only"),
        (base().label("a", "b"), "labels"),
        (base().shm_size(1), "/dev/shm"),
        (base().tmpfs("/t", None), "a tmpfs"),
        (base().volume("/a", "/b"), "`/a` cannot appear as `/b`"),
        (base().bind("/a", "/a", Access::Cow), "copy-on-write"),
        (base().workdir("rel"), "absolute"),
        (base().workdir("/"), "whole file system"),
        (base().landlock(LandlockLevel::Off), "no isolation"),
    ];
    for (spec, word) in refused {
        let error = Confined::from_spec(&spec).unwrap_err();
        assert!(error.message.contains(word), "{word}: {}", error.message);
    }
}
