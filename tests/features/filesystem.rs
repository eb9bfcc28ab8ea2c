//! Mounts: what they show of the host, and what can be done to it through them.

use crate::require;
use crate::support::{Case, Home, scratch};

/// What may not be seen of a path: every part of it that is not everybody's.
fn telling(path: &std::path::Path) -> Vec<String> {
    path.iter()
        .filter_map(|part| part.to_str())
        .filter(|part| !part.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|part| !["/", "tmp", "var", "run", "user", "home", "root"].contains(part))
        .map(str::to_owned)
        .collect()
}

#[test]
fn mounts_name_no_path_of_the_host() {
    require!(userns, image "manylayers");
    let home = Home::new();
    let project = scratch();
    std::fs::write(project.path().join("file"), "theirs").unwrap();
    let words: Vec<String> = telling(&home.root())
        .into_iter()
        .chain(telling(home.runtime()))
        .chain([
            "sandboxes".into(),
            "layers".into(),
            "sha256".into(),
            "upper/".into(),
        ])
        .collect();
    let volume = format!("--volume={}:/work:cow", project.path().display());
    let case = Case::image("manylayers")
        .home(home)
        .option(volume)
        .sh("echo ours >/work/file; cat /work/file")
        .stdout("ours");
    let (case, output) = case
        .sh("cat /proc/self/mountinfo /proc/self/mounts /proc/1/mountinfo; cat /proc/self/mountstats 2>/dev/null; true")
        .output();
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains(" - overlay "), "{text}");
    for line in text.lines() {
        for word in &words {
            assert!(!line.contains(word.as_str()), "`{word}` in {line}");
        }
        // The directory was named by the spec; even so its path is nobody's business inside.
        assert!(
            !line.contains(project.path().to_str().expect("UTF-8")),
            "{line}"
        );
    }
    assert_eq!(
        std::fs::read_to_string(project.path().join("file")).unwrap(),
        "theirs"
    );
    // Every generation is mounted the same way.
    case.reset()
        .sh("grep -c 'overlay.*[/]store[/]' /proc/self/mountinfo; cat /work/file")
        .stdout("0\ntheirs");
}

#[test]
fn kernel_files_show_nothing() {
    require!(userns);
    // Hidden, closed to everybody inside, or not there.
    let script = shedbox_client::spec::security::MASKED_PATHS
        .iter()
        .map(|path| {
            format!(
                "if [ -d {path} ]; then ls -A {path}; else head -c 64 {path} 2>/dev/null | head -c 64; fi; \
                 [ -w {path} ] && echo {path} can be written;\n"
            )
        })
        .collect::<String>();
    Case::host()
        .sh(&format!("{script} true"))
        .stdout("")
        // As root nothing is in the way but the masks.
        .sh("test ! -s /proc/keys && : </proc/keys && ls -A /proc/acpi /proc/irq && ! mkdir /proc/irq/x 2>/dev/null")
        .stdout("/proc/acpi:\n\n/proc/irq:");
}

#[test]
fn programs_find_what_they_need() {
    require!(userns);
    Case::host()
        .sh("nproc; for file in cpuinfo meminfo self/maps loadavg stat filesystems mounts version uptime; do \
             head -c 1 /proc/$file | grep -q . || echo $file is empty; done; cat /proc/sys/kernel/ostype /sys/class/net/lo/mtu && \
             ls /sys/kernel /sys/kernel/mm && ls -A /sys/firmware /sys/block /sys/module /sys/dev && \
             test -e /sys/devices/system/cpu/online && lscpu >/dev/null && echo found")
        .stdout(&format!(
            "{}\nLinux\n65536\n/sys/kernel:\nmm\n\n/sys/kernel/mm:\ntransparent_hugepage\n/sys/block:\n\n/sys/dev:\n\n/sys/firmware:\n\n/sys/module:\nfound",
            std::thread::available_parallelism().unwrap()
        ));
}

#[test]
fn settings_of_the_kernel_cannot_be_changed() {
    require!(userns);
    Case::host()
        .sh("for path in /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /proc/sys/net/ipv4/ip_unprivileged_port_start \
             /sys/kernel/mm/transparent_hugepage/enabled /sys/class/net/lo/mtu /proc/sysrq-trigger; do \
             [ -e $path ] && sh -c \"echo 1 >$path\" 2>/dev/null && echo $path written; done; \
             mkdir /sys/x /proc/x 2>/dev/null || echo refused")
        .stdout("refused");
}

#[test]
fn the_hosts_interfaces_are_not_listed() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .option("--network=host")
        .sh("ls -A /sys/class /sys/class/net/ /sys/fs /sys/kernel; nproc >/dev/null && echo counted")
        .stdout("/sys/class:\nnet\n\n/sys/class/net/:\n\n/sys/fs:\ncgroup\n\n/sys/kernel:\nmm\ncounted");
    Case::image("tiny").sh("ls /sys/class/net/").stdout("lo");
}

/// Target and the options that its mount must have.
const FLAGS: &[(&str, &str)] = &[
    ("/", "nosuid nodev"),
    ("/dev", "nosuid nodev noexec"),
    ("/dev/null", "ro nosuid noexec"),
    ("/dev/zero", "ro nosuid noexec"),
    ("/dev/tty", "ro nosuid noexec"),
    ("/dev/pts", "nosuid noexec"),
    ("/dev/shm", "nosuid nodev noexec"),
    ("/dev/mqueue", "nosuid nodev noexec"),
    ("/dev/.shedbox", "ro nosuid nodev noexec"),
    ("/proc", "nosuid nodev noexec"),
    ("/proc/sys", "ro nosuid nodev noexec"),
    ("/proc/cmdline", "ro nosuid nodev noexec"),
    ("/sys", "ro nosuid nodev noexec"),
    ("/sys/devices/system/cpu", "ro nosuid nodev noexec"),
    ("/etc/hosts", "nosuid nodev noexec"),
    ("/rw", "nosuid nodev"),
    ("/ro", "ro nosuid nodev"),
    ("/cow", "nosuid nodev"),
    ("/mem", "nosuid nodev noexec"),
];

#[test]
fn mounts_have_the_flags_that_break_nothing() {
    require!(userns, image "tiny");
    let dir = scratch();
    let at = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path.display().to_string()
    };
    let (_case, output) = Case::image("tiny")
        .option(format!("--volume={}:/rw", at("rw")))
        .option(format!("--volume={}:/ro:ro", at("ro")))
        .option(format!("--volume={}:/cow:cow", at("cow")))
        .option("--tmpfs=/mem")
        .sh("cat /proc/self/mountinfo")
        .output();
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mounts = shedbox_client::spec::features::mounts(&text);
    for (target, flags) in FLAGS {
        let mount = mounts
            .iter()
            .find(|mount| mount.target == *target)
            .unwrap_or_else(|| panic!("{target} is not mounted:\n{text}"));
        for flag in flags.split(' ') {
            assert!(
                mount.has(flag),
                "{target} lacks {flag}: {:?}",
                mount.options
            );
        }
    }
}

#[test]
fn devices_of_the_host_are_used_and_not_changed() {
    require!(userns);
    let mode = || {
        use std::os::unix::fs::MetadataExt;
        let data = std::fs::metadata("/dev/null").unwrap();
        (data.mode(), data.uid(), data.gid(), data.mtime())
    };
    let before = mode();
    // Root of the sandbox is root of the host where root has made it. (chown succeeds where there is one id only, and does
    // nothing.)
    Case::host()
        .sh("chown 1:1 /dev/null 2>/dev/null; for act in 'chmod 600' 'touch -d 2001-01-01' 'setfattr -n user.x -v y'; do \
             for device in null zero full random urandom tty; do $act /dev/$device 2>/dev/null && echo $act $device; done; done; \
             echo gone >/dev/null && head -c 3 /dev/zero | od -An -tx1 && head -c 8 /dev/urandom | wc -c; \
             echo x 2>/dev/null >/dev/full || echo full")
        .stdout(" 00 00 00\n8\nfull");
    assert_eq!(mode(), before);
}

#[test]
fn setuid_programs_give_nothing() {
    require!(userns, many_ids);
    Case::host()
        .sh("cp /bin/id /usr/local/bin/id 2>/dev/null || cp /bin/id /root/id; f=/root/id; [ -e $f ] || f=/usr/local/bin/id; \
             chmod 755 /root; chmod 4755 $f; setpriv --reuid=1000 --clear-groups $f -u")
        .stdout("1000");
}

#[test]
fn the_command_line_of_the_kernel_is_hidden_and_the_release_is_not() {
    require!(userns);
    Case::host().sh("cat /proc/cmdline; uname -r").stdout(
        std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap()
            .trim(),
    );
}

#[test]
fn cgroups_of_the_host_are_not_to_be_seen() {
    require!(userns);
    let (_case, output) = Case::host()
        .sh("cat /proc/self/cgroup; echo; ls -A /sys/fs/cgroup")
        .output();
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let (groups, files) = text.split_once("\n\n").unwrap_or((&text, ""));
    assert!(!groups.is_empty());
    for line in groups.lines() {
        assert!(
            !line.contains("..") && !line.contains("user.slice") && !line.contains("shedbox"),
            "{line}"
        );
    }
    // Its own group, where it has one: with limits, and no group of anybody else.
    assert!(
        files.trim().is_empty() || files.contains("cgroup.procs"),
        "{files}"
    );
    assert!(!files.contains(".slice"), "{files}");
}

#[test]
fn secrets_of_the_hosts_etc_are_empty() {
    require!(userns);
    Case::host()
        .sh("cat /etc/shadow /etc/gshadow /etc/machine-id; ls -A /etc/ssl/private 2>/dev/null; test -s /etc/passwd && echo accounts")
        .stdout("accounts");
}
