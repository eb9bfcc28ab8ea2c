//! What belongs to the sandbox and not to a generation survives.

use crate::require;
use crate::support::Case;

fn field(case: &Case, path: &str) -> String {
    let text = case
        .get_home()
        .run(["inspect", "--format", "json", case.name()]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("inspect prints JSON");
    let value = value.get(0).unwrap_or(&value);
    value
        .pointer(path)
        .unwrap_or_else(|| panic!("no {path} in {text}"))
        .to_string()
}

#[test]
fn identity_name_and_limits() {
    require!(userns, image "tiny");
    let mut case = Case::image("tiny")
        .option("--ulimit=nofile=321:321")
        .option("--label=a=b")
        .option("--shm-size=3m");
    case.start();
    let before = [
        field(&case, "/id"),
        field(&case, "/name"),
        field(&case, "/labels"),
    ];
    let case = case
        .reset()
        .sh("ulimit -n; df -k /dev/shm | awk 'NR==2{print $2}'")
        .stdout("321\n3072");
    assert_eq!(
        before,
        [
            field(&case, "/id"),
            field(&case, "/name"),
            field(&case, "/labels")
        ]
    );
    assert_eq!(field(&case, "/generation"), "2");
}

#[test]
fn content_of_writable_volumes() {
    require!(userns, image "tiny");
    let dir = tempfile::tempdir().unwrap();
    Case::image("tiny")
        .option(format!("--volume={}:/data", dir.path().display()))
        .sh("echo kept > /data/file")
        .ok()
        .reset()
        .sh("cat /data/file")
        .stdout("kept");
    assert_eq!(
        std::fs::read_to_string(dir.path().join("file")).unwrap(),
        "kept\n"
    );
}

#[test]
fn a_copy_on_write_volume_goes_back_to_the_hosts_state() {
    require!(userns, image "tiny");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "host\n").unwrap();
    let case = Case::image("tiny")
        .option(format!("--volume={}:/project:cow", dir.path().display()))
        .sh("echo sandbox > /project/file; echo new > /project/new; cat /project/file")
        .stdout("sandbox");
    assert_eq!(
        std::fs::read_to_string(dir.path().join("file")).unwrap(),
        "host\n"
    );
    assert!(!dir.path().join("new").exists());
    case.reset()
        .sh("cat /project/file; test -e /project/new || echo gone")
        .stdout("host\ngone");
}

#[test]
fn a_read_only_volume_is_read_only_in_each_generation() {
    require!(userns, image "tiny");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "host\n").unwrap();
    Case::image("tiny")
        .option(format!("--volume={}:/data:ro", dir.path().display()))
        .sh("echo x > /data/file")
        .status(1)
        .reset()
        .sh("echo x > /data/file 2>/dev/null || cat /data/file")
        .stdout("host");
}
