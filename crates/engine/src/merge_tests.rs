use super::*;

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn image() -> ImageDefaults {
    ImageDefaults {
        entrypoint: list(&["/entry", "-v"]),
        cmd: list(&["serve"]),
        env: list(&["PATH=/opt/bin:/bin", "LANG=C"]),
        workdir: Some("/srv".into()),
        user: Some("www".into()),
        stop_signal: Some("SIGQUIT".into()),
        labels: [
            ("a".to_owned(), "image".to_owned()),
            ("b".to_owned(), "image".to_owned()),
        ]
        .into(),
        ..ImageDefaults::default()
    }
}

#[test]
fn argv_follows_docker() {
    type Row<'a> = (Option<&'a [&'a str]>, &'a [&'a str], &'a [&'a str]);
    let table: &[Row<'_>] = &[
        (None, &[], &["/entry", "-v", "serve"]),
        (None, &["x"], &["/entry", "-v", "x"]),
        (Some(&["/bin/sh"]), &[], &["/bin/sh"]),
        (Some(&["/bin/sh"]), &["-c", "id"], &["/bin/sh", "-c", "id"]),
        (Some(&[]), &[], &["serve"]),
        (Some(&[]), &["x"], &["x"]),
        (Some(&[""]), &["x", "y"], &["x", "y"]),
    ];
    for (entrypoint, command, expected) in table {
        let spec = SandboxSpec {
            entrypoint: entrypoint.map(list),
            command: list(command),
            ..SandboxSpec::default()
        };
        assert_eq!(
            merge(&image(), &spec, "h").unwrap().argv,
            list(expected),
            "{entrypoint:?} {command:?}"
        );
    }
}

#[test]
fn nothing_to_run_is_an_error_unless_idle() {
    let spec = SandboxSpec {
        entrypoint: Some(list(&[""])),
        ..SandboxSpec::default()
    };
    assert_eq!(
        merge(&image(), &spec, "h").unwrap_err().kind,
        shedbox_spec::Kind::Invalid
    );
    let spec = SandboxSpec {
        idle: true,
        ..SandboxSpec::default()
    };
    assert_eq!(merge(&image(), &spec, "h").unwrap().argv, list(&[]));
}

#[test]
fn env_is_replaced_in_place_and_removed_by_name() {
    let spec = SandboxSpec {
        idle: true,
        env: list(&["LANG=de", "NEW=1=2", "PATH", "UNSET"]),
        ..SandboxSpec::default()
    };
    assert_eq!(
        merge(&image(), &spec, "box").unwrap().env,
        list(&["HOSTNAME=box", "LANG=de", "NEW=1=2"])
    );
    let bare = merge(
        &ImageDefaults::default(),
        &SandboxSpec {
            idle: true,
            ..SandboxSpec::default()
        },
        "h",
    )
    .unwrap();
    assert_eq!(bare.env, list(&[DEFAULT_PATH, "HOSTNAME=h"]));
    assert_eq!(bare.workdir, "/");
    assert_eq!(bare.stop_signal, 15);
}

#[test]
fn the_spec_wins_over_the_image() {
    let given = SandboxSpec {
        idle: true,
        workdir: Some("/w".into()),
        user: Some("7".into()),
        stop_signal: Some("2".into()),
        labels: [("b".to_owned(), "spec".to_owned())].into(),
        ..SandboxSpec::default()
    };
    let merged = merge(&image(), &given, "h").unwrap();
    assert_eq!(
        (
            merged.workdir.as_str(),
            merged.user.as_str(),
            merged.stop_signal
        ),
        ("/w", "7", 2)
    );
    assert!(!merged.user_may_fall_back);
    assert_eq!(merged.labels["a"], "image");
    assert_eq!(merged.labels["b"], "spec");
    let plain = merge(
        &image(),
        &SandboxSpec {
            idle: true,
            ..SandboxSpec::default()
        },
        "h",
    )
    .unwrap();
    assert_eq!(
        (
            plain.workdir.as_str(),
            plain.user.as_str(),
            plain.stop_signal
        ),
        ("/srv", "www", 3)
    );
    assert!(plain.user_may_fall_back);
}
