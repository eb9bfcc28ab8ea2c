//! What a sandbox sees of an image, against what another program makes of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::require;
use crate::support::{Case, Home, Lane, images, scratch, unique};

const LISTER: &str = include_str!("list_tree.py");
/// What is the sandbox's own and not the image's.
const OWN: [&str; 6] = [
    "dev",
    "proc",
    "sys",
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
];
/// Where the host's programs are put: /dev is a file system of its own, so this leaves no trace in the rootfs.
const HOST_USR: &str = "/dev/host/usr";

type Tree = BTreeMap<String, Value>;

fn tree(output: &Output) -> Tree {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let entries: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    entries
        .into_iter()
        .map(|entry| (entry["path"].as_str().unwrap().to_owned(), entry))
        .collect()
}

/// The interpreter of the host's own programs, below /usr.
fn loader() -> PathBuf {
    let known = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let path = known
        .iter()
        .find_map(|path| Path::new(path).canonicalize().ok())
        .unwrap();
    assert!(
        path.starts_with("/usr"),
        "{} is not below /usr",
        path.display()
    );
    path
}

/// Lists the rootfs from inside a sandbox, with the host's python.
fn seen_inside(home: &Home, reference: &str) -> Tree {
    let loader = loader();
    let inside = |path: &Path| {
        format!(
            "{HOST_USR}/{}",
            path.strip_prefix("/usr").unwrap().display()
        )
    };
    let libraries = inside(loader.parent().unwrap());
    let python = Path::new("/usr/bin/python3").canonicalize().unwrap();
    let name = unique("tree");
    let mut arguments = vec![
        "run".to_owned(),
        "--rm".to_owned(),
        format!("--name={name}"),
    ];
    arguments.push(format!("--volume=/usr:{HOST_USR}:ro"));
    arguments.push(format!("--env=PYTHONHOME={HOST_USR}"));
    arguments.extend([
        reference.to_owned(),
        inside(&loader),
        "--library-path".into(),
        libraries,
        inside(&python),
    ]);
    arguments.extend(["-c".to_owned(), LISTER.to_owned(), "/".to_owned()]);
    arguments.extend(OWN.map(str::to_owned));
    tree(&home.shedbox(&arguments).output().unwrap())
}

/// `unshare` into the user namespace that the lane can have, as root of it.
fn in_namespace(program: &str) -> Command {
    let mut command;
    match Lane::current() {
        Lane::Root => command = Command::new(program),
        Lane::Subids => {
            command = Command::new("unshare");
            command.args(["--map-root-user", "--map-auto", program]);
        }
        Lane::Single => {
            command = Command::new("unshare");
            command.args(["--map-root-user", program]);
        }
    }
    command
}

/// The same image as umoci unpacks it.
fn made_by_umoci(layout: &Path) -> Tree {
    let dir = scratch();
    let bundle = dir.path().join("bundle");
    let mut unpack = match Lane::current() {
        Lane::Single => Command::new("umoci"),
        Lane::Subids | Lane::Root => in_namespace("umoci"),
    };
    unpack.arg("unpack");
    if Lane::current() == Lane::Single {
        unpack.arg("--rootless");
    }
    let output = unpack
        .args(["--image", &format!("{}:latest", layout.display())])
        .arg(&bundle)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let list = in_namespace("python3")
        .args(["-c", LISTER])
        .arg(bundle.join("rootfs"))
        .args(OWN)
        .output()
        .unwrap();
    let tree = tree(&list);
    crate::support::home::remove_tree(&bundle);
    tree
}

/// Drops what differs by design, and says so.
fn agree_on(tree: &mut Tree, lane: Lane) {
    for (path, entry) in tree.iter_mut() {
        let fields = entry.as_object_mut().unwrap();
        // The sandbox has made mount points in these.
        if path == "etc" || path.is_empty() {
            fields.remove("mtime");
        }
        // Layers pass through these without an entry for them, so their time is that of extraction: docs/store.md.
        if ["names", "tree", "tree/deep"].contains(&path.as_str()) {
            fields.remove("mtime");
        }
        // Device nodes become empty files: docs/store.md. Their times are the image's all the same.
        if path == "kinds/device" {
            for field in ["kind", "size", "sha256", "same_file_as", "mode"] {
                fields.remove(field);
            }
        }
        let xattrs = fields["xattrs"].as_object_mut().unwrap();
        if lane == Lane::Single {
            // umoci notes the owner that it could not give, and gives no capabilities to files.
            xattrs.remove("user.rootlesscontainers");
            xattrs.remove("security.capability");
        }
    }
}

/// Differences of two trees, readable.
fn differences(ours: &Tree, theirs: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for path in ours
        .keys()
        .chain(theirs.keys().filter(|path| !ours.contains_key(*path)))
    {
        match (ours.get(path), theirs.get(path)) {
            (Some(_), None) => found.push(format!("{path:?}: only in the sandbox")),
            (None, _) => found.push(format!("{path:?}: not in the sandbox")),
            (Some(ours), Some(theirs)) if ours != theirs => {
                let fields = ours
                    .as_object()
                    .unwrap()
                    .keys()
                    .filter(|field| ours[*field] != theirs[*field]);
                found.extend(fields.map(|field| {
                    format!(
                        "{path:?}: {field} is {}, umoci: {}",
                        ours[field], theirs[field]
                    )
                }));
            }
            _ => {}
        }
    }
    found
}

/// Compares what a sandbox of `home` sees of `reference` with what umoci makes of `image`. How many entries there are.
pub(crate) fn compare(home: &Home, reference: &str, image: &str) -> usize {
    let mut ours = seen_inside(home, reference);
    let mut theirs = made_by_umoci(&images::layout(image));
    let lane = Lane::current();
    agree_on(&mut ours, lane);
    agree_on(&mut theirs, lane);
    let differences = differences(&ours, &theirs);
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    ours.len()
}

#[test]
fn one_of_everything_is_as_umoci_has_it() {
    require!(userns, program "umoci", program "python3", image "manylayers");
    let home = Home::new();
    let reference = home.image("manylayers");
    let count = compare(&home, &reference, "manylayers");
    assert!(count > 300, "only {count} entries were compared");
}

#[test]
fn a_whole_distribution_is_as_umoci_has_it() {
    require!(userns, program "umoci", program "python3", image "debian");
    let home = Home::new();
    let reference = home.image("debian");
    let count = compare(&home, &reference, "debian");
    assert!(count > 5000, "only {count} entries were compared");
}

#[test]
fn a_hundred_and_twenty_seven_layers() {
    require!(userns, image "deep");
    Case::image("deep")
        .sh("ls /deep | wc -l; cat /deep/last /deep/2 /deep/127")
        .stdout("127\n127\n2\n127")
        .sh("rm /deep/2 && echo new >/deep/last && ls /deep | wc -l")
        .stdout("126")
        .reset()
        .sh("ls /deep | wc -l; cat /deep/last")
        .stdout("127\n127");
}

#[test]
fn layers_are_shared_and_stay_as_they_are() {
    require!(userns, image "tiny");
    let home = Home::new();
    let reference = home.image("tiny");
    let layers = home.root().join("store/layers");
    let count = |what: &str| {
        let output = in_namespace("find")
            .arg(&layers)
            .args(["-name", what])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    assert_eq!(count("image"), 1);
    for round in 0..3 {
        let script = format!(
            "echo {round} >/etc/image; echo x >/bin/new; rm /etc/group; chmod 700 /etc; cat /etc/image"
        );
        assert_eq!(
            home.run(["run", "--rm", &reference, "sh", "-c", &script]),
            round.to_string()
        );
    }
    assert_eq!((count("image"), count("new"), count("group")), (1, 0, 1));
    let text = home.run([
        "run",
        "--rm",
        &reference,
        "sh",
        "-c",
        "cat /etc/image; stat -c %a /etc",
    ]);
    assert_eq!(text, "built by scripts/test-images\n755");
}
