//! What a sandbox is seen to use.

use serde_json::Value;
use shedbox_client::spec::api::{HostPressure, PressureReport};

use crate::require;
use crate::subject::Subject;

fn number(value: Option<u64>) -> u64 {
    value.expect("a number")
}

#[test]
fn the_kernel_counts_what_has_ended_as_well() {
    require!(userns, cgroup);
    let subject = Subject::new(&["--memory=256m", "--pids-limit=60"]);
    let before = subject.stats();
    subject.python(
        "import time
held = b'x' * (60 << 20)
end = time.process_time() + 0.3
while time.process_time() < end: pass",
    );
    let after = subject.stats();
    assert!(after.from_cgroup);
    let cpu = after.cpu_us - before.cpu_us;
    assert!((300_000..60_000_000).contains(&cpu), "{cpu}");
    let parts = number(after.user_us) + number(after.system_us);
    assert!(parts <= after.cpu_us + 1000, "{after:?}");
    let memory = after.memory_detail.expect("memory");
    assert_eq!(memory.limit, Some(256 << 20));
    let peak = number(memory.peak);
    assert!((60 << 20..256 << 20).contains(&peak), "{peak}");
    assert!(after.memory < 60 << 20, "{}", after.memory);
    assert_eq!(memory.oom_kills, 0);
    // Init and the main process.
    assert_eq!((after.pids, after.pids_limit), (2, Some(60)));
    // Since Linux 6.1.
    assert!(number(after.pids_peak) >= 3);
}

#[test]
fn what_is_written_to_a_disk_is_counted_by_device() {
    require!(userns, cgroup);
    let subject = Subject::new(&[]);
    // Past the page cache: the overlay is volatile, so that fsync writes nothing, and the kernel would write it back later.
    subject.sh("dd if=/dev/zero of=/file bs=1M count=8 oflag=direct");
    let stats = subject.stats();
    let written: u64 = stats.io.iter().map(|device| device.write_bytes).sum();
    assert!((8 << 20..64 << 20).contains(&written), "{:?}", stats.io);
}

#[test]
fn pressure_of_a_sandbox_and_of_the_host() {
    require!(userns, cgroup);
    let subject = Subject::new(&["--cpus=0.1"]);
    subject.python("import time\nend = time.time() + 2\nwhile time.time() < end: pass");
    let text = subject.run(&["pressure", "--format=json"]);
    let report: PressureReport = serde_json::from_str(&text).expect("JSON");
    // Held back for most of two seconds: that is waiting for a CPU.
    let waited = |report: &PressureReport| report.cpu.expect("cpu").some.total_us;
    assert!(waited(&report) > 500_000, "{report:?}");
    assert!(report.memory.expect("memory").full.is_some() && report.io.is_some());
    let throttling = subject.stats().throttling.expect("throttling");
    assert!(throttling.throttled_us > 500_000, "{throttling:?}");
    let text = subject.home.run(["pressure", "--format=json"]);
    let host: HostPressure = serde_json::from_str(&text).expect("JSON");
    assert!(waited(&host.sandboxes.expect("sandboxes")) > 500_000);
    assert!(waited(&host.host) > 0);
}

#[test]
fn a_table_and_a_document() {
    require!(userns, cgroup);
    let subject = Subject::new(&["--memory=64m"]);
    let text = subject.run(&["stats", "--no-stream"]);
    let line = text.lines().nth(1).expect("a line");
    assert!(
        line.contains(&subject.name) && line.contains("/ 64MiB"),
        "{text}"
    );
    let text = subject.run(&["stats", "--no-stream", "--format=json"]);
    let all: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(all[0]["memory_detail"]["limit"], 64 << 20, "{text}");
}

#[test]
fn page_cache_is_given_back() {
    require!(userns, cgroup);
    let subject = Subject::new(&[]);
    subject.sh("dd if=/dev/zero of=/file bs=1M count=24 conv=fsync 2>/dev/null");
    let before = subject.stats().memory_detail.expect("memory").file;
    assert!(before >= 20 << 20, "{before}");
    let freed: u64 = subject
        .home
        .run(["reclaim", &subject.name, "16m"])
        .parse()
        .expect("a number");
    assert!(freed >= 12 << 20, "{freed}");
    assert_eq!(subject.sh("wc -c </file"), "25165824");
    // More than there is: what was found is said, and that it was not enough.
    let output = subject
        .home
        .shedbox(["reclaim", &subject.name, "10g"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("of 10GiB could be taken back"), "{said}");
}

#[test]
fn without_a_cgroup_the_living_processes_are_added_up() {
    require!(userns, no_cgroup);
    let subject = Subject::new(&[]);
    let stats = subject.stats();
    // The main process.
    assert_eq!((stats.from_cgroup, stats.pids), (false, 1));
    assert!(stats.memory > 0 && stats.memory_detail.is_none());
}
