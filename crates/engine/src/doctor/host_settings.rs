//! Settings of the host that decide how much of the kernel's code a process without rights can reach, and what an escape
//! would gain. Source: Documentation/admin-guide/sysctl.

use super::proc_files::{kernel_version, read, sysctl};
use super::{Check, Entry, add_kernel_argument, set_sysctl};

/// A sysctl that should have at least some value.
struct Setting {
    id: &'static str,
    title: &'static str,
    name: &'static str,
    /// The least value that is as it should be.
    least: u64,
    /// What the fix sets.
    better: u64,
    /// When it is as it should be.
    good: &'static str,
    /// When it is not.
    bad: &'static str,
    /// First Linux whose absence of the switch means that there is nothing to close. On earlier ones, or where a module
    /// brings the switch, all is open without it.
    closed_without: Option<(u32, u32)>,
}

/// Every kernel that sandboxes run on has the switch if it has what it closes.
const ALWAYS: Option<(u32, u32)> = Some((0, 0));

const SETTINGS: [Setting; 5] = [
    Setting {
        id: "ptrace-scope",
        title: "Tracing of processes",
        name: "kernel.yama.ptrace_scope",
        least: 1,
        better: 1,
        good: "processes of the user cannot trace each other at will",
        bad: "whatever runs as this user outside of sandboxes can trace daemon and clients; sandboxes cannot",
        closed_without: None,
    },
    Setting {
        id: "unprivileged-bpf",
        title: "BPF for ordinary users",
        name: "kernel.unprivileged_bpf_disabled",
        least: 1,
        better: 2,
        good: "users may load no BPF programs; inside the filter refuses them too",
        bad: "users may load BPF programs; inside the filter refuses them, so only an unconfined sandbox is concerned",
        closed_without: ALWAYS,
    },
    Setting {
        id: "io-uring",
        title: "io_uring for ordinary users",
        name: "kernel.io_uring_disabled",
        least: 1,
        better: 2,
        good: "users may use no io_uring; inside the filter refuses it too",
        bad: "users may use io_uring; inside the filter refuses it, so only an unconfined sandbox is concerned",
        closed_without: Some((6, 6)),
    },
    Setting {
        id: "dmesg",
        title: "Messages of the kernel",
        name: "kernel.dmesg_restrict",
        least: 1,
        better: 1,
        good: "users cannot read them; inside the filter and a mask close them too",
        bad: "users can read them; inside the filter and a mask close them",
        closed_without: ALWAYS,
    },
    Setting {
        id: "kernel-addresses",
        title: "Addresses of the kernel",
        name: "kernel.kptr_restrict",
        least: 1,
        better: 1,
        good: "users see none; inside the files that show them are masked",
        bad: "files of /proc show them to users; inside those files are masked",
        closed_without: ALWAYS,
    },
];

pub(super) fn checks() -> Vec<Check> {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel_version(release.trim()).unwrap_or_default();
    let mut checks: Vec<Check> = SETTINGS
        .iter()
        .map(|setting| judge(setting, sysctl(setting.name), kernel))
        .collect();
    checks.push(userfaultfd(sysctl("vm.unprivileged_userfaultfd")));
    checks.push(number_of_namespaces(sysctl("user.max_user_namespaces")));
    checks.push(protected(
        &["hardlinks", "symlinks", "fifos", "regular"]
            .map(|name| (name, sysctl(&format!("fs.protected_{name}")))),
    ));
    checks.push(cores(
        &read("/proc/sys/kernel/core_pattern").unwrap_or_default(),
    ));
    checks.push(processor(&vulnerabilities()));
    checks.push(modules(
        sysctl("kernel.modules_disabled"),
        read("/proc/sys/kernel/modprobe").as_deref(),
    ));
    checks
}

fn judge(setting: &Setting, value: Option<u64>, kernel: (u32, u32)) -> Check {
    let entry = Entry {
        id: setting.id,
        title: setting.title,
    };
    match value {
        None if setting.closed_without.is_some_and(|since| kernel >= since) => entry.ok(
            format!("{} does not exist here", setting.name),
            "this kernel lacks what it would close",
        ),
        None => entry.degraded(
            format!("{} does not exist here", setting.name),
            setting.bad,
            match setting.closed_without {
                Some(_) => "sudo apt update && sudo apt full-upgrade && sudo reboot".to_owned(),
                None => add_kernel_argument("yama", "lsm=yama,$(cat /sys/kernel/security/lsm)"),
            },
        ),
        Some(value) if value >= setting.least => {
            entry.ok(format!("{} = {value}", setting.name), setting.good)
        }
        Some(value) => entry.degraded(
            format!("{} = {value}", setting.name),
            setting.bad,
            set_sysctl(&[(setting.name, setting.better)]),
        ),
    }
}

fn userfaultfd(value: Option<u64>) -> Check {
    let entry = Entry {
        id: "userfaultfd",
        title: "userfaultfd for ordinary users",
    };
    match value {
        Some(value) if value != 0 => entry.degraded(
            format!("vm.unprivileged_userfaultfd = {value}"),
            "users may hold the kernel up in the middle of a call; inside the filter refuses it",
            set_sysctl(&[("vm.unprivileged_userfaultfd", 0)]),
        ),
        Some(_) => entry.ok(
            "vm.unprivileged_userfaultfd = 0",
            "for faults of user code only; inside the filter refuses it altogether",
        ),
        None => entry.ok(
            "vm.unprivileged_userfaultfd does not exist here",
            "inside the filter refuses the call",
        ),
    }
}

fn number_of_namespaces(value: Option<u64>) -> Check {
    let entry = Entry {
        id: "user-namespace-limit",
        title: "Number of user namespaces",
    };
    let shown = value.map_or_else(
        || "user.max_user_namespaces is hidden here".to_owned(),
        |value| format!("user.max_user_namespaces = {value}"),
    );
    if value == Some(0) {
        entry.missing(
            shown,
            "no sandbox can be made: each has a user namespace of its own",
            set_sysctl(&[("user.max_user_namespaces", 16_384)]),
        )
    } else {
        entry.ok(
            shown,
            "sandboxes need them; inside none can be made but with the profile `nested`",
        )
    }
}

fn protected(values: &[(&'static str, Option<u64>)]) -> Check {
    let entry = Entry {
        id: "protected-files",
        title: "Links and FIFOs in shared directories",
    };
    let open: Vec<&str> = values
        .iter()
        .filter(|(_, value)| *value == Some(0))
        .map(|(name, _)| *name)
        .collect();
    if open.is_empty() {
        return entry.ok(
            "fs.protected_* are on",
            "other users of the host cannot lead this one astray in /tmp",
        );
    }
    let names: Vec<String> = open
        .iter()
        .map(|name| format!("fs.protected_{name}"))
        .collect();
    let settings: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    entry.degraded(
        format!("{} = 0", names.join(", ")),
        "other users of the host may lead this one astray in /tmp; shedbox itself keeps nothing there",
        set_sysctl(&settings),
    )
}

/// A program that takes cores runs on the host with root's rights.
fn cores(pattern: &str) -> Check {
    let entry = Entry {
        id: "core-pattern",
        title: "Cores of crashed programs",
    };
    let pattern = pattern.trim();
    if pattern.starts_with(['|', '@']) {
        entry.degraded(
            format!("kernel.core_pattern = {pattern}"),
            "a program of the host takes them; sandboxes make none (RLIMIT_CORE is 1), unless one asks for `--ulimit core`",
            "printf 'kernel.core_pattern = core\\n' | sudo tee -a /etc/sysctl.d/90-shedbox.conf && sudo sysctl --system"
                .to_owned(),
        )
    } else {
        entry.ok(
            format!("kernel.core_pattern = {pattern}"),
            "files, and sandboxes make none unless one asks for `--ulimit core`; then they stay inside",
        )
    }
}

/// Name and state of what the kernel knows of the processor.
fn vulnerabilities() -> Vec<(String, String)> {
    let Ok(names) = std::fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return Vec::new();
    };
    let mut found: Vec<(String, String)> = names
        .flatten()
        .filter_map(|name| {
            let state = read(name.path())?;
            Some((
                name.file_name().to_string_lossy().into_owned(),
                state.trim().to_owned(),
            ))
        })
        .collect();
    found.sort();
    found
}

fn processor(states: &[(String, String)]) -> Check {
    let entry = Entry {
        id: "cpu-vulnerabilities",
        title: "Leaks of the processor",
    };
    let open: Vec<&str> = states
        .iter()
        .filter(|(_, state)| state.starts_with("Vulnerable"))
        .map(|(name, _)| name.as_str())
        .collect();
    if states.is_empty() {
        entry.ok(
            "the kernel says nothing of them",
            "whether processes can read each other's memory through the processor is not known here",
        )
    } else if open.is_empty() {
        entry.ok(
            format!("{} known, all mitigated", states.len()),
            "processes cannot read each other's memory through the processor, as far as is known",
        )
    } else {
        entry.degraded(
            format!("open: {}", open.join(" ")),
            "code in a sandbox may read memory of others through the processor; no sandbox can close that",
            "sudo apt install intel-microcode amd64-microcode && sudo apt full-upgrade && sudo reboot"
                .to_owned(),
        )
    }
}

/// A program that opens a rare kind of socket or mounts a rare file system has its module loaded.
fn modules(disabled: Option<u64>, modprobe: Option<&str>) -> Check {
    let entry = Entry {
        id: "module-autoload",
        title: "Modules loaded on demand",
    };
    let inside = "inside the filter refuses the calls that would load one";
    match (disabled, modprobe.map(str::trim)) {
        (None, None) => entry.ok("this kernel has no modules", inside),
        (Some(1), _) => entry.ok("kernel.modules_disabled = 1", "none can be loaded any more"),
        (_, Some("")) => entry.ok("kernel.modprobe is empty", "none is loaded on demand"),
        // Distributions need it, and nothing inside reaches it: no reason to complain.
        (_, Some(program)) => entry.ok(format!("kernel.modprobe = {program}"), inside),
        (Some(_), None) => entry.ok("on", inside),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn settings() {
        for setting in &SETTINGS {
            let judge = |value| judge(setting, value, (6, 12));
            assert_eq!(judge(Some(2)).level, Level::Ok, "{}", setting.id);
            let open = judge(Some(0));
            assert_eq!(open.level, Level::Degraded, "{}", setting.id);
            assert!(open.fix.unwrap().contains(setting.name), "{}", setting.id);
        }
        let absent = |id: &str, kernel| {
            let setting = SETTINGS.iter().find(|setting| setting.id == id).unwrap();
            judge(setting, None, kernel)
        };
        assert_eq!(absent("io-uring", (6, 12)).level, Level::Ok);
        assert_eq!(absent("io-uring", (6, 1)).level, Level::Degraded);
        assert_eq!(absent("dmesg", (6, 1)).level, Level::Ok);
        assert!(
            absent("ptrace-scope", (6, 12))
                .fix
                .unwrap()
                .contains("lsm=yama")
        );
        assert_eq!(userfaultfd(Some(1)).level, Level::Degraded);
        assert_eq!(userfaultfd(Some(0)).level, Level::Ok);
        assert_eq!(number_of_namespaces(Some(0)).level, Level::Missing);
        assert_eq!(number_of_namespaces(None).level, Level::Ok);
        let open = protected(&[
            ("hardlinks", Some(1)),
            ("fifos", Some(0)),
            ("regular", None),
        ]);
        assert_eq!(open.found, "fs.protected_fifos = 0");
        assert_eq!(protected(&[("fifos", Some(2))]).level, Level::Ok);
    }

    #[test]
    fn cores_processors_modules() {
        for (pattern, level) in [
            ("|/usr/share/apport/apport %p", Level::Degraded),
            ("@/run/cores.sock\n", Level::Degraded),
            ("core\n", Level::Ok),
            ("/var/crash/%p", Level::Ok),
        ] {
            assert_eq!(cores(pattern).level, level, "{pattern}");
        }
        let states = |state: &str| vec![("l1tf".to_owned(), state.to_owned())];
        assert_eq!(processor(&states("Not affected")).level, Level::Ok);
        assert_eq!(processor(&states("Mitigation: PTI")).level, Level::Ok);
        assert_eq!(
            processor(&states("Vulnerable: no microcode")).found,
            "open: l1tf"
        );
        assert_eq!(processor(&[]).level, Level::Ok);
        assert_eq!(modules(None, None).found, "this kernel has no modules");
        assert_eq!(modules(Some(0), Some("/sbin/modprobe\n")).level, Level::Ok);
    }
}
