//! How much there may be of processes, open files and watches.

use shedbox_linux::process;

use super::proc_files::{shown, sysctl};
use super::{Check, Entry, set_sysctl};

/// RLIMIT_NPROC and RLIMIT_NOFILE. Source: `asm-generic/resource.h`.
const NPROC: u32 = 6;
const NOFILE: u32 = 7;

pub(super) fn checks() -> Vec<Check> {
    let hard = |resource| process::limit_of(0, resource).map(|(_, hard)| hard).ok();
    vec![
        pids(sysctl("kernel.pid_max")),
        own_processes(hard(NPROC)),
        open_files(hard(NOFILE), sysctl("fs.nr_open")),
        inotify(
            sysctl("fs.inotify.max_user_instances"),
            sysctl("fs.inotify.max_user_watches"),
        ),
    ]
}

fn pids(most: Option<u64>) -> Check {
    let entry = Entry {
        id: "pid-max",
        title: "Process ids",
    };
    let Some(most) = most else {
        return entry.ok(
            "kernel.pid_max is hidden here",
            "the limit is that of the surroundings",
        );
    };
    let found = format!("kernel.pid_max = {most}");
    if most < 32_768 {
        let means = "sandboxes share these ids with everything else: fork fails with EAGAIN when none is left";
        entry.degraded(found, means, set_sysctl(&[("kernel.pid_max", 4_194_304)]))
    } else {
        entry.ok(found, "enough for a thousand sandboxes")
    }
}

fn own_processes(hard: Option<u64>) -> Check {
    let entry = Entry {
        id: "processes",
        title: "Processes of this user",
    };
    let Some(hard) = hard else {
        return entry.ok("the limit is hidden here", "it is that of the surroundings");
    };
    let found = format!("{} (ulimit -Hu)", shown(hard));
    if hard < 4096 {
        entry.degraded(
            found,
            "all sandboxes of this user share them: fork fails with EAGAIN when none is left",
            "printf '* hard nproc 65536\\n* soft nproc 65536\\n' | sudo tee -a /etc/security/limits.d/90-shedbox.conf  # then log in again"
                .to_owned(),
        )
    } else {
        entry.ok(found, "enough for a thousand sandboxes")
    }
}

fn open_files(hard: Option<u64>, most: Option<u64>) -> Check {
    let entry = Entry {
        id: "open-files",
        title: "Open files",
    };
    let Some(hard) = hard else {
        return entry.ok("the limit is hidden here", "it is that of the surroundings");
    };
    let found = format!("{} (ulimit -Hn)", shown(hard));
    let fix = || {
        let raise = most.unwrap_or(1_048_576).min(1_048_576);
        format!(
            "printf '* hard nofile {raise}\\n' | sudo tee -a /etc/security/limits.d/90-shedbox.conf  # then log in again"
        )
    };
    match hard {
        0..256 => entry.missing(found, "the daemon cannot serve even a few sandboxes", fix()),
        256..16_384 => entry.degraded(
            found,
            format!(
                "about {} sandboxes at once: the daemon keeps a few files open for each",
                hard / 8
            ),
            fix(),
        ),
        _ => entry.ok(found, "enough for a thousand sandboxes"),
    }
}

fn inotify(instances: Option<u64>, watches: Option<u64>) -> Check {
    let entry = Entry {
        id: "inotify",
        title: "Watches for changes",
    };
    let (Some(instances), Some(watches)) = (instances, watches) else {
        return entry.ok(
            "the limits are hidden here",
            "they are those of the surroundings",
        );
    };
    let found = format!("{instances} instances, {watches} watches");
    if instances < 128 || watches < 8192 {
        entry.degraded(
            found,
            "all sandboxes of this user share them: programs that watch files fail inside, and `logs -f` falls back to polling",
            set_sysctl(&[("fs.inotify.max_user_instances", 1024), ("fs.inotify.max_user_watches", 524_288)]),
        )
    } else {
        entry.ok(found, "enough for programs that watch files")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn levels() {
        assert_eq!(pids(Some(32_768)).level, Level::Ok);
        assert_eq!(pids(Some(10_000)).level, Level::Degraded);
        assert_eq!(pids(None).level, Level::Ok);
        assert_eq!(
            own_processes(Some(u64::MAX)).found,
            "unlimited (ulimit -Hu)"
        );
        assert_eq!(own_processes(Some(1024)).level, Level::Degraded);
        assert_eq!(open_files(Some(1_048_576), None).level, Level::Ok);
        let few = open_files(Some(1024), Some(500_000));
        assert_eq!(
            (few.level, few.fix.unwrap().contains("hard nofile 500000")),
            (Level::Degraded, true)
        );
        assert_eq!(open_files(Some(100), None).level, Level::Missing);
        assert_eq!(inotify(Some(128), Some(65_536)).level, Level::Ok);
        assert_eq!(inotify(Some(64), Some(65_536)).level, Level::Degraded);
        assert_eq!(inotify(None, None).level, Level::Ok);
    }
}
