use super::*;

fn volume(source: &str, target: &str, access: Access) -> VolumeArg {
    VolumeArg {
        source: source.to_owned(),
        target: target.to_owned(),
        access,
    }
}

fn tmpfs(target: &str, size: Option<u64>, mode: Option<u32>, read_only: bool, exec: bool) -> Mount {
    Mount::Tmpfs {
        target: target.to_owned(),
        size,
        mode,
        read_only,
        exec,
    }
}

#[test]
fn volumes() {
    for (text, expected) in [
        ("/a:/b", volume("/a", "/b", Access::Rw)),
        ("/a:/b:ro", volume("/a", "/b", Access::Ro)),
        ("/a:/b:rw", volume("/a", "/b", Access::Rw)),
        ("/a:/b:cow", volume("/a", "/b", Access::Cow)),
        // Docker takes an empty option list.
        ("/a:/b:", volume("/a", "/b", Access::Rw)),
        ("/a:/b:ro,z", volume("/a", "/b", Access::Ro)),
        ("/a:/b:Z,cow,rprivate", volume("/a", "/b", Access::Cow)),
        ("./x:/b/./c//d/", volume("./x", "/b/c/d", Access::Rw)),
        (".:/b", volume(".", "/b", Access::Rw)),
        ("../x:/b", volume("../x", "/b", Access::Rw)),
        ("/with space:/ä", volume("/with space", "/ä", Access::Rw)),
        (
            "/sys/fs/cgroup:/sys/fs/cgroup:ro",
            volume("/sys/fs/cgroup", "/sys/fs/cgroup", Access::Ro),
        ),
        (
            "/x:/proc/cpuinfo:ro",
            volume("/x", "/proc/cpuinfo", Access::Ro),
        ),
        (
            "/dev/bus/usb:/dev/bus/usb",
            volume("/dev/bus/usb", "/dev/bus/usb", Access::Rw),
        ),
    ] {
        assert_eq!(parse_volume(text), Ok(expected), "{text}");
    }
    for (text, kind, message) in [
        ("", Kind::Invalid, "no target"),
        ("/a", Kind::Unsupported, "anonymous volumes"),
        ("a", Kind::Invalid, "no target"),
        (":/b", Kind::Invalid, "no source"),
        ("/a:", Kind::Invalid, "absolute"),
        (
            "/a:b",
            Kind::Invalid,
            "invalid mount path `b`: mount path must be absolute",
        ),
        ("/a:./b", Kind::Invalid, "absolute"),
        ("/a:/", Kind::Invalid, "can't be `/`"),
        ("/a://.", Kind::Invalid, "can't be `/`"),
        ("/a:/b/../c", Kind::Invalid, "`..`"),
        ("/a:/proc", Kind::Invalid, "would replace"),
        ("/a:/proc/sys", Kind::Invalid, "would replace"),
        ("/a:/dev/", Kind::Invalid, "would replace"),
        ("data:/b", Kind::Unsupported, "named volumes"),
        ("data_1.x:/b:ro", Kind::Unsupported, "named volumes"),
        ("a/b:/c", Kind::Invalid, "neither"),
        ("~/x:/c", Kind::Invalid, "neither"),
        ("/a:/b:xx", Kind::Invalid, "unknown option `xx`"),
        ("/a:/b:ro,", Kind::Invalid, "unknown option ``"),
        ("/a:/b:ro,rw", Kind::Invalid, "more than one"),
        ("/a:/b:shared", Kind::Unsupported, "`shared`"),
        ("/a:/b:/c", Kind::Invalid, "too many colons"),
        ("/a:/b:ro:x", Kind::Invalid, "too many colons"),
    ] {
        let error = parse_volume(text).unwrap_err();
        assert_eq!(error.kind, kind, "{text}: {}", error.message);
        assert!(error.message.contains(message), "{text}: {}", error.message);
    }
}

#[test]
fn sources_resolve_by_name() {
    for (source, expected) in [
        ("/a/b/", "/a/b"),
        ("/a/../b", "/b"),
        (".", "/work/dir"),
        ("./x/y", "/work/dir/x/y"),
        ("../x", "/work/x"),
        ("../../../..", "/"),
    ] {
        let mount = volume(source, "/t", Access::Cow).resolve("/work/dir");
        let expected = Mount::Bind {
            source: expected.to_owned(),
            target: "/t".to_owned(),
            access: Access::Cow,
        };
        assert_eq!(mount, expected, "{source}");
    }
}

#[test]
fn mounts() {
    let bind = |source, target, access| MountArg::Bind(volume(source, target, access));
    for (text, expected) in [
        (
            "type=bind,source=/a,target=/b",
            bind("/a", "/b", Access::Rw),
        ),
        (
            "type=bind,src=./a,dst=/b,readonly",
            bind("./a", "/b", Access::Ro),
        ),
        (
            "TYPE=bind,Source=/a,destination=/b,ro=true",
            bind("/a", "/b", Access::Ro),
        ),
        (
            "type=bind,source=/a,target=/b,readonly=false",
            bind("/a", "/b", Access::Rw),
        ),
        (
            "type=bind,source=/a,target=/b,cow",
            bind("/a", "/b", Access::Cow),
        ),
        (
            "type=bind,source=/a:b,target=/c:d",
            bind("/a:b", "/c:d", Access::Rw),
        ),
        (
            "type=bind,\"source=/a,b\",target=/c",
            bind("/a,b", "/c", Access::Rw),
        ),
        (
            "\"type=bind\",\"source=/a\"\"b\",target=/c",
            bind("/a\"b", "/c", Access::Rw),
        ),
        (
            "type=bind,source=/a=b,target=/c,bind-propagation=rprivate,consistency=cached",
            bind("/a=b", "/c", Access::Rw),
        ),
        (
            "type=tmpfs,target=/t",
            MountArg::Tmpfs(tmpfs("/t", None, None, false, false)),
        ),
        (
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0700,readonly",
            MountArg::Tmpfs(tmpfs("/t", Some(1 << 20), Some(0o700), true, false)),
        ),
    ] {
        assert_eq!(parse_mount(text), Ok(expected), "{text}");
    }
    for (text, kind, message) in [
        ("", Kind::Invalid, "unknown option ``"),
        ("type=bind", Kind::Invalid, "no target"),
        ("type=bind,target=/b", Kind::Invalid, "no source"),
        ("type=bind,source=/a,target=b", Kind::Invalid, "absolute"),
        (
            "type=bind,source=/a,target=/b,readonly,cow",
            Kind::Invalid,
            "both",
        ),
        (
            "type=bind,source=/a,target=/b,readonly=maybe",
            Kind::Invalid,
            "`maybe`",
        ),
        (
            "type=bind,source=/a,target=/b,bogus=1",
            Kind::Invalid,
            "unknown option `bogus=1`",
        ),
        (
            "type=bind,source=/a,target=/b,tmpfs-size=1m",
            Kind::Invalid,
            "tmpfs options",
        ),
        (
            "type=bind,source=/a,target=/b,bind-propagation=shared",
            Kind::Unsupported,
            "bind-propagation",
        ),
        (
            "type=bind,source=a,target=/b",
            Kind::Unsupported,
            "named volumes",
        ),
        ("type=bind,source,target=/b", Kind::Invalid, "needs a value"),
        ("source=/a,target=/b", Kind::Unsupported, "Docker's default"),
        (
            "type=volume,source=a,target=/b",
            Kind::Unsupported,
            "volumes",
        ),
        (
            "type=image,source=a,target=/b",
            Kind::Unsupported,
            "`type=image`",
        ),
        (
            "type=wrong,target=/b",
            Kind::Invalid,
            "unknown type `wrong`",
        ),
        ("type=tmpfs,source=/a,target=/b", Kind::Invalid, "no source"),
        (
            "type=tmpfs,target=/b,tmpfs-mode=999",
            Kind::Invalid,
            "invalid mode `999`",
        ),
        (
            "type=tmpfs,target=/b,tmpfs-size=x",
            Kind::Invalid,
            "invalid size `x`",
        ),
        ("type=bind,\"source=/a,target=/b", Kind::Invalid, "quote"),
        ("type=bind,sou\"rce=/a,target=/b", Kind::Invalid, "quote"),
        ("type=bind,\"source=/a\"x,target=/b", Kind::Invalid, "quote"),
    ] {
        let error = parse_mount(text).unwrap_err();
        assert_eq!(error.kind, kind, "{text}: {}", error.message);
        assert!(error.message.contains(message), "{text}: {}", error.message);
    }
    let resolved = parse_mount("type=bind,source=./a,target=/b")
        .unwrap()
        .resolve("/w");
    assert_eq!(resolved, volume("/w/a", "/b", Access::Rw).resolve("/"));
}

#[test]
fn tmpfs_options() {
    for (text, expected) in [
        ("/run", tmpfs("/run", None, None, false, false)),
        ("/run:", tmpfs("/run", None, None, false, false)),
        (
            "/run:size=64m,mode=1777,ro,exec",
            tmpfs("/run", Some(64 << 20), Some(0o1777), true, true),
        ),
        (
            "/run:rw,noexec,nosuid,nodev,size=65536k",
            tmpfs("/run", Some(64 << 20), None, false, false),
        ),
        (
            "/dev/shm:size=1g",
            tmpfs("/dev/shm", Some(1 << 30), None, false, false),
        ),
        ("//run//x/", tmpfs("/run/x", None, None, false, false)),
    ] {
        assert_eq!(parse_tmpfs(text), Ok(expected), "{text}");
    }
    for (text, message) in [
        ("", "absolute"),
        ("run", "absolute"),
        ("/", "can't be `/`"),
        ("/proc", "would replace"),
        ("/run:bogus", "unknown option `bogus`"),
        ("/run:size", "unknown option `size`"),
        ("/run:size=50%", "invalid size `50%`"),
        ("/run:mode=8", "invalid mode `8`"),
        ("/run:mode=+7", "invalid mode `+7`"),
        ("/run:mode=77777", "invalid mode `77777`"),
        ("/run:uid=1", "`uid=1` is not supported"),
        ("/run:suid", "`suid` is not supported"),
    ] {
        let error = parse_tmpfs(text).unwrap_err();
        assert!(error.message.contains(message), "{text}: {}", error.message);
    }
}

#[test]
fn a_whole_list() {
    let bind = |source: &str, target: &str| volume(source, target, Access::Rw).resolve("/");
    assert_eq!(
        validate_mounts(&[
            bind("/a", "/x"),
            bind("/a", "/x/y"),
            tmpfs("/t", None, None, false, false)
        ]),
        Ok(())
    );
    let raw = |source: &str, target: &str| Mount::Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        access: Access::Rw,
    };
    for (mounts, message) in [
        (
            vec![bind("/a", "/x"), bind("/b", "/x")],
            "duplicate mount point: /x",
        ),
        (vec![raw("a", "/x")], "invalid volume source `a`"),
        (vec![raw("", "/x")], "invalid volume source ``"),
        (vec![raw("/a", "/x/")], "normal form"),
        (vec![raw("/a", "x")], "absolute"),
        (vec![raw("/a", "/proc/1")], "would replace"),
        (
            vec![tmpfs("/t", None, Some(0o10000), false, false)],
            "invalid mode 10000",
        ),
    ] {
        let error = validate_mounts(&mounts).unwrap_err();
        assert!(error.message.contains(message), "{}", error.message);
    }
}
