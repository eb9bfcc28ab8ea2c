//! What the user's own processes know is not known inside: environment, argument lists, paths of the host.

use crate::attack::Attack;
use crate::require;
use crate::support::{Home, Lane, scratch};

#[test]
fn nothing_of_the_callers_environment_or_paths_is_inside() {
    require!(userns);
    let home = Home::new();
    let volume = scratch();
    let secret = "s3cret-token-of-the-user";
    // The daemon and the keeper start with it, and so does every client.
    let run = |arguments: &[&str]| {
        let output = home
            .command(arguments)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("LD_PRELOAD_OF_THE_USER", secret)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let mount = format!("--volume={}:/volume", volume.path().display());
    run(&[
        "run", "--detach", "--name", "guarded", &mount, "host", "sleep", "1000",
    ]);
    let needle: String = secret.chars().rev().collect();
    let mut attack = Attack::new(include_str!("environment.py")).with(needle);
    // The volume's own path is named by the spec and so may show; the store and the sandbox's directories may not.
    let root = home.root().display().to_string();
    for word in [&root, "/sandboxes/", "/layers/", "memfd"] {
        attack = attack.with(word);
    }
    let names = match Lane::current() {
        Lane::Single => "APT_CONFIG HOME HOSTNAME PATH",
        Lane::Subids | Lane::Root => "HOME HOSTNAME PATH",
    };
    for _ in 0..2 {
        let argv = ["exec", "guarded"]
            .into_iter()
            .chain(attack.argv())
            .collect::<Vec<_>>();
        let said = run(&argv);
        assert_eq!(
            said,
            format!(
                "environment: as 0
own environment: {names}
secrets found: none in many
\
                 host paths in mountinfo: none
"
            )
        );
        home.run(["reset", "guarded"]);
    }
    // The control: it finds what is really there.
    let argv = ["exec", "--env", &format!("TOKEN={secret}"), "guarded"].map(str::to_owned);
    let argv: Vec<&str> = argv
        .iter()
        .map(String::as_str)
        .chain(attack.argv())
        .collect();
    assert!(run(&argv).contains("secrets found: /proc/"));
}
