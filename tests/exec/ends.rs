//! How commands end, as their caller sees it.

use crate::require;
use crate::support::{Case, patience};

#[test]
fn the_commands_own_status() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("exit 0")
        .status(0)
        .sh("exit 7")
        .status(7)
        .sh("exit 255")
        .status(255);
}

#[test]
fn a_signal_is_128_and_its_number() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("kill -TERM $$")
        .status(143)
        .sh("kill -KILL $$")
        .status(137);
}

#[test]
fn a_program_that_is_not_there() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .exec(["no-such-program"])
        .stderr("exec: \"no-such-program\": executable file not found in $PATH")
        .status(127)
        .exec(["/no/such/program"])
        .stderr("no such file or directory")
        .status(127);
}

#[test]
fn a_file_that_cannot_be_run() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .exec(["/etc/image"])
        .stderr("permission denied")
        .status(126)
        .exec(["/etc"])
        .stderr("permission denied")
        .status(126)
        .sh("printf 'no format' > /bad && chmod +x /bad")
        .ok()
        .exec(["/bad"])
        .stderr("exec format error")
        .status(126);
}

#[test]
fn a_sandbox_that_does_not_exist() {
    let output = crate::support::Home::new()
        .command(["exec", "nobody", "true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("nobody"),
        "{output:?}"
    );
}

#[test]
fn no_shell_is_needed() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("rm /bin/sh /bin/ash; true")
        .ok()
        .exec(["echo", "a b", "*", "$HOME"])
        .stdout("a b * $HOME");
}

#[test]
fn a_command_line_as_long_as_the_kernel_allows() {
    require!(userns, image "tiny");
    // One argument may have 128 KiB; all of them together a quarter of the stack limit, 2 MiB here.
    let argument = "x".repeat(128 * 1024 - 1);
    let mut argv = vec!["sh", "-c", "echo ${#1} $#", "sh"];
    argv.extend(std::iter::repeat_n(argument.as_str(), 14));
    Case::image("tiny").exec(argv).stdout("131071 14");
}

#[test]
fn a_background_process_does_not_hold_the_command_back() {
    require!(userns, image "tiny");
    let began = std::time::Instant::now();
    let case = Case::image("tiny")
        .sh("echo before; sleep 1000 & echo after")
        .stdout("before\nafter");
    assert!(
        began.elapsed() < std::time::Duration::from_mins(1),
        "waited for the background process"
    );
    case.until_running("sleep 1000", 1);
}

#[test]
fn a_client_that_dies_takes_its_command_along() {
    require!(userns, image "tiny");
    let mut case = Case::image("tiny");
    case.start();
    let mut client = case
        .get_home()
        .command(["exec", case.name(), "sh", "-c", "sleep 2000 & sleep 2000"])
        .spawn()
        .unwrap();
    let case = case.until_running("sleep 2000", 2);
    client.kill().unwrap();
    client.wait().unwrap();
    case.until_running("sleep 2000", 0);
}

#[test]
fn a_detached_command_outlives_its_client() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .with("--detach")
        .sh("sleep 0.2; echo done > /result; sleep 1000")
        .ok()
        .sh("for i in $(seq 200); do test -s /result && break; sleep 0.05; done; cat /result")
        .stdout("done");
}

#[test]
fn many_commands_at_once() {
    require!(userns, image "tiny");
    let mut case = Case::image("tiny");
    case.start();
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for number in 0..32 {
            let (home, name) = (case.get_home(), case.name());
            scope.spawn(move || {
                let text = home.run(["exec", name, "sh", "-c", &format!("sleep 1; echo {number}")]);
                assert_eq!(text, number.to_string());
            });
        }
    });
    assert!(
        began.elapsed() < patience(std::time::Duration::from_secs(30)),
        "they ran one after the other"
    );
}

#[test]
fn a_missing_working_directory() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .with("--workdir=/no/such")
        .exec(["true"])
        .stderr("/no/such")
        .status(126)
        .with("--workdir=relative")
        .exec(["true"])
        .stderr("relative")
        .status(126);
    Case::image("tiny")
        .option("--workdir=/made/by/run")
        .exec(["pwd"])
        .stdout("/made/by/run");
}
