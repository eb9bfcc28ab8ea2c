//! The table of commands. A case is a block:
//!
//! ```text
//! [a name, once in all files]
//! $ docker run --rm tiny false      the script: bash, one or more lines; both engines run it
//! status 1                          how it ends; without this line: 0
//! > a line of standard output       all of them, after `normal.rs`; `…` is anything on a line, a line of `…` any lines
//! ! a line of standard error
//! sizes                             sizes are normalised, too
//! sorted                            lines of both outputs are sorted
//! lane root                         only in this lane: root, ordinary
//! needs cgroup                      only where there is a cgroup of version 2 to pause and limit with
//! differs REASON                    dockerd's answer has to be another than ours
//! bug REASON                        ours has to be wrong: when it is right, the case fails so that this line is removed
//! ```
//!
//! Lines that begin with `#` are notes.

use std::path::PathBuf;

/// One block.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) script: String,
    pub(crate) wanted: Outcome,
    pub(crate) sizes: bool,
    pub(crate) sorted: bool,
    pub(crate) lane: Option<String>,
    pub(crate) needs: Option<String>,
    pub(crate) differs: Option<String>,
    pub(crate) bug: Option<String>,
}

/// What a script does, or has to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

/// Where the files are.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/docker/commands"
    ))
}

/// The cases of a topic.
pub(crate) fn read(topic: &str) -> Vec<Case> {
    let path = directory().join(format!("{topic}.txt"));
    let text = std::fs::read_to_string(&path).expect("read the table");
    parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}: {line}", number + 1);
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            if cases.iter().any(|case| case.name == name) {
                return Err(wrong("a name that is taken"));
            }
            cases.push(Case {
                name: name.to_owned(),
                ..Case::default()
            });
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let case = cases.last_mut().ok_or_else(|| wrong("before any name"))?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let reason = || match rest {
            "" => Err(wrong("no reason")),
            rest => Ok(Some(rest.to_owned())),
        };
        match word {
            "$" => {
                case.script.push_str(rest);
                case.script.push('\n');
            }
            ">" => case.wanted.stdout.push(rest.to_owned()),
            "!" => case.wanted.stderr.push(rest.to_owned()),
            "status" => {
                case.wanted.status = rest.parse().map_err(|_| wrong("not a status"))?;
            }
            "sizes" => case.sizes = true,
            "sorted" => case.sorted = true,
            "lane" => case.lane = reason()?,
            "needs" => case.needs = reason()?,
            "differs" => case.differs = reason()?,
            "bug" => case.bug = reason()?,
            _ => return Err(wrong("an unknown word")),
        }
    }
    match cases.iter().find(|case| !case.script.contains("docker")) {
        Some(case) => Err(format!("[{}] does not run docker", case.name)),
        None => Ok(cases),
    }
}

impl Outcome {
    /// In the form of the table.
    pub(crate) fn write(&self) -> String {
        let mut text = String::new();
        if self.status != 0 {
            text += &format!("status {}\n", self.status);
        }
        for (mark, lines) in [(">", &self.stdout), ("!", &self.stderr)] {
            for line in lines {
                text.push_str(format!("{mark} {line}").trim_end());
                text.push('\n');
            }
        }
        text
    }
}

#[test]
fn blocks_are_read() {
    let cases =
        parse("# x\n[a b]\n$ docker ps\n$ docker x\nstatus 3\n> \n> o\n! e\nsorted\nbug it is\n")
            .unwrap();
    assert_eq!(
        cases,
        [Case {
            name: "a b".to_owned(),
            script: "docker ps\ndocker x\n".to_owned(),
            wanted: Outcome {
                status: 3,
                stdout: vec![String::new(), "o".to_owned()],
                stderr: vec!["e".to_owned()],
            },
            sorted: true,
            bug: Some("it is".to_owned()),
            ..Case::default()
        }]
    );
    for wrong in [
        "$ docker",
        "[a]\n$ docker\n[a]\n$ docker",
        "[a]\n",
        "[a]\n$ docker\nbug",
        "[a]\n$ docker\nstatus x",
        "[a]\n$ docker\nelse",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
