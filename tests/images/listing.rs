//! Images in listings, removed and pruned; never what a sandbox uses.

use serde_json::Value;

use crate::require;
use crate::support::{Home, Registry};

fn listed(home: &Home) -> Vec<Value> {
    serde_json::from_str(&home.run(["images", "--format=json"])).unwrap()
}

fn ids(home: &Home) -> Vec<String> {
    listed(home)
        .iter()
        .map(|image| image["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_a_listing_says() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let home = Home::new();
    assert_eq!(listed(&home), Vec::<Value>::new());
    let registry = Registry::start();
    let one = registry.push("tiny", "team/app:v1", &[]);
    let two = registry.push("tiny", "team/app:v2", &[]);
    for reference in [&one, &two] {
        home.run(["pull", "--quiet", reference]);
    }
    let images = listed(&home);
    assert_eq!(images.len(), 1, "one image with two names: {images:?}");
    let image = &images[0];
    assert_eq!(image["references"], serde_json::json!([one, two]));
    let id = image["id"].as_str().unwrap();
    let size = image["size"].as_u64().unwrap();
    assert!(
        (1_000_000..10_000_000).contains(&size),
        "extracted size: {size}"
    );

    let table = home.run(["images"]);
    let header = table.lines().next().unwrap();
    for column in ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"] {
        assert!(header.contains(column), "{table}");
    }
    let short = id.strip_prefix("sha256:").unwrap().get(..12).unwrap();
    for line in table.lines().skip(1) {
        assert!(line.contains("team/app") && line.contains(short), "{table}");
    }
    assert_eq!(table.lines().count(), 3, "a line for each name:\n{table}");
    let quiet = home.run(["images", "--quiet"]);
    assert!(quiet.lines().all(|line| line == short), "{quiet}");

    for name in [&one, short, id] {
        let text = home.run(["inspect", name]);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["id"], id, "inspect {name}");
        assert_eq!(
            value[0]["config"]["config"]["Labels"]["shedbox.test"],
            "tiny"
        );
        assert_eq!(value[0]["layers"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn names_go_one_by_one_and_the_image_with_the_last() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let home = Home::new();
    let registry = Registry::start();
    let one = registry.push("tiny", "app:v1", &[]);
    let two = registry.push("tiny", "app:v2", &[]);
    for reference in [&one, &two] {
        home.run(["pull", "--quiet", reference]);
    }
    let id = ids(&home).remove(0);
    // An id with two names is ambiguous about what is meant.
    home.refused(["rmi", &id], 1, "has 2 references");
    assert!(home.run(["rmi", &one]).contains(&one));
    assert_eq!(ids(&home), std::slice::from_ref(&id));
    let said = home.run(["rmi", &two]);
    assert!(said.contains(&two) && said.contains(&id), "{said}");
    assert_eq!(ids(&home), Vec::<String>::new());
    home.refused(["rmi", &two], 1, &two);
    home.run(["rmi", "--force", &two]);

    for reference in [&one, &two] {
        home.run(["pull", "--quiet", reference]);
    }
    home.run(["rmi", "--force", &id]);
    assert_eq!(ids(&home), Vec::<String>::new());
    assert_layers(&home, 0);
}

fn assert_layers(home: &Home, expected: usize) {
    crate::support::eventually("the layers that are left", || {
        std::fs::read_dir(home.root().join("store/layers"))
            .unwrap()
            .count()
            == expected
    });
}

#[test]
fn an_image_in_use_stays() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let home = Home::new();
    let registry = Registry::start();
    let reference = registry.push("tiny", "app:v1", &[]);
    home.run(["pull", "--quiet", &reference]);
    let id = ids(&home).remove(0);
    home.run(["run", "--detach", "--name=box", &reference, "sleep", "1000"]);
    home.refused(["rmi", &reference], 1, "in use");
    home.run(["prune", "--all", "--force"]);
    assert_eq!(ids(&home), std::slice::from_ref(&id));
    assert_eq!(
        home.run(["exec", "box", "cat", "/etc/image"]),
        "built by scripts/test-images"
    );

    // By force the name goes; what the sandbox stands on does not.
    home.run(["rmi", "--force", &reference]);
    home.run(["prune", "--all", "--force"]);
    home.run(["reset", "box"]);
    assert_eq!(
        home.run(["exec", "box", "cat", "/etc/image"]),
        "built by scripts/test-images"
    );
    home.run(["stop", "--time=0", "box"]);
    home.run(["start", "box"]);
    assert_eq!(
        home.run(["exec", "box", "cat", "/etc/image"]),
        "built by scripts/test-images"
    );

    home.run(["rm", "--force", "box"]);
    home.run(["prune", "--all", "--force"]);
    assert_eq!(ids(&home), Vec::<String>::new());
    assert_layers(&home, 0);
}

#[test]
fn prune_takes_what_has_no_name_and_all_what_has_no_user() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny", image "manylayers");
    let home = Home::new();
    let registry = Registry::start();
    let reference = registry.push("tiny", "app:1", &[]);
    home.run(["pull", "--quiet", &reference]);
    let first = ids(&home).remove(0);
    registry.push("manylayers", "app:1", &[]);
    home.run(["pull", "--quiet", &reference]);
    let second = ids(&home).into_iter().find(|id| *id != first).unwrap();

    home.run(["prune", "--force"]);
    assert_eq!(ids(&home), std::slice::from_ref(&second));
    assert_layers(&home, 25);
    assert_eq!(
        home.run(["run", "--rm", &reference, "cat", "/counter"]),
        "24"
    );
    home.run(["prune", "--all", "--force"]);
    assert_eq!(ids(&home), Vec::<String>::new());
    assert_layers(&home, 0);
}

#[test]
fn layers_that_another_image_has_stay() {
    require!(userns, program "skopeo", program "umoci", program "docker-registry", image "tiny");
    let home = Home::new();
    let registry = Registry::start();
    let base = registry.push("tiny", "base:1", &[]);
    let derived = registry.push_layout(&derived_layout().path().join("layout"), "derived:1", &[]);
    for reference in [&base, &derived] {
        home.run(["pull", "--quiet", reference]);
    }
    assert_layers(&home, 2);
    home.run(["rmi", &base]);
    assert_layers(&home, 2);
    assert_eq!(
        home.run(["run", "--rm", &derived, "cat", "/etc/image", "/added"]),
        "built by scripts/test-images\nadded"
    );
    home.run(["pull", "--quiet", &base]);
    home.run(["rmi", &derived]);
    assert_layers(&home, 1);
    home.run(["run", "--rm", &base, "test", "!", "-e", "/added"]);
}

/// `tiny` with one more layer.
fn derived_layout() -> tempfile::TempDir {
    let dir = crate::support::scratch();
    let script = r#"cp -rL "$1" "$2/layout" && echo added >"$2/added" && umoci insert --image "$2/layout:latest" --rootless "$2/added" /added"#;
    let output = std::process::Command::new("sh")
        .args(["-ec", script, "sh"])
        .arg(crate::support::images::layout("tiny"))
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    dir
}
