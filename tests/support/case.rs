//! One sandbox as a sentence.

use std::io::Write;
use std::process::{Output, Stdio};

use super::{Home, unique};

/// A sandbox whose steps read as what is expected of it:
/// `Case::image("tiny").sh("touch /a").ok().reset().sh("test -e /a").status(1)`.
///
/// The sandbox is started by the first step, with a main process that does nothing, and removed at the end.
pub(crate) struct Case {
    home: Home,
    source: Source,
    name: String,
    options: Vec<String>,
    exec_options: Vec<String>,
    stdin: Vec<u8>,
    started: bool,
}

enum Source {
    /// An image of `scripts/test-images`.
    TestImage(String),
    /// Anything `shedbox run` takes.
    Reference(String),
    /// A directory.
    Rootfs(String),
}

impl Case {
    /// A sandbox from an image of `scripts/test-images`.
    pub(crate) fn image(name: &str) -> Self {
        Self::new(Source::TestImage(name.to_owned()))
    }

    /// A sandbox from the host's own programs.
    pub(crate) fn host() -> Self {
        Self::new(Source::Reference("host".to_owned()))
    }

    /// A sandbox from a directory.
    pub(crate) fn rootfs(dir: &str) -> Self {
        Self::new(Source::Rootfs(dir.to_owned()))
    }

    fn new(source: Source) -> Self {
        Self {
            home: Home::shared(),
            source,
            name: unique("case"),
            options: Vec::new(),
            exec_options: Vec::new(),
            stdin: Vec::new(),
            started: false,
        }
    }

    /// In a home of the caller's choice instead of the shared one. Before the first step.
    pub(crate) fn home(mut self, home: Home) -> Self {
        assert!(!self.started, "the sandbox has been started");
        self.home = home;
        self
    }

    /// An option of `shedbox run`, such as `--read-only` or `--env=A=b`. Before the first step.
    pub(crate) fn option(mut self, option: impl Into<String>) -> Self {
        assert!(!self.started, "the sandbox has been started");
        self.options.push(option.into());
        self
    }

    /// An option of `shedbox exec` for the next step, such as `--user=app`.
    pub(crate) fn with(mut self, option: impl Into<String>) -> Self {
        self.exec_options.push(option.into());
        self
    }

    /// Standard input of the next step.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The sandbox's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The home it is in.
    pub(crate) fn get_home(&self) -> &Home {
        &self.home
    }

    /// The test has removed the sandbox itself.
    pub(crate) fn has_gone(mut self) {
        self.started = false;
    }

    /// Runs a shell script inside.
    pub(crate) fn sh(self, script: &str) -> Ran {
        self.exec(["sh", "-c", script])
    }

    /// Runs a program inside.
    pub(crate) fn exec<'a>(mut self, argv: impl IntoIterator<Item = &'a str>) -> Ran {
        self.start();
        let argv: Vec<&str> = argv.into_iter().collect();
        let mut options = std::mem::take(&mut self.exec_options);
        let stdin = std::mem::take(&mut self.stdin);
        if !stdin.is_empty() {
            options.push("--interactive".to_owned());
        }
        let mut arguments: Vec<&str> = vec!["exec"];
        arguments.extend(options.iter().map(String::as_str));
        arguments.push(&self.name);
        arguments.extend(&argv);
        let mut child = self
            .home
            .command(&arguments)
            .stdin(if stdin.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start shedbox");
        if let Some(mut pipe) = child.stdin.take() {
            // A program that does not read all of it closes the pipe; that is not this side's failure. A thread,
            // because output may have to be read before the input has gone.
            std::thread::spawn(move || pipe.write_all(&stdin));
        }
        let output = child.wait_with_output().expect("wait for shedbox");
        let what = format!("exec {argv:?} in {}", self.name);
        Ran {
            case: self,
            what,
            output,
        }
    }

    /// Waits until exactly `count` processes run inside whose arguments, joined by spaces, are `command`.
    #[track_caller]
    pub(crate) fn until_running(self, command: &str, count: usize) -> Self {
        // Nothing but a shell and `tr`, which every test image has.
        let script = format!(
            "for i in $(seq 200); do n=0; for p in /proc/[0-9]*; do \
             [ \"$(tr '\\0' ' ' <$p/cmdline 2>/dev/null)\" = '{command} ' ] && n=$((n+1)); done; \
             [ $n = {count} ] && exit 0; sleep 0.05; done; echo $n run; exit 1"
        );
        self.sh(&script).ok()
    }

    /// Resets the sandbox.
    pub(crate) fn reset(mut self) -> Self {
        self.start();
        self.home.run(["reset", &self.name]);
        self
    }

    /// Another command on the sandbox, its name last: `case.command(["stop", "--time=0"])`.
    pub(crate) fn command<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        self.start();
        let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        arguments.push(self.name.clone());
        let output = self
            .home
            .command(&arguments)
            .stdin(Stdio::null())
            .output()
            .expect("run shedbox");
        let what = format!("{arguments:?}");
        Ran {
            case: self,
            what,
            output,
        }
    }

    /// Starts the sandbox if no step has done so.
    pub(crate) fn start(&mut self) {
        if self.started {
            return;
        }
        let mut arguments = vec!["run", "--detach", "--name", &self.name];
        arguments.extend(self.options.iter().map(String::as_str));
        let reference;
        match &self.source {
            Source::TestImage(name) => {
                reference = self.home.image(name);
                arguments.push(&reference);
            }
            Source::Reference(name) => arguments.push(name),
            Source::Rootfs(dir) => arguments.extend(["--rootfs", dir]),
        }
        arguments.extend(["sleep", "1000000"]);
        self.home.run(&arguments);
        self.started = true;
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if !self.started {
            return;
        }
        self.home.remove_at_end(&self.name);
    }
}

/// A step that has run; what is expected of it leads back to the case.
#[must_use = "say what is expected: ok(), status(), stdout()"]
pub(crate) struct Ran {
    case: Case,
    what: String,
    output: Output,
}

impl Ran {
    /// It succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Case {
        self.status(0)
    }

    /// It ended with this status.
    #[track_caller]
    pub(crate) fn status(self, expected: i32) -> Case {
        assert_eq!(
            self.output.status.code(),
            Some(expected),
            "status of {}\nstdout: {}\nstderr: {}",
            self.what,
            String::from_utf8_lossy(&self.output.stdout),
            String::from_utf8_lossy(&self.output.stderr)
        );
        self.case
    }

    /// It succeeded and wrote exactly this to standard output, the last newline not counted.
    #[track_caller]
    pub(crate) fn stdout(self, expected: &str) -> Case {
        let text = String::from_utf8_lossy(&self.output.stdout).into_owned();
        let what = self.what.clone();
        let case = self.ok();
        assert_eq!(
            text.strip_suffix('\n').unwrap_or(&text),
            expected,
            "standard output of {what}"
        );
        case
    }

    /// Standard error has this in it; the status is still to be said.
    #[track_caller]
    pub(crate) fn stderr(self, part: &str) -> Self {
        let text = String::from_utf8_lossy(&self.output.stderr);
        assert!(
            text.contains(part),
            "standard error of {} has no `{part}`:\n{text}",
            self.what
        );
        self
    }

    /// The raw output, for what the words above cannot say.
    pub(crate) fn output(self) -> (Case, Output) {
        (self.case, self.output)
    }
}
