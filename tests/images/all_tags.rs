//! All tags of a repository, pushed and pulled by our own docker-named command.

use crate::require;
use crate::support::{Home, Registry};

#[test]
fn all_tags_go_and_come() {
    require!(userns, program "skopeo", program "docker-registry", image "tiny");
    let (home, registry) = (Home::new(), Registry::start());
    let here = home.image("tiny");
    let name = registry.reference("team/all");
    for tag in ["one", "two"] {
        home.run(["docker", "tag", &here, &format!("{name}:{tag}")]);
    }
    let said = home.run(["docker", "push", "--all-tags", &name]);
    for tag in ["one", "two"] {
        assert!(said.contains(&format!("{tag}: digest: sha256:")), "{said}");
    }
    assert_eq!(home.run(["docker", "push", "-qa", &name]), name);
    // Without the flag it is about one.
    home.refused(["docker", "push", &name], 1, "tag does not exist");

    let other = Home::new();
    let said = other.run(["docker", "pull", "-a", &name]);
    for line in [
        "one: Pulling from team/all".to_owned(),
        "two: Pulling from team/all".to_owned(),
        format!("Status: Downloaded newer image for {name}"),
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    assert_eq!(said.lines().last(), Some(&*name));
    assert_eq!(other.run(["docker", "pull", "-qa", &name]), name);
    let format = "{{.Repository}}:{{.Tag}}";
    assert_eq!(
        other.run(["docker", "images", "--format", format, &name]),
        format!("{name}:one\n{name}:two")
    );
    for command in ["pull", "push"] {
        let one = format!("{name}:one");
        other.refused(
            ["docker", command, "-a", &one],
            1,
            "tag can't be used with --all-tags/-a",
        );
    }
}
