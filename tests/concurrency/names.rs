//! Names belong to one sandbox at a time.

use std::sync::Barrier;

use shedbox_client::{Client, Kind, SandboxSpec};

use crate::require;
use crate::support::{Home, unique};

#[test]
fn of_many_who_want_a_name_one_gets_it() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    for _ in 0..8 {
        let name = unique("wanted");
        let barrier = Barrier::new(12);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..12)
                .map(|_| {
                    scope.spawn(|| {
                        let client = Client::with_paths(home.paths());
                        barrier.wait();
                        client
                            .create(SandboxSpec::image(&image).name(&name))
                            .map(|sandbox| {
                                let id = sandbox.id().to_string();
                                sandbox.detach().expect("keep it");
                                id
                            })
                            .map_err(|error| (error.kind(), error.to_string()))
                    })
                })
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().expect("a client"))
                .collect()
        });
        let winners: Vec<_> = outcomes.iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        for (kind, message) in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!(*kind, Kind::Conflict, "{message}");
            assert!(message.contains(&name), "{message}");
        }
        assert_eq!(
            home.run(["exec", &name, "cat", "/etc/image"]),
            "built by scripts/test-images"
        );
        assert_eq!(&home.run(["ps", "--quiet", "--no-trunc"]), winners[0]);
        home.run(["rm", "-f", &name]);
    }
}

#[test]
fn a_name_is_free_right_after_rm() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let client = home.client();
    let name = unique("again");
    for round in 0..50 {
        let sandbox = client
            .create(SandboxSpec::image(&image).name(&name))
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        // By name, which leads to this one and not to the one before.
        let text = home.run([
            "exec",
            &name,
            "sh",
            "-c",
            "test ! -e /file; echo $?; echo x > /file",
        ]);
        assert_eq!(text, "0", "round {round}");
        sandbox.remove().expect("remove");
    }
}

#[test]
fn a_removal_and_a_creation_race_for_a_name() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    home.run(["ps"]);
    let name = unique("raced");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let client = Client::with_paths(home.paths());
                for _ in 0..15 {
                    match client.create(SandboxSpec::image(&image).name(&name)) {
                        Ok(sandbox) => {
                            let output = sandbox.command("true").output().expect("exec");
                            assert!(output.status.success());
                            sandbox.remove().expect("remove");
                        }
                        Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error}"),
                    }
                }
            });
        }
    });
    assert_eq!(home.run(["ps", "--all", "--quiet"]), "");
    let sandbox = home
        .client()
        .create(SandboxSpec::image(&image).name(&name))
        .expect("create");
    sandbox.remove().expect("remove");
}
