//! Adopting orphans: a process that becomes the parent of whatever its descendants leave behind.

use crate::errno::{Context, Result};

/// From now on descendants of this process that lose their parent become its children instead of those of PID 1. It
/// stays in force until the process ends and is not inherited. Source: PR_SET_CHILD_SUBREAPER(2const); Linux 3.4.
pub fn adopt() -> Result<()> {
    // The pid is taken for a flag: any that is not 0 means yes.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .call("prctl", || "PR_SET_CHILD_SUBREAPER".into())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn an_orphan_comes_to_us() {
        super::adopt().unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 1000 >/dev/null & echo $!"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        shell.wait().unwrap();
        let pid: i32 = line.trim().parse().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let parent = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .nth(1)
            .unwrap();
        crate::process::signal(pid, 9).unwrap();
        assert_eq!(parent, std::process::id().to_string());
    }
}
