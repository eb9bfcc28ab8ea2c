//! What a sandbox is seen to use.

use serde_json::Value;

use crate::require;
use crate::subject::Subject;
use crate::support::Home;

fn stats(subject: &Subject) -> Value {
    let text = subject.run(&["stats", "--no-stream", "--format=json"]);
    let mut all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    all.remove(0)
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn the_kernel_counts_what_has_ended_as_well() {
    require!(userns, cgroup);
    let subject = Subject::new(&["--memory=256m", "--pids-limit=60"]);
    let before = stats(&subject);
    subject.python(
        "import time
held = b'x' * (60 << 20)
end = time.process_time() + 0.3
while time.process_time() < end: pass",
    );
    let after = stats(&subject);
    assert_eq!(after["from_cgroup"], true);
    let cpu = number(&after["cpu_us"]) - number(&before["cpu_us"]);
    assert!((300_000..60_000_000).contains(&cpu), "{cpu}");
    let parts = number(&after["user_us"]) + number(&after["system_us"]);
    assert!(parts <= number(&after["cpu_us"]) + 1000, "{after}");
    let memory = &after["memory_detail"];
    assert_eq!(number(&memory["limit"]), 256 << 20);
    let peak = number(&memory["peak"]);
    assert!((60 << 20..256 << 20).contains(&peak), "{peak}");
    assert!(number(&after["memory"]) < 60 << 20, "{after}");
    assert_eq!(number(&memory["oom_kills"]), 0);
    // Init and the main process.
    assert_eq!(number(&after["pids"]), 2);
    assert!(number(&after["pids_peak"]) >= 3);
    assert_eq!(number(&after["pids_limit"]), 60);
}

#[test]
fn what_is_written_to_a_disk_is_counted_by_device() {
    require!(userns, cgroup);
    let subject = Subject::new(&[]);
    subject.sh("dd if=/dev/zero of=/file bs=1M count=8 conv=fsync 2>/dev/null");
    let stats = stats(&subject);
    let written: u64 = stats["io"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|device| number(&device["write_bytes"]))
        .sum();
    assert!((8 << 20..64 << 20).contains(&written), "{stats}");
}

#[test]
fn pressure_of_a_sandbox_and_of_the_host() {
    require!(userns, cgroup);
    let subject = Subject::new(&["--cpus=0.1"]);
    subject.python("import time\nend = time.time() + 2\nwhile time.time() < end: pass");
    let text = subject.run(&["pressure", "--format=json"]);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    // Held back for most of two seconds: that is waiting for a CPU.
    assert!(
        number(&report["cpu"]["some"]["total_us"]) > 500_000,
        "{report}"
    );
    assert!(
        report["memory"]["full"]["avg10"].is_number() && report["io"]["some"]["avg300"].is_number()
    );
    let stats = stats(&subject);
    assert!(
        number(&stats["throttling"]["throttled_us"]) > 500_000,
        "{stats}"
    );
    let text = subject.home.run(["pressure", "--format=json"]);
    let host: Value = serde_json::from_str(&text).expect("JSON");
    let all = number(&host["sandboxes"]["cpu"]["some"]["total_us"]);
    assert!(all > 500_000, "{host}");
    assert!(number(&host["host"]["cpu"]["some"]["total_us"]) > 0);
}

#[test]
fn page_cache_is_given_back() {
    require!(userns, cgroup);
    let subject = Subject::new(&[]);
    subject.sh("dd if=/dev/zero of=/file bs=1M count=24 conv=fsync 2>/dev/null");
    let before = number(&stats(&subject)["memory_detail"]["file"]);
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
    let subject = Subject::in_home(Home::new(), &[]);
    let stats = stats(&subject);
    assert_eq!(stats["from_cgroup"], false);
    // The main process.
    assert_eq!(number(&stats["pids"]), 1);
    assert!(number(&stats["memory"]) > 0 && stats["memory_detail"].is_null());
}
