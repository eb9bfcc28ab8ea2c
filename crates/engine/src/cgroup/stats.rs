//! What a group has used, and how long its processes had to wait.

use std::path::Path;

use shedbox_spec::api::{MemoryUse, PressureReport, SandboxStats, Throttling};
use shedbox_spec::control::Stats;

use super::group::Group;
use super::read::{io, keyed, number, pressure};

/// From the files of a group. What this kernel does not count is absent.
pub(super) fn of_group(group: &Group) -> SandboxStats {
    from(|file| group.read(file))
}

fn from(read: impl Fn(&str) -> Option<String>) -> SandboxStats {
    let text = |file: &str| read(file).unwrap_or_default();
    let cpu = text("cpu.stat");
    let memory = text("memory.stat");
    let one = |file: &str| number(&text(file));
    SandboxStats {
        from_cgroup: true,
        cpu_us: keyed(&cpu, "usage_usec").unwrap_or(0),
        user_us: keyed(&cpu, "user_usec"),
        system_us: keyed(&cpu, "system_usec"),
        throttling: keyed(&cpu, "nr_periods").map(|periods| Throttling {
            periods,
            throttled: keyed(&cpu, "nr_throttled").unwrap_or(0),
            throttled_us: keyed(&cpu, "throttled_usec").unwrap_or(0),
        }),
        memory: one("memory.current").unwrap_or(0),
        memory_detail: read("memory.current").map(|_| MemoryUse {
            peak: one("memory.peak"),
            limit: one("memory.max"),
            swap: one("memory.swap.current"),
            anon: keyed(&memory, "anon").unwrap_or(0),
            file: keyed(&memory, "file").unwrap_or(0),
            oom_kills: keyed(&text("memory.events"), "oom_kill").unwrap_or(0),
        }),
        pids: one("pids.current").unwrap_or(0),
        pids_peak: one("pids.peak"),
        pids_limit: one("pids.max"),
        io: io(&text("io.stat")),
        pressure: pressures(read),
    }
}

/// From the pressure files of a group.
pub(super) fn pressures(read: impl Fn(&str) -> Option<String>) -> PressureReport {
    let one = |file: &str| pressure(&read(file)?);
    PressureReport {
        cpu: one("cpu.pressure"),
        memory: one("memory.pressure"),
        io: one("io.pressure"),
    }
}

/// The host's own.
pub(super) fn of_host(directory: &Path) -> PressureReport {
    pressures(|file| {
        let name = file.strip_suffix(".pressure")?;
        std::fs::read_to_string(directory.join(name)).ok()
    })
}

/// From what init sees, where there is no group: sums over the processes that live now.
pub(super) fn of_processes(stats: &Stats) -> SandboxStats {
    SandboxStats {
        cpu_us: stats.cpu_us,
        memory: stats.rss,
        pids: stats.processes.len() as u64,
        ..SandboxStats::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_with_and_without_controllers() {
        let files = |file: &str| {
            let text = match file {
                "cpu.stat" => {
                    "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 2\nthrottled_usec 7\n"
                }
                "memory.current" => "8192\n",
                "memory.max" => "max\n",
                "memory.stat" => "anon 4096\nfile 1024\nfile_mapped 5\n",
                "memory.events" => "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
                "pids.current" => "3\n",
                "pids.max" => "2048\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let stats = from(files);
        assert_eq!((stats.cpu_us, stats.user_us), (30, Some(20)));
        assert_eq!(stats.throttling.unwrap().throttled_us, 7);
        let memory = stats.memory_detail.unwrap();
        assert_eq!(
            (
                memory.peak,
                memory.limit,
                memory.anon,
                memory.file,
                memory.oom_kills
            ),
            (None, None, 4096, 1024, 1)
        );
        assert_eq!(
            (stats.pids, stats.pids_limit, stats.pids_peak),
            (3, Some(2048), None)
        );
        assert_eq!(stats.pressure, PressureReport::default());
        let bare = from(|file| (file == "cpu.stat").then(|| "usage_usec 1\n".to_owned()));
        assert_eq!(
            (bare.cpu_us, bare.memory_detail, bare.throttling),
            (1, None, None)
        );
    }
}
