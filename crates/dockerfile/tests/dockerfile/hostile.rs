//! Files from strangers: no panic, no hang, no flood.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use shedbox_dockerfile::config::{ImageConfig, StageConfig, changes};
use shedbox_dockerfile::expand::{expand_text, expand_word, expand_words};
use shedbox_dockerfile::glob::Glob;
use shedbox_dockerfile::ignore::Ignore;
use shedbox_dockerfile::scope::Args;
use shedbox_dockerfile::stages::Stages;
use shedbox_dockerfile::{Instruction, Mount, parse};

const MIB: usize = 1 << 20;

/// Everything that can be done with a file without a daemon; stops where a build would.
fn use_all(text: &[u8]) -> Option<()> {
    let file = parse(text).ok()?;
    let escape = file.directives.escape;
    let mut stages = Stages::split(file).ok()?;
    let mut args = Args::default();
    stages.expand(&mut args).ok()?;
    let target = stages.target(None).ok()?;
    stages.needed(target).ok()?;
    for stage in &stages.stages {
        let mut config = StageConfig::new(ImageConfig::default());
        args.start_stage();
        for located in &stage.instructions {
            let instruction = located
                .instruction
                .expanded(escape, &args.for_stage(&config))
                .ok()?;
            config.apply(&instruction).ok()?;
            match instruction {
                Instruction::Arg(list) => {
                    list.into_iter()
                        .try_for_each(|arg| args.declare(&arg.name, arg.default))
                        .ok()?;
                }
                Instruction::Run(run) => {
                    let _ = run.script();
                    run.mounts(escape, &args.for_stage(&config)).ok()?;
                }
                _ => {}
            }
        }
    }
    Some(())
}

/// A megabyte of repetitions, or of what they are the middle of.
fn long(start: &str, middle: &str, end: &str) -> String {
    format!("{start}{}{end}", middle.repeat(MIB / middle.len()))
}

#[test]
fn a_megabyte_takes_no_time() {
    let many = |line: &str| long("FROM a\n", line, "");
    for text in [
        long("FROM a\nRUN ", "x", ""),
        long("FROM a\nRUN ", "x ", ""),
        long("FROM a\nENV ", "a=b ", ""),
        long("FROM a\nENV ", "a=$b ", ""),
        long("FROM a\nENV x=", "${a:-", ""),
        long("FROM a\nENV x=", "\\", ""),
        long("FROM a\nENV x=", "'\"", ""),
        long(
            "FROM a\nENV v=",
            "a",
            "\nENV x=${v//a*b/} ${v#*b*c} y=${v%%a*?b}",
        ),
        many("ARG a=x$a$a b=$a\n"),
        many("FROM a AS b\nFROM b AS a\n"),
        long("FROM a\nENV v=0123456789\nENV x=", "${v//?*/$v}", ""),
        long("FROM a\nEXPOSE ", "1-65535 ", ""),
        long("FROM a\nEXPOSE ", "1 ", ""),
        long("FROM a\nCOPY ", "<<A ", "/x\nA"),
        long("FROM a\nCOPY ", "a ", ""),
        long("FROM a\nCOPY [\"a\"", ",\"a\"", "]"),
        long("FROM a\nRUN ", "[", ""),
        long("FROM a\nRUN [\"", "\\u0000", "\"]"),
        long("FROM a\nRUN ", "--mount=target=/a ", "x"),
        long("FROM a\nRUN --mount=", "\"a\",", "x"),
        long("FROM a\n", "ONBUILD ", "RUN x"),
        long("FROM a\nRUN x", "\\\n", ""),
        long("FROM a\nRUN x\\\n", "#\n", ""),
        long("FROM a\nRUN x\\\n", "\n", ""),
        long("# ", "=", "\nFROM a"),
        many("ENV a=$a$a b=$a\n"),
        many("ENV a=$a$b\n"),
        many("FROM a AS b\n"),
        many("FROM a AS b\nCOPY --from=b a b\n"),
        many("RUN <<E\nE\n"),
        (0..60_000).fold(
            String::from("ARG v1=aaaaaaa\nFROM a\nARG v1\n"),
            |text, number| text + &format!("ARG v{number}=$v1$v1\n"),
        ),
        (0..60_000).fold(String::from("FROM a\n"), |text, number| {
            text + &format!("ENV v{number}=$v1\n")
        }),
    ] {
        let start = Instant::now();
        use_all(text.as_bytes());
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?} took {:?}",
            &text[..40],
            start.elapsed()
        );
    }
}

#[test]
fn doubling_ends() {
    let mut text = String::from("FROM a\nENV a=0123456789\n");
    for _ in 0..60 {
        text += "ENV a=$a$a$a$a\n";
    }
    let mut stage = StageConfig::default();
    let mut failed = false;
    for located in parse(text.as_bytes()).unwrap().instructions {
        match located.instruction.expanded('\\', &stage) {
            Ok(instruction) => failed |= stage.apply(&instruction).is_err(),
            Err(_) => failed = true,
        }
    }
    assert!(failed);
}

#[test]
fn work_is_bounded_for_the_instruction_not_the_word() {
    let variables = BTreeMap::from([("v".to_owned(), "a".repeat(100_000))]);
    let pairs = " x=${v##*aaaaaaaaa}".repeat(10_000);
    let file = parse(format!("FROM a\nENV{pairs}").as_bytes()).unwrap();
    let error = file.instructions[1]
        .instruction
        .expanded('\\', &variables)
        .unwrap_err();
    assert!(error.to_string().contains("too much work"), "{error}");
    let pairs = " x=$v".repeat(100_000);
    let file = parse(format!("FROM a\nENV{pairs}").as_bytes()).unwrap();
    let error = file.instructions[1]
        .instruction
        .expanded('\\', &variables)
        .unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[test]
fn patterns_do_not_explode() {
    let start = Instant::now();
    let name = "a".repeat(5_000);
    assert!(
        !Glob::new(&"a*".repeat(500))
            .unwrap()
            .matches(&format!("{name}/b"))
    );
    let ignore = Ignore::parse(&format!("{}b", "**/a*".repeat(500))).unwrap();
    assert!(!ignore.excludes(&"a/".repeat(5_000)));
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

fn dockerfile_like() -> impl Strategy<Value = String> {
    let words = proptest::sample::select(vec![
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "ARG",
        "LABEL",
        "EXPOSE",
        "HEALTHCHECK",
        "CMD",
        "ONBUILD",
        "VOLUME",
        "SHELL",
        "ADD",
        "WORKDIR",
        "AS",
        "a",
        "b=c",
        "=",
        "$a",
        "${a:-",
        "${a#*}",
        "${a//x/y}",
        "}",
        "'",
        "\"",
        "\\",
        "\\\n",
        "\n",
        "\r\n",
        " ",
        "\t",
        "<<E",
        "<<-'E'",
        "\nE\n",
        "--from=a",
        "--mount=type=cache,",
        "--interval=1s",
        "[",
        "]",
        ",",
        "[\"a\", \"b\"]",
        "#",
        "# escape=`\n",
        "`",
        "80-90/udp",
        "\u{feff}",
        "\u{e4}",
        "NONE",
        "--",
    ]);
    proptest::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        use_all(&bytes);
        let mut file = b"FROM a\n".to_vec();
        file.extend(bytes);
        use_all(&file);
    }

    #[test]
    fn likely_words_do_not_panic(text in dockerfile_like()) {
        use_all(text.as_bytes());
        use_all(format!("FROM a\n{text}").as_bytes());
        let _ = changes(ImageConfig::default(), std::slice::from_ref(&text));
        let _ = Mount::parse(&text);
    }

    #[test]
    fn random_words_do_not_panic(word in "[a$\\{}:#%/?*+'\"\\\\ -]{0,40}") {
        let variables = BTreeMap::from([("a".to_owned(), "a b/a".to_owned())]);
        let _ = (expand_word(&word, '\\', &variables), expand_words(&word, '`', &variables), expand_text(&word, &variables));
    }

    #[test]
    fn random_patterns_do_not_panic(pattern in "[a!*?\\[\\]^\\\\/.\n-]{0,30}", path in "[ab/]{0,20}") {
        if let Ok(ignore) = Ignore::parse(&pattern) {
            // Whatever is sent below a directory, the directory is looked into.
            if !ignore.excludes(&path) && let Some((parent, _)) = path.trim_matches('/').rsplit_once('/') {
                prop_assert!(ignore.could_include_below(parent), "{:?} {:?}", pattern, path);
            }
        }
        let _ = Glob::new(&pattern).map(|glob| glob.matches(&path));
    }
}
