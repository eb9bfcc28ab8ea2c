//! Layers and archives that lead out by two steps, by whiteouts, or by what one reader makes of a size and another does
//! not. One-step attacks are in `tests/bad_input/layers.rs` and `crates/store`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::archive::{self, Tar, base_layer, digest, docker_archive};
use crate::require;
use crate::support::{Home, Lane, scratch};

fn load(home: &Home, archive: Vec<u8>) -> std::process::Output {
    home.shedbox(["load"])
        .write_stdin(archive)
        .output()
        .unwrap()
}

/// Loads these layers above one with programs and runs a script there, or the load is refused.
fn run_on(home: &Home, layers: Vec<Vec<u8>>, script: &str) -> Result<String, String> {
    let all: Vec<Vec<u8>> = [base_layer()].into_iter().chain(layers).collect();
    let output = load(home, docker_archive(&all));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let said = home.run(["run", "--rm", "bad:1", "sh", "-c", script]);
    Ok(said)
}

fn outside() -> tempfile::TempDir {
    let dir = scratch();
    std::fs::write(dir.path().join("file"), "the host's").unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    dir
}

#[track_caller]
fn intact(dir: &Path) {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["file", "sub"]);
    assert_eq!(
        std::fs::read_to_string(dir.join("file")).unwrap(),
        "the host's"
    );
    assert_eq!(std::fs::read_dir(dir.join("sub")).unwrap().count(), 0);
}

#[test]
fn a_link_below_and_a_file_through_it_above() {
    require!(userns, image "tiny");
    let home = Home::new();
    let outside = outside();
    let target = outside.path().to_str().unwrap();
    let above = format!("../../../../../../../..{target}");
    for link in [target, &above, "/proc/self/cwd/..", "/proc/1/root"] {
        let lower = Tar::default().symlink("link", link).end();
        for upper in [
            Tar::default().file("link/evil", "evil").end(),
            Tar::default()
                .dir("link")
                .file("link/sub/evil", "evil")
                .end(),
            Tar::default().file("link/.wh.file", "").end(),
            Tar::default().file("link/.wh..wh..opq", "").end(),
            Tar::default().file("link/sub/../file", "evil").end(),
        ] {
            // A directory of the upper layer stands in the place of the link of the lower one.
            let _ = run_on(
                &home,
                vec![lower.clone(), upper],
                "ls -R /link >/dev/null; true",
            );
            intact(outside.path());
        }
        // Through the link inside: a place inside, if there is one.
        let said = run_on(
            &home,
            vec![lower, Tar::default().dir("x").end()],
            "cat /link/file 2>/dev/null; true",
        );
        assert_eq!(said.as_deref().unwrap_or_default(), "", "{link}");
    }
    intact(outside.path());
}

#[test]
fn whiteouts_name_one_entry_of_their_own_directory() {
    require!(userns, image "tiny");
    let home = Home::new();
    let outside = outside();
    let target = outside.path().to_str().unwrap();
    let there = "test -f /bin/busybox && test -d /etc && ls -d /etc/passwd";
    for name in [
        ".wh..",
        ".wh...",
        ".wh.",
        "..wh..",
        "a/.wh..",
        "a/.wh...",
        "a/.wh.",
        ".wh./etc",
        ".wh.a/../../etc",
        "./.wh.../x",
    ] {
        match run_on(
            &home,
            vec![Tar::default().dir("a").file(name, "").end()],
            there,
        ) {
            Ok(said) => assert_eq!(said, "/etc/passwd", "{name}"),
            Err(said) => assert!(said.contains("wh."), "{name}: {said}"),
        }
    }
    for layer in [
        Tar::default()
            .symlink("etc/link", target)
            .file("etc/link/.wh.file", "")
            .end(),
        Tar::default()
            .symlink("link", target)
            .file("link/.wh..wh..opq", "")
            .end(),
        Tar::default().symlink(".wh.link", target).end(),
        Tar::default().hard_link(".wh.hard", "etc/passwd").end(),
        Tar::default().symlink(".wh..wh..opq", target).end(),
    ] {
        let _ = run_on(&home, vec![layer], "true");
        intact(outside.path());
    }
}

/// CVE-2025-62518, CVE-2026-33055: an extended header and the plain one give different sizes. Whoever believes the wrong
/// one takes content for entries. We and GNU tar must see the same.
#[test]
fn sizes_that_disagree_are_read_as_everybody_reads_them() {
    require!(userns, image "tiny");
    let home = Home::new();
    let hidden = Tar::default().file("etc/smuggled", "evil").end();
    for (what, tar) in [
        (
            "size in the extended header",
            Tar::default()
                .pax("size", hidden.len().to_string().as_bytes())
                .entry(b'0', b"carrier", b"", &hidden),
        ),
        (
            "a smaller size in the extended header",
            Tar::default()
                .pax("size", b"0")
                .entry(b'0', b"carrier", b"", &hidden),
        ),
        (
            "a size for a directory",
            Tar::default().pax("size", b"1024").dir("carrier"),
        ),
        (
            "a size for a link",
            Tar::default().pax("size", b"512").symlink("carrier", "x"),
        ),
        (
            "two headers",
            Tar::default()
                .pax("size", b"0")
                .pax("path", b"carrier")
                .entry(b'0', b"other", b"", &hidden),
        ),
        (
            "a negative size",
            Tar::default()
                .pax("size", b"-1")
                .entry(b'0', b"carrier", b"", &hidden),
        ),
        (
            "a size beyond 64 bits",
            Tar::default()
                .pax("size", b"99999999999999999999999")
                .file("carrier", "x"),
        ),
    ] {
        let layer = tar.file("after", "after").end();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, &layer).unwrap();
        let gnu = std::process::Command::new("tar")
            .arg("-tf")
            .arg(file.path())
            .output()
            .unwrap();
        let theirs = String::from_utf8_lossy(&gnu.stdout)
            .lines()
            .any(|name| name == "etc/smuggled");
        match run_on(
            &home,
            vec![layer],
            "test -e /etc/smuggled && echo smuggled || echo clean",
        ) {
            // Refusing is always right; reading is right when the other reader reads the same.
            Err(said) => assert!(said.contains("error: "), "{what}: {said}"),
            Ok(said) => assert_eq!(
                said == "smuggled",
                theirs && gnu.status.success(),
                "{what}: {gnu:?}"
            ),
        }
    }
}

/// The outer archive, of which other programs unpack every member before they look at the manifest.
#[test]
fn members_of_the_outer_archive_that_are_links() {
    require!(userns, image "tiny");
    let home = Home::new();
    let outside = outside();
    let target = outside.path().to_str().unwrap();
    let layer = Tar::default().file("f", "x").end();
    let diff_ids = [digest(&layer)];
    let config = archive::config(&diff_ids, &json!({}));
    let manifest = |layer: &str| {
        json!([{"Config": "config.json", "RepoTags": ["bad:1"], "Layers": [layer]}]).to_string()
    };
    let rest = |tar: Tar, name: &str| {
        tar.entry(b'0', b"config.json", b"", &config)
            .file("manifest.json", &manifest(name))
            .end()
    };
    let secret = outside.path().join("file");
    for (what, archive) in [
        (
            "a layer that is a link",
            rest(
                Tar::default().symlink("0.tar", secret.to_str().unwrap()),
                "0.tar",
            ),
        ),
        (
            "a layer that is a hard link",
            rest(
                Tar::default().hard_link("0.tar", secret.to_str().unwrap()),
                "0.tar",
            ),
        ),
        (
            "a layer beyond the archive",
            rest(Tar::default(), secret.to_str().unwrap()),
        ),
        (
            "a layer above the archive",
            rest(Tar::default(), "../../../../../etc/passwd"),
        ),
        (
            "a configuration that is a link",
            Tar::default()
                .entry(b'0', b"0.tar", b"", &layer)
                .symlink("config.json", secret.to_str().unwrap())
                .file("manifest.json", &manifest("0.tar"))
                .end(),
        ),
        (
            "a manifest that is a link",
            Tar::default()
                .symlink("manifest.json", secret.to_str().unwrap())
                .end(),
        ),
    ] {
        let output = load(&home, archive);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {output:?}");
        assert!(!stderr.contains("the host's"), "{what}: {stderr}");
        intact(outside.path());
    }
    // Members that nobody asked for are passed over; nothing is written through the link.
    let tar = Tar::default()
        .symlink("dir", target)
        .file("dir/evil", "evil")
        .entry(b'0', b"0.tar", b"", &layer);
    let _ = load(&home, rest(tar, "0.tar"));
    intact(outside.path());
    let before = home.run(["images", "--quiet"]);
    // The same as directories: a layout whose blobs are links to the host's files.
    let layout = scratch();
    std::fs::create_dir_all(layout.path().join("blobs/sha256")).unwrap();
    std::fs::write(
        layout.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let hex = digest(b"the host's")
        .strip_prefix("sha256:")
        .unwrap()
        .to_owned();
    std::os::unix::fs::symlink(&secret, layout.path().join("blobs/sha256").join(&hex)).unwrap();
    let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{hex}"), "size": 10}]});
    std::fs::write(layout.path().join("index.json"), index.to_string()).unwrap();
    let output = home
        .shedbox(["load", "--input", layout.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(home.run(["images", "--quiet"]), before);
}

/// CVE-2021-41103: a setuid file of an image lies on the host's disk; nobody else gets to it.
#[test]
fn setuid_files_of_an_image_are_for_no_other_user() {
    require!(userns, image "tiny");
    let home = Home::new();
    let said = run_on(
        &home,
        vec![Tar::default().file("x", "x").end()],
        "cp /bin/busybox /tmp/s; chmod 6755 /tmp/s; stat -c %a /tmp/s",
    );
    assert_eq!(said.unwrap(), "6755");
    for dir in [
        home.root(),
        home.root().join("store"),
        home.root().join("sandboxes"),
        home.root().join("trash"),
        home.runtime().to_owned(),
    ] {
        let mode = std::fs::metadata(&dir).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o700, "{}", dir.display());
    }
    let socket = home.runtime().join("docker.sock");
    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    if Lane::current() == Lane::Root {
        let layers = home.root().join("store/layers");
        let output = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "ls"])
            .arg(&layers)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("Permission denied"),
            "{output:?}"
        );
    }
}
