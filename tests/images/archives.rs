//! Archives: ours read by other people's tools, theirs by us.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::require;
use crate::support::{Home, images, scratch};

fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn skopeo_copy(from: &str, to: &str) {
    tool(
        "skopeo",
        &["--insecure-policy", "copy", "--quiet", from, to],
    );
}

fn layout(name: &str) -> String {
    format!("oci:{}:latest", images::layout(name).display())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn image_id(home: &Home, reference: &str) -> String {
    let value: Value =
        serde_json::from_str(&home.run(["inspect", "--type=image", reference])).unwrap();
    value[0]["id"].as_str().unwrap().to_owned()
}

/// The layers that skopeo finds at a place, in its own words for them.
fn skopeo_config(place: &str) -> Value {
    serde_json::from_str(&tool(
        "skopeo",
        &["--insecure-policy", "inspect", "--config", place],
    ))
    .unwrap()
}

#[test]
fn ours_is_read_by_skopeo_and_umoci() {
    require!(userns, program "skopeo", program "umoci", image "tiny", image "manylayers");
    let home = Home::new();
    let (tiny, many) = (home.image("tiny"), home.image("manylayers"));
    let dir = scratch();
    let docker = dir.path().join("docker.tar");
    home.run(["save", "--output", text(&docker), &tiny, &many]);
    let oci = dir.path().join("oci.tar");
    home.run(["save", "--format=oci", "--output", text(&oci), &tiny, &many]);

    for (name, reference) in [("tiny", &tiny), ("manylayers", &many)] {
        let original = skopeo_config(&layout(name));
        let archived = skopeo_config(&format!("docker-archive:{}:{reference}", text(&docker)));
        assert_eq!(archived, original, "{name}");
        // Copying makes skopeo read every layer and compare it with its digest.
        skopeo_copy(
            &format!("docker-archive:{}:{reference}", text(&docker)),
            &format!("oci:{}:{name}", text(&dir.path().join("from-docker"))),
        );
    }

    let unpacked = dir.path().join("layout");
    std::fs::create_dir(&unpacked).unwrap();
    tool("tar", &["-xf", text(&oci), "-C", text(&unpacked)]);
    let index: Value =
        serde_json::from_slice(&std::fs::read(unpacked.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2, "{index}");
    let one = dir.path().join("one.tar");
    home.run(["save", "--format=oci", "--output", text(&one), &tiny]);
    skopeo_copy(
        &format!("oci-archive:{}", text(&one)),
        &format!("oci:{}:tiny", text(&dir.path().join("again"))),
    );
    let bundle = dir.path().join("bundle");
    let again = format!("{}:tiny", text(&dir.path().join("again")));
    tool(
        "umoci",
        &["unpack", "--rootless", "--image", &again, text(&bundle)],
    );
    assert_eq!(
        std::fs::read_to_string(bundle.join("rootfs/etc/image")).unwrap(),
        "built by scripts/test-images\n"
    );
    crate::support::home::remove_tree(&bundle);
}

#[test]
fn an_archive_on_standard_output_and_back() {
    require!(userns, image "tiny");
    let home = Home::new();
    let reference = home.image("tiny");
    for format in ["docker", "oci"] {
        let archive = home
            .shedbox(["save", &format!("--format={format}"), &reference])
            .output()
            .unwrap();
        assert!(archive.status.success(), "{archive:?}");
        home.run(["rmi", &reference]);
        home.shedbox(["load", "--quiet"])
            .write_stdin(archive.stdout)
            .assert()
            .success();
        let file = home.run([
            "run",
            "--rm",
            "--pull=never",
            &reference,
            "cat",
            "/etc/image",
        ]);
        assert_eq!(file, "built by scripts/test-images", "{format}");
    }
}

#[test]
fn nothing_is_lost_on_the_way_out_and_in() {
    require!(userns, program "umoci", program "python3", image "manylayers");
    let (home, other) = (Home::new(), Home::new());
    let reference = home.image("manylayers");
    let dir = scratch();
    let archive = dir.path().join("image.tar");
    home.run(["save", "--output", text(&archive), &reference]);
    other.run(["load", "--quiet", "--input", text(&archive)]);
    crate::rootfs::compare(&other, &reference, "manylayers");
    // What comes out of the copy is what came out of the original.
    let again = dir.path().join("again.tar");
    other.run(["save", "--output", text(&again), &reference]);
    tool("cmp", &[text(&archive), text(&again)]);
    assert_eq!(image_id(&other, &reference), {
        let third = Home::new();
        third.run(["load", "--quiet", "--input", text(&again)]);
        image_id(&third, &reference)
    });
}

#[test]
fn a_terminal_is_no_place_for_an_archive() {
    require!(userns, program "script", image "tiny");
    let home = Home::new();
    let reference = home.image("tiny");
    let command = home.command(["save", &reference]);
    let line = format!(
        "{} save {reference}",
        command.get_program().to_string_lossy()
    );
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .envs(home.variables())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("terminal") && said.contains("--output"),
        "{said}"
    );
}

#[test]
fn theirs_from_files_directories_and_standard_input() {
    require!(userns, program "skopeo", program "zstd", image "tiny");
    let dir = scratch();
    let place = |name: &str| dir.path().join(name);
    skopeo_copy(
        &layout("tiny"),
        &format!("docker-archive:{}:team/app:1", text(&place("docker.tar"))),
    );
    skopeo_copy(
        &layout("tiny"),
        &format!("oci-archive:{}:team/app:1", text(&place("oci.tar"))),
    );
    skopeo_copy(
        &layout("tiny"),
        &format!("oci:{}:team/app:1", text(&place("layout"))),
    );
    tool(
        "sh",
        &[
            "-c",
            "gzip -1 <$1 >$1.gz; zstd -q -1 <$1 >$1.zst",
            "sh",
            text(&place("docker.tar")),
        ],
    );

    for name in [
        "docker.tar",
        "docker.tar.gz",
        "docker.tar.zst",
        "oci.tar",
        "layout",
    ] {
        let home = Home::new();
        let said = home.run(["load", "--input", text(&place(name))]);
        assert!(said.contains("team/app:1"), "{name}: {said}");
        let output = home.run([
            "run",
            "--rm",
            "--pull=never",
            "team/app:1",
            "cat",
            "/etc/image",
        ]);
        assert_eq!(output, "built by scripts/test-images", "{name}");
    }
    for name in ["docker.tar", "docker.tar.gz", "oci.tar"] {
        let home = Home::new();
        let output = home
            .command(["load"])
            .stdin(std::fs::File::open(place(name)).unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        home.run(["run", "--rm", "--pull=never", "team/app:1", "true"]);
    }
}

#[test]
fn an_archive_of_several_images() {
    require!(userns, image "tiny", image "manylayers");
    let (home, other) = (Home::new(), Home::new());
    let (tiny, many) = (home.image("tiny"), home.image("manylayers"));
    let dir = scratch();
    for format in ["docker", "oci"] {
        let archive = dir.path().join(format);
        home.run([
            "save",
            &format!("--format={format}"),
            "--output",
            text(&archive),
            &tiny,
            &many,
        ]);
        other.run(["load", "--input", text(&archive)]);
        for reference in [&tiny, &many] {
            other.run(["run", "--rm", "--pull=never", reference, "true"]);
            other.run(["rmi", reference]);
        }
    }
}

#[test]
fn no_half_archive_stays_behind() {
    require!(userns, image "tiny");
    let home = Home::new();
    let reference = home.image("tiny");
    let dir = scratch();
    let place = dir.path().join("image.tar");
    home.refused(
        [
            "save",
            "--output",
            text(&place),
            &reference,
            "no/such:image",
        ],
        1,
        "no/such:image",
    );
    assert!(!place.exists());
    std::fs::write(&place, "kept").unwrap();
    home.refused(
        ["save", "--output", text(&place), "no/such:image"],
        1,
        "no/such:image",
    );
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "kept");
}

#[test]
fn a_layout_without_a_name_is_called_after_its_directory() {
    require!(userns, image "tiny");
    let home = Home::new();
    let dir = scratch();
    std::os::unix::fs::symlink(images::layout("tiny"), dir.path().join("My-App")).unwrap();
    for (cwd, path) in [
        (dir.path(), "My-App"),
        (dir.path(), "./My-App/"),
        (&dir.path().join("My-App"), "."),
    ] {
        let output = home
            .command(["load", "--quiet", "--input", path])
            .current_dir(cwd)
            .output()
            .unwrap();
        assert!(output.status.success(), "{path}: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        // `.` can only be where the link leads to.
        let name = if path == "." {
            "localhost/tiny-"
        } else {
            "localhost/my-app:latest"
        };
        assert!(said.contains(name), "{path}: {said}");
    }
}
