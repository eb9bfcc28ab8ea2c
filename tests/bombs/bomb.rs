//! One bomb as a sentence.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::ground::Ground;
use crate::support::{patience, wait::pause};

/// What goes off, where, and how it is expected to end.
pub(crate) struct Bomb {
    script: String,
    options: Vec<&'static str>,
    limit: Duration,
    status: Vec<i32>,
    says: Option<&'static str>,
    explains: Option<&'static str>,
    repeat: bool,
    factor: u32,
}

impl Bomb {
    /// A Python program, which prints how far it got.
    pub(crate) fn python(script: &str) -> Self {
        Self {
            script: script.to_owned(),
            options: Vec::new(),
            limit: Duration::from_secs(20),
            status: vec![0],
            says: None,
            explains: None,
            repeat: true,
            factor: 2,
        }
    }

    /// An option of `shedbox run`.
    pub(crate) fn option(mut self, option: &'static str) -> Self {
        self.options.push(option);
        self
    }

    /// It does not end by itself: after this time (twice that in a guest, where it only starts later) it is ended, with
    /// status 124.
    pub(crate) fn ended_after(mut self, limit: Duration) -> Self {
        self.limit = if patience(limit) > limit {
            limit / 5
        } else {
            limit
        };
        self.status = vec![124];
        self
    }

    /// It may take this long (ten times that in a guest) to end by itself.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// It ends with one of these statuses instead of 0.
    pub(crate) fn status(mut self, status: &[i32]) -> Self {
        self.status = status.to_vec();
        self
    }

    /// Its output ends with this line, which shows that it went off.
    pub(crate) fn says(mut self, line: &'static str) -> Self {
        self.says = Some(line);
        self
    }

    /// The client says this on standard error: the cause.
    pub(crate) fn explained(mut self, cause: &'static str) -> Self {
        self.explains = Some(cause);
        self
    }

    /// It takes long: it goes off once, and the reset alone is timed.
    pub(crate) fn once(mut self) -> Self {
        self.repeat = false;
        self
    }

    /// It still holds so much when it is reset that taking it apart is work for the kernel: this many times the usual
    /// time instead of twice.
    pub(crate) fn taken_apart_within(mut self, factor: u32) -> Self {
        self.factor = factor;
        self
    }

    /// Lets it go off, and looks at everything afterwards.
    pub(crate) fn go_off(self) {
        let ground = Ground::new();
        let options: Vec<&str> = self.options.clone();
        let mut slow = Vec::new();
        // Twice the usual time is little on a machine that others use too: of three times, one has to be right.
        for _ in 0..3 {
            ground.start(&options);
            self.explode(&ground);
            ground.answers_as_before();
            let reset = ground.reset();
            Self::check_clean(&ground);
            if self.repeat {
                self.explode(&ground);
            }
            let remove = ground.remove();
            ground.nothing_is_left();
            ground.answers_as_before();
            match Ground::in_time(reset, remove, self.factor) {
                Ok(()) => return,
                Err(reason) => slow.push(reason),
            }
        }
        panic!(
            "not once within {} times the usual time: {slow:#?}",
            self.factor
        );
    }

    /// The next generation answers, and has nothing of what went off.
    fn check_clean(ground: &Ground) {
        let left = ground.home().run([
            "exec",
            "victim",
            "sh",
            "-c",
            "ls -A /bomb /tmp /dev/shm 2>/dev/null; true",
        ]);
        let left: Vec<&str> = left.lines().filter(|line| line.contains("bomb-")).collect();
        assert!(left.is_empty(), "the next generation has {left:?}");
    }

    fn explode(&self, ground: &Ground) {
        let timeout = format!("--timeout={}ms", patience(self.limit).as_millis());
        let mut child = ground
            .home()
            .command(["exec", &timeout, "--grace=100ms", "victim", "python3", "-c"])
            .arg(&self.script)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start shedbox");
        let output = collect(child.stdout.take());
        let errors = collect(child.stderr.take());
        let mut looks = Vec::new();
        let status = loop {
            if let Some(status) = child.try_wait().expect("wait for shedbox") {
                break status;
            }
            ground.look(&mut looks);
            pause();
        };
        let output = output.join().expect("read the output");
        let errors = errors.join().expect("read the errors");
        println!("{status}: {output}{errors}");
        Ground::answered_under_fire(&looks);
        assert!(
            status
                .code()
                .is_some_and(|code| self.status.contains(&code)),
            "{status}, expected {:?}\n{output}\n{errors}",
            self.status
        );
        if let Some(line) = self.says {
            assert!(
                output
                    .lines()
                    .next_back()
                    .is_some_and(|last| last.starts_with(line)),
                "it said\n{output}\n{errors}"
            );
        }
        if let Some(cause) = self.explains {
            assert!(errors.contains(cause), "no `{cause}` in:\n{errors}");
        }
    }
}

/// Reads everything, but keeps only the end.
fn collect(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    let mut stream = stream.expect("piped");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut chunk = vec![0; 1 << 16];
        while let Ok(count @ 1..) = stream.read(&mut chunk) {
            kept.extend_from_slice(&chunk[..count]);
            let excess = kept.len().saturating_sub(1 << 16);
            kept.drain(..excess);
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}

/// Ends a child that is still there.
pub(crate) fn end(mut child: Child) {
    child.kill().expect("kill");
    child.wait().expect("wait");
}
