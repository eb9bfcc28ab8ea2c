//! Properties of the parsers: what is shown parses back to itself, and no input makes one panic.

use std::time::Duration;

use proptest::prelude::*;
use shedbox_spec::hosts::ExtraHost;
use shedbox_spec::mount::{
    Access, Mount, VolumeArg, parse_mount, parse_tmpfs, parse_volume, validate_mounts,
};
use shedbox_spec::size::{
    format_bytes, format_duration, human_duration, parse_bytes, parse_duration,
};
use shedbox_spec::ulimit::{Resource, Ulimit};
use shedbox_spec::user::{NameOrId, UserSpec, resolve};
use shedbox_spec::{Digest, Reference, detach_keys, env_file, reference, signal};

/// Text near to what the parsers take: their separators, letters of both cases, digits, blanks, and anything.
fn near_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9:/@.,=_+\\[\\]\" -]{0,40}",
        "(\\PC|[\\x00-\\x1f]){0,40}",
    ]
}

fn reference_text() -> impl Strategy<Value = String> {
    (
        proptest::option::of("[a-z][a-z0-9]{0,6}(\\.[a-z0-9]{1,4}){1,2}(:[1-9][0-9]{0,3})?|localhost(:5000)?|\\[::[1-9]\\]:5000"),
        // No dot in the first component: followed by a slash it would be a registry.
        "[a-z0-9]{1,6}((_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,6}(\\.[a-z0-9]{1,4})?){0,3}",
        proptest::option::of("[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,20}"),
        proptest::option::of(any::<[u8; 32]>()),
    )
        .prop_map(|(registry, path, tag, digest)| {
            let mut text = registry.map_or(String::new(), |registry| format!("{registry}/"));
            text.push_str(&path);
            if let Some(tag) = tag {
                text.push(':');
                text.push_str(&tag);
            }
            if let Some(digest) = digest {
                text.push('@');
                text.push_str(Digest::from_bytes(&digest).as_str());
            }
            text
        })
}

fn absolute_path() -> impl Strategy<Value = String> {
    "(/[a-z0-9äß ._-]{1,8}){1,4}".prop_filter("not special", |path| {
        !path.split('/').any(|part| part == "." || part == "..")
            && !path.starts_with("/proc")
            && path != "/dev"
    })
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![Just(Access::Rw), Just(Access::Ro), Just(Access::Cow)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn references_come_back(text in reference_text()) {
        let reference = Reference::parse(&text).unwrap();
        prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
        prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
        let other = Reference::parse_with_default(&text, "quay.io").unwrap();
        prop_assert_eq!(Reference::parse_with_default(&other.familiar_with("quay.io"), "quay.io").unwrap(), other);
    }

    #[test]
    fn any_reference_is_stable(text in near_text()) {
        reference::id_prefix(&text);
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference.clone());
            prop_assert_eq!(Reference::parse(&reference.familiar()).unwrap(), reference);
        }
    }

    #[test]
    fn volumes_come_back(source in absolute_path(), target in absolute_path(), access in access()) {
        let text = format!("{source}:{target}:{}", access.as_str());
        let volume = parse_volume(&text).unwrap();
        prop_assert_eq!(&volume, &VolumeArg { source: source.clone(), target: target.clone(), access });
        let mount = volume.resolve("/elsewhere");
        prop_assert_eq!(&mount, &Mount::Bind { source, target, access });
        prop_assert!(validate_mounts(&[mount]).is_ok());
    }

    #[test]
    fn what_parses_is_valid(text in near_text(), cwd in absolute_path()) {
        if let Ok(volume) = parse_volume(&text) {
            prop_assert!(validate_mounts(&[volume.resolve(&cwd)]).is_ok());
        }
        if let Ok(mount) = parse_mount(&text) {
            prop_assert!(validate_mounts(&[mount.resolve(&cwd)]).is_ok());
        }
        if let Ok(mount) = parse_tmpfs(&text) {
            prop_assert!(validate_mounts(&[mount]).is_ok());
        }
    }

    #[test]
    fn quoted_fields_of_a_mount(source in "/[a-z,\"= :]{0,20}", target in absolute_path()) {
        let quoted = format!("source={source}").replace('"', "\"\"");
        let mount = parse_mount(&format!("type=bind,\"{quoted}\",target={target},cow")).unwrap();
        let mount = mount.resolve("/");
        prop_assert_eq!(mount, VolumeArg { source, target, access: Access::Cow }.resolve("/"));
    }

    #[test]
    fn sizes_come_back(bytes: u64) {
        prop_assert_eq!(parse_bytes(&bytes.to_string()).unwrap(), bytes);
        prop_assert!(format_bytes(bytes).len() <= 7);
    }

    #[test]
    fn durations_come_back(nanoseconds: u64) {
        let duration = Duration::from_nanos(nanoseconds);
        prop_assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        human_duration(duration);
    }

    #[test]
    fn ulimits_come_back(soft: u64, more: u64) {
        let ulimit = Ulimit { resource: Resource::Nofile, soft, hard: soft.saturating_add(more) };
        prop_assert_eq!(Ulimit::parse(&ulimit.to_string()).unwrap(), ulimit);
    }

    #[test]
    fn users_come_back(user in "[a-z_][a-z0-9_-]{0,10}|[1-9][0-9]{0,8}", group in proptest::option::of("[a-z]{1,8}|[1-9][0-9]{0,8}")) {
        let text = group.map_or(user.clone(), |group| format!("{user}:{group}"));
        prop_assert_eq!(UserSpec::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn a_number_resolves_against_any_files(
        id in 0..=0x7fff_ffffu32,
        passwd in proptest::collection::vec(any::<u8>(), 0..300),
        group in "([a-z]{0,4}:x:[0-9]{0,12}:[a-z,]{0,9}\n|\\PC{0,20}\n){0,10}",
    ) {
        let user = resolve(&UserSpec { user: NameOrId::Id(id), group: None }, &passwd, group.as_bytes()).unwrap();
        prop_assert_eq!(user.uid, id);
        prop_assert_eq!(user.groups[0], user.gid);
    }

    #[test]
    fn a_name_resolves_to_its_own_line(
        before in "([a-z]{1,4}:x:[0-9]{1,5}:[0-9]{1,5}::/:\n|\\PC{0,20}\n){0,5}",
        uid in 0..=0x7fff_ffffu32,
        gid in 0..=0x7fff_ffffu32,
    ) {
        // Capitals do not occur in the lines before.
        prop_assume!(!before.contains("NAME"));
        let passwd = format!("{before}NAME:x:{uid}:{gid}::/home/n:/bin/sh\n");
        let group = format!("g:x:12:other,NAME\nh:x:{gid}:NAME\n");
        let user = resolve(&UserSpec::parse("NAME").unwrap(), passwd.as_bytes(), group.as_bytes()).unwrap();
        prop_assert_eq!((user.uid, user.gid, user.home.as_str()), (uid, gid, "/home/n"));
        prop_assert_eq!(user.groups, if gid == 12 { vec![12] } else { vec![gid, 12] });
    }

    #[test]
    fn nothing_panics(text in near_text(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_bytes(&text);
        let _ = parse_duration(&text);
        let _ = Ulimit::parse(&text);
        let _ = signal::parse(&text);
        let _ = ExtraHost::parse(&text);
        let _ = env_file::parse_argument(&text, |_| None);
        let _ = env_file::parse(&bytes, "f", |_| None);
        if let Ok(user) = UserSpec::parse(&text) {
            let _ = resolve(&user, &bytes, &bytes);
        }
        if let Ok(keys) = detach_keys::parse(&text) {
            // Input passes through unless it is found; nothing is added to it.
            let mut output = Vec::new();
            let found = detach_keys::Matcher::new(keys).feed(&bytes, &mut output);
            prop_assert!(output.len() <= bytes.len());
            prop_assert!(bytes.starts_with(&output) || found);
        }
    }

    #[test]
    fn detaching_is_searching(keys in "[ab]{1,4}", input in "[ab]{0,30}", cut in 0usize..30) {
        let mut matcher = detach_keys::Matcher::new(keys.clone().into_bytes());
        let mut output = Vec::new();
        let (first, second) = input.split_at(cut.min(input.len()));
        let found = matcher.feed(first.as_bytes(), &mut output) || matcher.feed(second.as_bytes(), &mut output);
        prop_assert_eq!(found, input.contains(&keys));
        if let Some(at) = input.find(&keys) {
            prop_assert_eq!(output, &input.as_bytes()[..at]);
        }
    }
}
