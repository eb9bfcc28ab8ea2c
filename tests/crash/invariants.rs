//! What must be true whenever nothing is under way.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use shedbox_client::Client;

use crate::support::home::is_blank;
use crate::support::wait::pause;
use crate::support::{Home, Kinship, eventually};

/// Most directories that one daemon makes ahead of need: eight sandboxes, eight generations.
const BLANKS: usize = 16;

/// No half-done directory: called after a start of the daemon, with nothing under way.
pub(crate) fn disk(home: &Home) {
    let root = home.root();
    // A pull whose client was killed may still be on its way.
    eventually("store/ingest is empty", || {
        names(&root.join("store/ingest")).is_empty()
    });
    let mut blanks = 0;
    for name in names(&root.join("sandboxes")) {
        let dir = root.join("sandboxes").join(&name);
        if name.starts_with('.') {
            assert!(is_blank(&dir), "half a sandbox: {name}");
            blanks += 1;
            continue;
        }
        for file in ["spec.json", "state.json"] {
            let text = std::fs::read(dir.join(file)).expect("a record");
            serde_json::from_slice::<serde_json::Value>(&text)
                .unwrap_or_else(|error| panic!("{name}/{file}: {error}"));
        }
    }
    assert!(blanks <= BLANKS, "{blanks} directories made ahead of need");
    for name in names(&root.join("store/layers")) {
        layer(&root.join("store/layers").join(name));
    }
}

/// A layer is whole: it has its directory, what is known of it, and the record of its tar stream.
fn layer(dir: &Path) {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    assert!(
        name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "not a layer: {name}"
    );
    assert!(dir.join("diff").is_dir(), "half a layer: {name}");
    let text = std::fs::read(dir.join("layer.json")).expect("layer.json");
    let info: serde_json::Value = serde_json::from_slice(&text).expect("layer.json is JSON");
    let length = dir.join("tar.zst").metadata().map_or(0, |meta| meta.len());
    assert_eq!(info["record"], length, "the record of layer {name}");
}

/// The store has the files of every snapshot that a record names, whole, and of no other. Gives their ids.
pub(crate) fn snapshots(home: &Home) -> Result<BTreeSet<String>, String> {
    let dir = home.root().join("snapshots");
    let there: BTreeSet<String> = names(&dir).into_iter().collect();
    let mut next = named_snapshots(home);
    let mut named = BTreeSet::new();
    while let Some(id) = next.pop() {
        let place = dir.join(&id);
        let about = std::fs::read(place.join("snapshot.json"))
            .map_err(|error| format!("snapshot {id} has no record: {error}"))?;
        serde_json::from_slice::<serde_json::Value>(&about)
            .map_err(|error| format!("the record of snapshot {id}: {error}"))?;
        if !place.join("upper").is_dir() {
            return Err(format!("snapshot {id} has no files"));
        }
        if named.insert(id) {
            next.extend(end_of_link(&place.join("base")));
        }
    }
    if there == named {
        Ok(named)
    } else {
        Err(format!(
            "there are {there:?}, and what is named is {named:?}"
        ))
    }
}

/// What tags lead to, what sandboxes stand on, and what they were forked from.
fn named_snapshots(home: &Home) -> Vec<String> {
    let sandboxes = home.root().join("sandboxes");
    let mut named = Vec::new();
    for name in names(&sandboxes) {
        let dir = sandboxes.join(&name);
        if name.starts_with('.') {
            continue;
        }
        let tags = dir.join("snapshots");
        named.extend(
            names(&tags)
                .iter()
                .filter_map(|tag| end_of_link(&tags.join(tag))),
        );
        named.extend(end_of_link(&dir.join("live/base")));
        let record = std::fs::read(dir.join("spec.json")).unwrap_or_default();
        let record = serde_json::from_slice::<serde_json::Value>(&record).unwrap_or_default();
        named.extend(record["base"].as_str().map(str::to_owned));
    }
    named
}

fn end_of_link(link: &Path) -> Option<String> {
    let target = std::fs::read_link(link).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// Ids and names are unique, and every image of the listing has all its layers.
pub(crate) fn listings(home: &Home, client: &Client) {
    let sandboxes = client.sandboxes(true, &[]).expect("list sandboxes");
    let ids: HashSet<_> = sandboxes.iter().map(|info| &info.id).collect();
    let names: HashSet<_> = sandboxes.iter().map(|info| &info.name).collect();
    assert_eq!(
        (ids.len(), names.len()),
        (sandboxes.len(), sandboxes.len()),
        "ids or names are not unique"
    );
    for image in client.images().expect("list images") {
        let detail = client.image(image.id.as_str()).expect("inspect an image");
        for diff_id in &detail.layers {
            layer(&home.root().join("store/layers").join(diff_id.hex()));
        }
    }
}

/// Everything has been removed: no process, mount, directory or socket is left; then daemon and keeper leave as well.
pub(crate) fn nothing_is_left(home: &Home, kin: &Kinship) {
    soon(
        // The trash is emptied at idle priority.
        Duration::from_mins(2),
        "nothing of a sandbox is left",
        || {
            let inside = kin.inside();
            let leaks = home.leaks();
            if inside.is_empty() && leaks.is_empty() {
                Ok(())
            } else {
                Err(format!("{inside:#?} {leaks:#?}"))
            }
        },
    );
    assert_eq!(mounts(home), Vec::<String>::new(), "a mount has leaked");
    if let Some(daemon) = kin.daemon(home) {
        shedbox_linux::process::signal(daemon.pid, 15).expect("end the daemon");
    }
    soon(Duration::from_secs(20), "daemon and keeper leave", || {
        let mut all = kin.all();
        // A registry that the test has started for itself stays until its end.
        all.retain(|kin| !kin.command.contains("docker-registry"));
        if all.is_empty() {
            Ok(())
        } else {
            Err(format!("{all:#?}"))
        }
    });
    let left = names(home.runtime());
    let expected = [
        "daemon.stderr",
        "keeper.sock",
        "mnt",
        "sandboxes",
        "start.lock",
    ];
    assert!(
        left.iter().all(|name| expected.contains(&name.as_str())),
        "left in the runtime directory: {left:?}"
    );
}

/// Looks until it is true; says what is wrong when time is up.
pub(crate) fn soon(patience: Duration, what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + patience;
    while let Err(why) = look() {
        assert!(Instant::now() < deadline, "{what}: not so: {why}");
        pause();
    }
}

/// The mounts of a home that this process sees.
fn mounts(home: &Home) -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    let dirs = [home.root(), home.runtime().to_owned()];
    text.lines()
        .filter(|line| {
            dirs.iter()
                .any(|dir| line.contains(&*dir.to_string_lossy()))
        })
        .map(str::to_owned)
        .collect()
}

/// Names in a directory; none when it is not there.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
