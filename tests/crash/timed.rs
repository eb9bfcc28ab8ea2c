//! Programs that are killed at a moment of our choice, and that must end by themselves otherwise.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::wait::pause;

/// No command may take longer, whatever was killed under it.
const PATIENCE: Duration = Duration::from_secs(60);

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
}

impl Beside {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Self {
        let what = format!("{command:?}");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start shedbox");
        Self { child, what }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        // It may have just ended.
        let _ = self.child.kill();
    }

    /// Waits for its end. Output must be small: nobody reads it before.
    pub(crate) fn end(mut self) -> Output {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("wait for shedbox").is_none() {
            if Instant::now() > deadline {
                self.kill();
                panic!("{} hangs", self.what);
            }
            pause();
        }
        self.child.wait_with_output().expect("read its output")
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
