//! Programs that are killed at a moment of our choice, and that must end by themselves otherwise.

use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use shedbox_linux::pidfd;

/// No command may take longer, whatever was killed under it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Lets time pass: the moment of a kill is what is tested.
#[expect(
    clippy::disallowed_methods,
    reason = "a random moment is the point; there is no event to wait for"
)]
pub(crate) fn let_pass(time: Duration) {
    std::thread::sleep(time);
}

/// A program that runs beside the test, its output kept.
pub(crate) struct Beside {
    child: Child,
    what: String,
    began: Instant,
}

impl Beside {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Self {
        let what = format!("{command:?}");
        let began = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start shedbox");
        Self { child, what, began }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        // It may have just ended.
        let _ = self.child.kill();
    }

    /// It has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("look at shedbox").is_some()
    }

    /// Waits for its end. Output must be small: nobody reads it before.
    pub(crate) fn end(self) -> Output {
        self.end_timed().0
    }

    /// The same, and how long it took.
    pub(crate) fn end_timed(mut self) -> (Output, Duration) {
        if !self.has_ended() {
            let pidfd = pidfd::open(self.child.id() as i32).expect("its pidfd");
            if !pidfd::wait(pidfd.as_fd(), Some(PATIENCE)).expect("wait for shedbox") {
                self.kill();
                panic!("{} hangs", self.what);
            }
        }
        let took = self.began.elapsed();
        let output = self.child.wait_with_output().expect("read its output");
        (output, took)
    }
}

/// A short form of how a program ended, for messages.
pub(crate) fn told(output: &Output) -> String {
    format!(
        "{}, {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', " | ")
    )
}
