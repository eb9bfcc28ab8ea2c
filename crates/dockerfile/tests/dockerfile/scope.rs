//! Which arguments are seen where.

use std::collections::BTreeMap;

use shedbox_dockerfile::Instruction;
use shedbox_dockerfile::expand::{EnvList, Lookup};
use shedbox_dockerfile::scope::{Args, Platform};
use shedbox_dockerfile::{parse, stages::Stages};

fn platform(os: &str, architecture: &str, variant: &str) -> Platform {
    Platform {
        os: os.to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
    }
}

fn args(given: &[(&str, &str)]) -> Args {
    let given = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Args::new(
        given,
        &platform("linux", "arm", "v7"),
        &platform("linux", "amd64", ""),
    )
}

/// What `$A`, `$B` and `$HTTP_PROXY` are at the end of the last stage.
fn seen(given: &[(&str, &str)], text: &str) -> String {
    let mut args = args(given);
    let mut stages = Stages::split(parse(text.as_bytes()).unwrap()).unwrap();
    stages.expand(&mut args).unwrap();
    let mut env: Vec<String> = Vec::new();
    for stage in &stages.stages {
        args.start_stage();
        env.clear();
        for located in &stage.instructions {
            let list = EnvList::new(&env);
            match located
                .instruction
                .expanded('\\', &args.for_stage(&list))
                .unwrap()
            {
                Instruction::Arg(declared) => declared
                    .into_iter()
                    .for_each(|arg| args.declare(&arg.name, arg.default).unwrap()),
                Instruction::Env(pairs) => env.extend(
                    pairs
                        .iter()
                        .map(|pair| format!("{}={}", pair.key, pair.value)),
                ),
                _ => {}
            }
        }
    }
    let list = EnvList::new(&env);
    let scope = args.for_stage(&list);
    ["A", "B", "HTTP_PROXY"]
        .map(|name| scope.lookup(name).unwrap_or("-"))
        .join(" ")
}

#[test]
fn arguments_are_seen_after_their_declaration() {
    for (given, text, expected) in [
        (&[][..], "FROM x", "- - -"),
        (&[("A", "g")], "FROM x", "- - -"),
        (&[("A", "g")], "FROM x\nARG A", "g - -"),
        (&[("A", "g")], "FROM x\nARG A=d", "g - -"),
        (&[], "FROM x\nARG A=d", "d - -"),
        (&[], "FROM x\nARG A", "- - -"),
        (&[], "FROM x\nARG A=d B=$A", "d  -"),
        (&[], "FROM x\nARG A=d\nARG B=$A", "d d -"),
        (&[], "ARG A=1\nFROM x", "- - -"),
        (&[], "ARG A=1\nFROM x\nARG A", "1 - -"),
        (&[], "ARG A=1\nFROM x\nARG A=2", "2 - -"),
        (&[("A", "g")], "ARG A=1\nFROM x\nARG A=2", "g - -"),
        (&[], "ARG A=1\nARG B=${A}2\nFROM x\nARG B", "- 12 -"),
        (&[], "FROM x\nARG A=1\nFROM y", "- - -"),
        (&[], "FROM x\nARG A=1\nFROM y\nARG A", "- - -"),
        (&[("A", "g")], "FROM x\nARG A\nENV A=e", "e - -"),
        (&[("A", "g")], "FROM x\nENV A=e\nARG A", "e - -"),
        (&[("A", "g")], "FROM x\nARG A\nENV B=$A", "g g -"),
        (&[("HTTP_PROXY", "p")], "FROM x", "- - p"),
        (&[], "FROM x\nARG A=$TARGETARCH", " - -"),
        (&[], "FROM x\nARG TARGETARCH\nARG A=$TARGETARCH", "arm - -"),
        (
            &[],
            "FROM x\nARG BUILDPLATFORM\nARG TARGETPLATFORM\nARG A=$BUILDPLATFORM B=$TARGETPLATFORM",
            "linux/amd64 linux/arm/v7 -",
        ),
        (
            &[("TARGETARCH", "mips")],
            "FROM x\nARG TARGETARCH\nARG A=$TARGETARCH",
            "mips - -",
        ),
        (
            &[],
            "ARG TARGETARCH\nFROM x\nARG TARGETARCH\nARG A=$TARGETARCH",
            "arm - -",
        ),
    ] {
        assert_eq!(seen(given, text), expected, "{text:?} {given:?}");
    }
}

#[test]
fn from_sees_global_arguments() {
    let image = |given: &[(&str, &str)], text: &str| {
        let mut args = args(given);
        let mut stages = Stages::split(parse(text.as_bytes()).unwrap()).unwrap();
        stages.expand(&mut args).map(|()| {
            let from = &stages.stages.last().unwrap().from;
            format!("{} {:?}", from.image, from.platform)
        })
    };
    for (given, text, expected) in [
        (&[][..], "ARG V=1\nFROM x:$V", "x:1 None"),
        (&[("V", "2")], "ARG V=1\nFROM x:$V", "x:2 None"),
        (&[("V", "2")], "ARG V\nFROM x:$V", "x:2 None"),
        (&[("V", "2")], "FROM x:${V:-0}", "x:0 None"),
        (
            &[],
            "FROM --platform=$BUILDPLATFORM x-$TARGETARCH",
            "x-arm Some(\"linux/amd64\")",
        ),
        (&[], "FROM --platform=$UNSET x", "x None"),
        (&[], "FROM a\nARG V=1\nFROM x:${V:-0}", "x:0 None"),
    ] {
        assert_eq!(image(given, text).unwrap(), expected, "{text:?}");
    }
    assert_eq!(
        image(&[], "FROM $V").unwrap_err().to_string(),
        "base name ($V) should not be blank"
    );
}

#[test]
fn run_gets_arguments_that_env_does_not_set() {
    let mut args = args(&[("B", "2"), ("http_proxy", "p"), ("NO_PROXY", "n")]);
    args.declare("B", None).unwrap();
    args.declare("A", Some("1".to_owned())).unwrap();
    args.declare("C", None).unwrap();
    args.declare("NO_PROXY", None).unwrap();
    let none = BTreeMap::new();
    assert_eq!(
        args.run_environment(&none),
        ["A=1", "B=2", "NO_PROXY=n", "http_proxy=p"]
    );
    assert_eq!(args.cache_environment(&none), ["A=1", "B=2", "NO_PROXY=n"]);
    let env = vec!["A=e".to_owned(), "http_proxy=e".to_owned()];
    assert_eq!(
        args.run_environment(&EnvList::new(&env)),
        ["B=2", "NO_PROXY=n"]
    );
    let command = ["/bin/sh", "-c", "x"].map(str::to_owned);
    assert_eq!(
        args.cache_command(&EnvList::new(&env), &command),
        ["|2", "B=2", "NO_PROXY=n", "/bin/sh", "-c", "x"]
    );
    args.start_stage();
    assert_eq!(args.cache_command(&none, &command), command);
}

#[test]
fn unused_arguments_are_named() {
    let mut args = args(&[("A", "1"), ("b", "2"), ("C", "3"), ("HTTPS_PROXY", "p")]);
    assert_eq!(
        args.unused_warning().unwrap(),
        "[Warning] One or more build-args [A C b] were not consumed"
    );
    args.declare("A", None).unwrap();
    args.declare_global("C", None).unwrap();
    args.start_stage();
    assert_eq!(args.unused(), ["b"]);
    let mut other = args.clone();
    other.declare("b", None).unwrap();
    args.merge_declared(&other);
    assert_eq!(args.unused_warning(), None);
}
