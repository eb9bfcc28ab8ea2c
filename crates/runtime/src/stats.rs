//! Use of resources, read from the sandbox's own /proc. Source: proc_pid_stat(5).

use std::os::fd::OwnedFd;

use shedbox_linux::inroot::read_small;
use shedbox_spec::control::{ProcessStats, Stats};

use crate::tree;

/// Microseconds in a clock tick: USER_HZ is 100 on every Linux that shedbox runs on.
const TICK_US: u64 = 10_000;
/// Bytes of a page.
const PAGE: u64 = 4096;
/// Most of a command line that is shown, in bytes.
const COMMAND_MAX: usize = 4096;

/// All processes of this pid namespace but init. One that ends meanwhile is left out.
pub(crate) fn read(proc: &OwnedFd) -> Stats {
    let up_us = read_small(proc, "uptime", 4096)
        .ok()
        .flatten()
        .and_then(|bytes| uptime(&String::from_utf8_lossy(&bytes)))
        .unwrap_or(0);
    let processes: Vec<ProcessStats> = tree::pids(proc)
        .into_iter()
        .filter_map(|pid| process(proc, pid, up_us))
        .collect();
    Stats {
        cpu_us: processes.iter().map(|process| process.cpu_us).sum(),
        rss: processes.iter().map(|process| process.rss).sum(),
        processes,
    }
}

/// Microseconds since the boot. Source: proc_uptime(5).
fn uptime(text: &str) -> Option<u64> {
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some((seconds * 1e6) as u64)
}

fn process(proc: &OwnedFd, pid: i32, up_us: u64) -> Option<ProcessStats> {
    let text = |name: &str| {
        let bytes = read_small(proc, &format!("{pid}/{name}"), 8 << 20).ok()??;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let status = text("status")?;
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()?;
    parse(
        pid,
        uid,
        up_us,
        &text("stat")?,
        &text("cmdline").unwrap_or_default(),
    )
}

/// From the contents of `stat` and `cmdline`.
fn parse(pid: i32, uid: u32, up_us: u64, stat: &str, cmdline: &str) -> Option<ProcessStats> {
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let signed = |index: usize| fields.get(index)?.parse::<i32>().ok();
    let mut command = cmdline.trim_end_matches('\0').replace('\0', " ");
    if command.is_empty() {
        command = format!("[{name}]");
    }
    if command.len() > COMMAND_MAX {
        let end = (0..=COMMAND_MAX)
            .rev()
            .find(|end| command.is_char_boundary(*end))
            .unwrap_or(0);
        command.truncate(end);
    }
    Some(ProcessStats {
        pid,
        ppid: signed(1)?,
        state: fields.first()?.chars().next()?,
        uid,
        cpu_us: (number(11)? + number(12)?) * TICK_US,
        rss: number(21)? * PAGE,
        command,
        name: name.to_owned(),
        vsize: number(20)?,
        age_us: up_us.saturating_sub(number(19)? * TICK_US),
        tty: signed(4)? as u32,
        group: signed(2)?,
        session: signed(3)?,
        foreground: signed(5)?,
        nice: signed(16)?,
        threads: signed(17)? as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 90 0 0 0 12 3 0 0 20 0 1 0 99 1000000 25 18446744073709551615";
        let up_us = uptime("3.50 12.00\n").unwrap();
        let found = parse(7, 33, up_us, stat, "sleep\x0060\0").unwrap();
        let expected = ProcessStats {
            pid: 7,
            ppid: 1,
            state: 'S',
            uid: 33,
            cpu_us: 150_000,
            rss: 102_400,
            command: "sleep 60".into(),
            name: "a) b".into(),
            vsize: 1_000_000,
            age_us: 2_510_000,
            tty: 0,
            group: 7,
            session: 7,
            foreground: -1,
            nice: 0,
            threads: 1,
        };
        assert_eq!(found, expected);
        assert_eq!(parse(7, 33, up_us, stat, "").unwrap().command, "[a) b]");
    }
}
