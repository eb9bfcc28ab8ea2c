//! Images that do not fit.

use super::small_disk::SmallDisk;
use crate::require;
use crate::support::eventually;

fn words(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_pull_that_does_not_fit_leaves_nothing_and_works_when_there_is_room() {
    require!(userns, image "tiny", image "debian");
    let disk = SmallDisk::new(80);
    let (tiny, debian) = (SmallDisk::reference("tiny"), SmallDisk::reference("debian"));
    disk.run(["pull", "--quiet", &tiny]);
    let layers = disk.names("store/layers");
    let free = disk.free();

    let output = disk.shedbox(["pull", "--quiet", &debian]);
    assert_eq!(output.status.code(), Some(1));
    let text = words(&output);
    assert!(text.contains("No space left on device"), "{text}");
    assert!(text.contains("hint: "), "{text}");
    eventually("what was fetched is gone", || {
        disk.free() + (1 << 20) > free
    });
    assert_eq!(disk.names("store/ingest"), Vec::<String>::new());
    assert_eq!(disk.names("store/layers"), layers);

    // The store is what it was, for this daemon and for the next one.
    for _ in 0..2 {
        assert_eq!(disk.run(["images", "--quiet"]).lines().count(), 1);
        assert_eq!(
            disk.run(["run", "--rm", "--pull", "never", &tiny, "cat", "/etc/image"]),
            "built by scripts/test-images"
        );
        disk.restart_daemon();
    }
    disk.resize(1500);
    disk.run(["pull", "--quiet", &debian]);
    let text = disk.run([
        "run",
        "--rm",
        "--pull",
        "never",
        &debian,
        "cat",
        "/etc/debian_version",
    ]);
    assert!(!text.is_empty());
}

#[test]
fn a_load_that_does_not_fit_leaves_nothing() {
    require!(userns, image "tiny", image "debian");
    let disk = SmallDisk::new(80);
    disk.run(["pull", "--quiet", &SmallDisk::reference("tiny")]);
    let free = disk.free();
    let layout = crate::support::images::layout("debian");
    let output = disk.shedbox([
        "load",
        "--quiet",
        "--input",
        layout.to_str().expect("UTF-8"),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let text = words(&output);
    assert!(
        text.contains("No space left on device") && text.contains("hint: "),
        "{text}"
    );
    eventually("what was unpacked is gone", || {
        disk.free() + (1 << 20) > free
    });
    assert_eq!(disk.names("store/ingest"), Vec::<String>::new());
    assert_eq!(disk.run(["images", "--quiet"]).lines().count(), 1);
}

#[test]
fn without_any_room_nothing_is_begun() {
    require!(userns, image "tiny", image "deep");
    let disk = SmallDisk::new(64);
    disk.run(["pull", "--quiet", &SmallDisk::reference("tiny")]);
    disk.fill();
    let output = disk.shedbox(["pull", "--quiet", &SmallDisk::reference("deep")]);
    assert_eq!(output.status.code(), Some(1));
    let text = words(&output);
    assert!(text.contains("hint: "), "{text}");
    let created = disk.shedbox(["create", &SmallDisk::reference("tiny")]);
    assert_eq!(created.status.code(), Some(125), "{}", words(&created));
    assert!(words(&created).contains("hint: "), "{}", words(&created));
    assert_eq!(disk.run(["ps", "--all", "--quiet"]), "");
    disk.make_room();
    disk.run(["pull", "--quiet", &SmallDisk::reference("deep")]);
    disk.run(["create", &SmallDisk::reference("tiny")]);
}
