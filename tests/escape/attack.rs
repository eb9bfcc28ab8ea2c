//! An attack: a Python program that makes raw system calls and prints one line, `what: what came of it`, for each thing
//! it has tried. A wall that holds shows in the outcome; a program that did not run shows in the missing line.

use std::process::{Command, Output, Stdio};

use crate::support::Case;

/// What every program begins with.
const PRELUDE: &str = include_str!("attack.py");

/// A program and its arguments.
#[derive(Clone)]
pub(crate) struct Attack {
    program: String,
    arguments: Vec<String>,
}

impl Attack {
    /// From the file beside the test: `Attack::new(include_str!("chroot.py"))`.
    pub(crate) fn new(script: &str) -> Self {
        Self {
            program: format!("{PRELUDE}\n{script}"),
            arguments: Vec::new(),
        }
    }

    /// One more argument.
    pub(crate) fn with(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// As an argument vector.
    pub(crate) fn argv(&self) -> Vec<&str> {
        ["python3", "-c", &self.program]
            .into_iter()
            .chain(self.arguments.iter().map(String::as_str))
            .collect()
    }

    /// Runs it in a sandbox to its end.
    #[track_caller]
    pub(crate) fn inside(&self, case: Case) -> (Case, Seen) {
        let (case, output) = case.exec(self.argv()).output();
        (case, Seen::new(&output))
    }

    /// Starts it in a sandbox and leaves it there.
    #[track_caller]
    pub(crate) fn left_in(&self, case: Case) -> Case {
        case.with("--detach").exec(self.argv()).ok()
    }

    /// Starts it in a sandbox; the end is for [`Running::seen`].
    pub(crate) fn started_in(&self, case: &Case) -> Running {
        let arguments = ["exec", case.name()].into_iter().chain(self.argv());
        let child = case
            .get_home()
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running(child)
    }

    /// The control experiment: the same program where the wall is not, behind `wrapper` (such as `unshare -Ur`).
    #[track_caller]
    pub(crate) fn without_walls(&self, wrapper: &[&str]) -> Seen {
        let mut argv = wrapper.to_vec();
        argv.extend(self.argv());
        let output = Command::new(argv[0])
            .args(&argv[1..])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Seen::new(&output)
    }
}

/// An attack that goes on.
pub(crate) struct Running(std::process::Child);

impl Running {
    /// Waits for its end.
    #[track_caller]
    pub(crate) fn seen(self) -> Seen {
        Seen::new(&self.0.wait_with_output().unwrap())
    }
}

/// What an attack has printed.
#[derive(Debug)]
pub(crate) struct Seen(String);

impl Seen {
    #[track_caller]
    fn new(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        assert!(
            output.status.success() && !text.is_empty(),
            "the attack itself failed: {}\n{text}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Self(text)
    }

    /// The whole output is this.
    #[track_caller]
    pub(crate) fn is(&self, expected: &str) {
        let lines = |text: &str| {
            text.lines()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>()
        };
        let (seen, expected) = (lines(&self.0), lines(expected));
        let differences: Vec<String> = expected
            .iter()
            .filter(|line| !seen.contains(line))
            .map(|line| format!("expected: {line}"))
            .chain(
                seen.iter()
                    .filter(|line| !expected.contains(line))
                    .map(|line| format!("     saw: {line}")),
            )
            .collect();
        assert!(differences.is_empty(), "\n{}", differences.join("\n"));
        assert_eq!(seen, expected);
    }

    /// The whole output.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// What came of `what`.
    #[track_caller]
    pub(crate) fn outcome(&self, what: &str) -> &str {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(what)?.strip_prefix(": "))
            .unwrap_or_else(|| panic!("`{what}` was not tried:\n{}", self.0))
    }

    /// What came of `what` is one of these.
    #[track_caller]
    pub(crate) fn is_one_of(&self, what: &str, outcomes: &[&str]) {
        let outcome = self.outcome(what);
        assert!(
            outcomes.contains(&outcome),
            "{what}: {outcome}, which is none of {outcomes:?}"
        );
    }

    /// Everything that was tried, with its outcome.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once(": "))
    }
}
