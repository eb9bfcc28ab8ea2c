//! Which specs are equal, and when memory is short.

use super::*;
use shedbox_spec::mount::Access;
use shedbox_spec::network::Attachment;

fn image(manifest: char) -> ImageRecord {
    let digest = |digit: char| format!("sha256:{}", digit.to_string().repeat(64));
    serde_json::from_value(serde_json::json!({
        "manifest": digest(manifest), "config": digest('c'), "diff_ids": [], "created": null, "os": "linux",
        "architecture": "amd64", "variant": null, "size": 0,
    }))
    .unwrap()
}

fn spec() -> SandboxSpec {
    SandboxSpec {
        source: Source::Image("a".into()),
        recycle: true,
        command: vec!["sleep".into()],
        network: Network::bridge(),
        ..SandboxSpec::default()
    }
}

/// A change of a spec.
type Change = fn(&mut SandboxSpec);

#[test]
fn names_and_labels_may_differ_and_nothing_else() {
    let kind = Kind::of(&spec(), Some(&image('1'))).unwrap();
    let with = |change: Change| {
        let mut other = spec();
        change(&mut other);
        Kind::of(&other, Some(&image('1'))).unwrap()
    };
    let harmless: [Change; 3] = [
        |spec| spec.name = Some("n".into()),
        |spec| drop(spec.labels.insert("a".into(), "b".into())),
        |spec| drop(spec.annotations.insert("a".into(), "b".into())),
    ];
    for change in harmless {
        assert_eq!(with(change), kind);
    }
    let others: [Change; 8] = [
        |spec| spec.command.push("1".into()),
        |spec| spec.env.push("A=1".into()),
        |spec| spec.user = Some("1".into()),
        |spec| spec.hostname = Some("h".into()),
        |spec| spec.read_only = true,
        |spec| spec.limits.memory = Some(1 << 30),
        |spec| spec.security.no_new_privileges ^= true,
        |spec| spec.network = Network::None,
    ];
    for change in others {
        assert_ne!(with(change), kind);
    }
    assert_ne!(Kind::of(&spec(), Some(&image('2'))).unwrap(), kind);
}

#[test]
fn what_is_bound_to_one_moment_is_not_prepared() {
    let changes: [Change; 6] = [
        |spec| spec.recycle = false,
        |spec| spec.ttl_ms = Some(1),
        |spec| {
            spec.mounts.push(Mount::Bind {
                source: "/a".into(),
                target: "/a".into(),
                access: Access::Ro,
            });
        },
        |spec| spec.network = Network::Container("other".into()),
        |spec| {
            spec.network = Network::Bridge(vec![Attachment {
                ip: Some([10, 0, 0, 2].into()),
                ..Attachment::to("n")
            }]);
        },
        |spec| spec.source = Source::Host,
    ];
    for change in changes {
        let mut other = spec();
        change(&mut other);
        assert_eq!(Kind::of(&other, Some(&image('1'))), None);
    }
    assert_eq!(Kind::of(&spec(), None), None, "no image");
}

#[test]
fn memory_is_short_below_a_sixteenth() {
    let text = |available: u64| format!("MemTotal:  16000 kB\nMemAvailable:  {available} kB\n");
    assert!(!is_short(&text(1000)));
    assert!(is_short(&text(999)));
    assert!(!is_short(""), "nobody knows");
}
