use std::collections::BTreeMap;

use clap::{CommandFactory, Parser};
use shedbox_client::SandboxSpec;
use shedbox_spec::exec::StdinMode;
use shedbox_spec::mount::{Access, Mount};
use shedbox_spec::network::Network;
use shedbox_spec::sandbox::Source;
use shedbox_spec::ulimit::Ulimit;

use super::*;
use crate::create_options::CreateOptions;

#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
struct Options {
    #[command(flatten)]
    options: CreateOptions,
}

/// The spec of `shedbox create` with these arguments, in the directory `/here` with `OWN=mine` in the environment.
fn spec(arguments: &[&str]) -> Result<SandboxSpec, String> {
    let words = ["create"].iter().chain(arguments);
    let options = Options::try_parse_from(words)
        .map_err(|error| error.to_string())?
        .options;
    let caller = |name: &str| (name == "OWN").then(|| "mine".to_owned());
    options
        .spec("/here", caller)
        .map_err(|error| format!("{error:#}"))
}

fn image(command: &[&str]) -> SandboxSpec {
    SandboxSpec {
        source: Source::Image("img".into()),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        ..SandboxSpec::default()
    }
}

#[test]
fn the_declaration_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn where_the_command_begins() {
    assert_eq!(spec(&["img"]), Ok(image(&[])));
    assert_eq!(
        spec(&["img", "ls", "-la", "--tty"]),
        Ok(image(&["ls", "-la", "--tty"])),
        "options behind the image"
    );
    assert_eq!(
        spec(&["img", "--", "-x"]),
        Ok(image(&["--", "-x"])),
        "as Docker"
    );
    assert_eq!(spec(&["img", "-t"]), Ok(image(&["-t"])));
    assert_eq!(
        spec(&["-t", "img"]),
        Ok(SandboxSpec {
            tty: true,
            ..image(&[])
        })
    );
    assert_eq!(spec(&["host", "sh"]).unwrap().source, Source::Host);
    let rootfs = spec(&["--rootfs", "dir", "ls", "-l"]).unwrap();
    assert_eq!(
        (rootfs.source, rootfs.command),
        (
            Source::Rootfs("/here/dir".into()),
            vec!["ls".into(), "-l".into()]
        )
    );
    assert_eq!(
        spec(&["--rootfs", "/dir"]).unwrap().source,
        Source::Rootfs("/dir".into())
    );
    assert!(spec(&[]).unwrap_err().contains("required"));
    assert!(
        spec(&["--unknown", "img"])
            .unwrap_err()
            .contains("unexpected argument '--unknown'")
    );
}

#[test]
fn every_option_reaches_the_spec() {
    let all = spec(&[
        "--name=box",
        "-i",
        "-t",
        "--rm",
        "-e",
        "A=1",
        "--env",
        "OWN",
        "-e",
        "UNSET",
        "-w",
        "/work",
        "-u",
        "app:7",
        "-h",
        "inner",
        "-v",
        "./src:/b/src:cow",
        "-v",
        "/data:/a:ro",
        "--mount",
        "type=bind,source=/m,target=/m",
        "--tmpfs",
        "/scratch:size=1m",
        "--read-only",
        "--entrypoint",
        "/entry",
        "-l",
        "k=v",
        "--label",
        "bare",
        "--group-add",
        "77",
        "--shm-size=256m",
        "--ulimit",
        "nofile=10:20",
        "--init",
        "--stop-signal",
        "INT",
        "--stop-timeout",
        "3",
        "--network=host",
        "--platform",
        "linux/arm64",
        "--ttl",
        "1h",
        "--add-host",
        "db:10.0.0.5",
        "--log-max-size",
        "10m",
        "img",
        "run",
    ])
    .unwrap();
    let bind = |source: &str, target: &str, access| Mount::Bind {
        source: source.into(),
        target: target.into(),
        access,
    };
    let expected = SandboxSpec {
        name: Some("box".into()),
        entrypoint: Some(vec!["/entry".into()]),
        env: vec!["A=1".into(), "OWN=mine".into(), "UNSET".into()],
        workdir: Some("/work".into()),
        user: Some("app:7".into()),
        groups: vec!["77".into()],
        hostname: Some("inner".into()),
        // Those higher up first, whatever the order on the command line.
        mounts: vec![
            bind("/data", "/a", Access::Ro),
            bind("/m", "/m", Access::Rw),
            Mount::Tmpfs {
                target: "/scratch".into(),
                size: Some(1 << 20),
                mode: None,
                read_only: false,
                exec: false,
            },
            bind("/here/src", "/b/src", Access::Cow),
        ],
        read_only: true,
        labels: BTreeMap::from([("k".into(), "v".into()), ("bare".into(), String::new())]),
        shm_size: Some(256 << 20),
        ulimits: vec![Ulimit::parse("nofile=10:20").unwrap()],
        stop_signal: Some("INT".into()),
        stop_timeout_ms: Some(3000),
        network: Network::Host,
        tty: true,
        stdin: StdinMode::Pipe,
        auto_remove: true,
        ttl_ms: Some(3_600_000),
        init: true,
        platform: Some("linux/arm64".into()),
        log_max_bytes: Some(10 << 20),
        extra_hosts: vec!["db:10.0.0.5".into()],
        ..image(&["run"])
    };
    assert_eq!(all, expected);
    assert_eq!(
        spec(&["--entrypoint", "", "img"]).unwrap().entrypoint,
        Some(vec![String::new()])
    );
    assert!(spec(&["--idle", "img"]).unwrap().idle);
}

#[test]
fn an_env_file_comes_before_variables() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "A=file\n# comment\nOWN\n").unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(
        spec(&["-e", "A=line", "--env-file", path, "img"])
            .unwrap()
            .env,
        ["A=file", "OWN=mine", "A=line"]
    );
    assert!(
        spec(&["--env-file", "/no/such", "img"])
            .unwrap_err()
            .contains("cannot read the env file /no/such")
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (arguments, message) in [
        (&["-v", "data:/x", "img"][..], "named volumes"),
        (&["-v", "/x:relative", "img"], "must be absolute"),
        (
            &["-v", "/a:/x", "--tmpfs", "/x", "img"],
            "duplicate mount point: /x",
        ),
        (&["--network", "a b", "img"], "invalid network name `a b`"),
        (
            &["--network", "none", "-p", "80", "img"],
            "`--publish` does not go",
        ),
        (&["-p", "0", "img"], "invalid published port `0`"),
        (&["--egress-allow", "a b", "img"], "invalid egress rule"),
        (&["--ulimit", "nofile=x", "img"], "invalid ulimit"),
        (&["--shm-size", "much", "img"], "much"),
        (&["--stop-signal", "NO", "img"], "invalid signal `NO`"),
        (&["-u", "99999999999", "img"], "invalid user"),
        (&["--ttl", "soon", "img"], "invalid duration `soon`"),
        (&["--add-host", "x", "img"], "invalid extra host"),
        (&["-l", "=x", "img"], "invalid label"),
        (&["-e", "=x", "img"], "invalid environment variable"),
        (&["--pull", "sometimes", "img"], "invalid value 'sometimes'"),
    ] {
        let error = spec(arguments).unwrap_err();
        assert!(error.contains(message), "{arguments:?}: {error}");
    }
}

#[test]
fn exec_takes_any_command() {
    let parse = |words: &[&str]| {
        Cli::try_parse_from(["shedbox", "exec"].iter().chain(words)).map(|cli| cli.command)
    };
    assert!(matches!(
        parse(&["-it", "box", "sh", "-c", "x", "--help"]),
        Ok(Command::Exec(_))
    ));
    assert!(matches!(
        parse(&[
            "--timeout",
            "5",
            "--grace=1s",
            "-e",
            "A=1",
            "-w",
            "/",
            "-u",
            "1",
            "box",
            "-x"
        ]),
        Ok(Command::Exec(_))
    ));
    let Ok(Command::Exec(args)) = parse(&["-i", "box", "-t", "x"]) else {
        panic!("not an exec")
    };
    assert_eq!(
        format!("{args:?}").matches("tty: false").count(),
        1,
        "what follows the sandbox is the command's"
    );
    assert!(parse(&["box"]).is_err());
    assert!(
        parse(&["--grace", "1s", "box", "x"]).is_err(),
        "a grace without a timeout"
    );
}

#[test]
fn failures_that_must_not_look_like_a_commands_own() {
    let status = |words: &[&str]| {
        Cli::try_parse_from(["shedbox"].iter().chain(words))
            .unwrap()
            .command
            .failure_status()
    };
    assert_eq!(status(&["run", "img"]), 125);
    assert_eq!(status(&["exec", "box", "x"]), 125);
    assert_eq!(status(&["start", "-a", "box"]), 125);
    assert_eq!(status(&["start", "box"]), 1);
    assert_eq!(status(&["ps"]), 1);
}

/// Every `--help`, in one file: what a change of an option changes is seen in a review.
#[test]
fn help() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = command.render_long_help().to_string();
    for sub in command.get_subcommands_mut() {
        let help = sub.render_long_help();
        text.extend(["\n==== ", sub.get_name(), "\n\n", &help.to_string()]);
    }
    insta::assert_snapshot!("help", text);
}
