//! A sandbox with an owner dies with it, however the owner ends and whoever else has gone.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use shedbox_client::{Client, SandboxSpec};

use super::timed::Beside;
use crate::require;
use crate::support::{Home, Kinship, eventually, unique};

/// Not a test of its own: the program that others start and kill. It holds the handle of a sandbox until its standard
/// input ends.
#[test]
#[ignore = "a part of other tests, which start it"]
fn a_program_with_a_handle() {
    let image = std::env::var("SHEDBOX_TEST_IMAGE").expect("started by another test");
    let sandbox = Client::new()
        .create(SandboxSpec::image(image))
        .expect("create a sandbox");
    println!("\nid={}", sandbox.id());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("wait");
}

/// That program, while it runs.
struct Program {
    child: Child,
    /// It would end when nobody reads what its test harness says.
    _stdout: BufReader<ChildStdout>,
}

/// Starts it. Its sandbox's id, once there is one.
fn program_with_a_handle(home: &Home, image: &str) -> (Program, String) {
    let own = std::env::current_exe().expect("this program");
    let mut child = Command::new(own)
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "owner::a_program_with_a_handle",
        ])
        .envs(home.variables())
        .env("SHEDBOX_BIN", crate::support::program())
        .env("SHEDBOX_TEST_IMAGE", image)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the program");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let id = (&mut stdout)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("id=").map(str::to_owned))
        .expect("the program has a sandbox");
    let program = Program {
        child,
        _stdout: stdout,
    };
    (program, id)
}

fn end(mut program: Program) {
    program.child.kill().expect("kill the program");
    program.child.wait().expect("wait for the program");
}

fn listed(home: &Home) -> String {
    home.run(["ps", "--all", "--quiet", "--no-trunc"])
}

#[test]
fn a_handle_whose_program_was_killed() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let home = Home::new();
    let image = home.image("tiny");
    let (program, id) = program_with_a_handle(&home, &image);
    assert_eq!(listed(&home), id);
    end(program);
    eventually("the sandbox is gone", || listed(&home).is_empty());
    eventually("its processes are gone", || kin.inside().is_empty());
}

#[test]
fn a_handle_whose_program_ended_while_no_daemon_was_there() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let home = Home::new();
    let image = home.image("tiny");
    let (program, id) = program_with_a_handle(&home, &image);
    // A daemon that comes anew watches the owner as well.
    kin.daemon(&home).expect("a daemon").kill();
    assert_eq!(listed(&home), id);
    kin.daemon(&home).expect("a daemon").kill();
    end(program);
    eventually("the sandbox is gone", || listed(&home).is_empty());
    eventually("its processes are gone", || kin.inside().is_empty());
}

#[test]
fn run_rm_whose_client_was_killed() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let home = Home::new();
    let image = home.image("tiny");
    for daemon_dies_first in [false, true] {
        let name = unique("box");
        let mut client = Beside::start(
            home.command(["run", "--rm", "--name", &name, &image, "sleep", "1000000"]),
        );
        eventually("it runs", || {
            home.command(["exec", &name, "true"])
                .output()
                .is_ok_and(|output| output.status.success())
        });
        if daemon_dies_first {
            kin.daemon(&home).expect("a daemon").kill();
        }
        client.kill();
        client.end();
        eventually("the sandbox is gone", || listed(&home).is_empty());
        eventually("its processes are gone", || kin.inside().is_empty());
    }
}

#[test]
fn run_rm_in_the_background_goes_with_its_main_process() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let home = Home::new();
    let image = home.image("tiny");
    let id = home.run(["run", "--detach", "--rm", &image, "sleep", "1000000"]);
    assert_eq!(listed(&home), id, "it outlives the client that started it");
    let main = home.run(["exec", &id, "pidof", "sleep"]);
    kin.daemon(&home).expect("a daemon").kill();
    // It is ended with the sandbox.
    let killer = Beside::start(home.command(["exec", &id, "kill", "-9", &main])).end();
    assert!(matches!(killer.status.code(), Some(0 | 137)), "{killer:?}");
    eventually("the sandbox is gone", || listed(&home).is_empty());
    eventually("its processes are gone", || kin.inside().is_empty());
}
