//! Standard streams: separate, binary-safe, bounded in memory.

use std::io::Read;
use std::process::Stdio;

use crate::require;
use crate::support::Case;

#[test]
fn output_and_errors_are_separate() {
    require!(userns, image "tiny");
    let (_, output) = Case::image("tiny")
        .sh("echo out; echo err >&2; echo out2")
        .output();
    assert_eq!(output.stdout, b"out\nout2\n");
    assert_eq!(output.stderr, b"err\n");
}

#[test]
fn every_byte_in_both_directions() {
    require!(userns, image "tiny");
    let bytes: Vec<u8> = (0..=255u8).cycle().take(300_000).collect();
    let (_, output) = Case::image("tiny")
        .stdin(bytes.clone())
        .exec(["cat"])
        .output();
    assert!(output.status.success());
    assert!(
        output.stdout == bytes,
        "{} bytes came back",
        output.stdout.len()
    );
}

#[test]
fn without_interactive_input_is_empty() {
    require!(userns, image "tiny");
    Case::image("tiny").exec(["wc", "-c"]).stdout("0");
}

#[test]
fn the_end_of_input_reaches_the_command_while_output_goes_on() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .stdin("abc")
        .sh("cat >/dev/null; sleep 0.1; echo later")
        .stdout("later");
}

#[test]
fn standard_streams_are_pipes_and_not_the_callers_files() {
    require!(userns, image "tiny");
    let mut case = Case::image("tiny");
    case.start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "untouched").unwrap();
    // Through /proc/self/fd/0 a command could open the caller's file again, for writing.
    let output = case
        .get_home()
        .command([
            "exec",
            "-i",
            case.name(),
            "sh",
            "-c",
            "echo broken > /proc/self/fd/0; readlink /proc/self/fd/0",
        ])
        .stdin(std::fs::File::open(file.path()).unwrap())
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("pipe:"),
        "{output:?}"
    );
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "untouched");
}

#[test]
fn a_gibibyte_arrives_whole_and_constant_in_memory() {
    require!(userns, image "tiny");
    let mut case = Case::image("tiny");
    case.start();
    let mut client = case
        .get_home()
        .command([
            "exec",
            case.name(),
            "sh",
            "-c",
            "dd if=/dev/zero bs=1M count=1024 2>/dev/null | tr '\\0' 'x'",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = client.stdout.take().unwrap();
    let mut chunk = vec![0; 1 << 20];
    let mut total = 0u64;
    let mut peak = 0;
    loop {
        let count = pipe.read(&mut chunk).unwrap();
        if count == 0 {
            break;
        }
        assert!(chunk[..count].iter().all(|byte| *byte == b'x'));
        total += count as u64;
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", client.id())).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let rss = rss
            .and_then(|text| {
                text.trim()
                    .trim_end_matches(" kB")
                    .trim()
                    .parse::<u64>()
                    .ok()
            })
            .unwrap_or(0);
        peak = peak.max(rss);
    }
    assert!(client.wait().unwrap().success());
    assert_eq!(total, 1 << 30);
    assert!(peak < 64 * 1024, "the client used {peak} KiB");
}

#[test]
fn a_slow_reader_stalls_only_its_own_command() {
    require!(userns, image "tiny");
    let mut case = Case::image("tiny");
    case.start();
    let mut slow = case
        .get_home()
        .command(["exec", case.name(), "sh", "-c", "yes"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads `slow`; its pipes are full by now or soon.
    for _ in 0..5 {
        case = case.exec(["echo", "quick"]).stdout("quick");
    }
    slow.kill().unwrap();
    slow.wait().unwrap();
}

#[test]
fn a_terminal_when_asked_for() {
    require!(userns, program "script", image "tiny");
    Case::image("tiny")
        .sh("test -t 0 || test -t 1 || echo none")
        .stdout("none");
    let mut case = Case::image("tiny");
    case.start();
    // `script` gives the client a terminal of its own.
    let program = case.get_home().command([
        "exec",
        "-it",
        case.name(),
        "sh",
        "-c",
        "tty; stty size; test -t 0 && echo yes",
    ]);
    let mut line = format!("{:?}", program.get_program());
    for argument in program.get_args() {
        line.extend([" '", &argument.to_string_lossy(), "'"]);
    }
    let mut script = std::process::Command::new("script");
    script
        .args([
            "-qec",
            &format!("stty rows 33 cols 77; {line}"),
            "/dev/null",
        ])
        .envs(case.get_home().variables());
    let output = script.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(
        text.contains("/dev/pts/0") && text.contains("33 77") && text.contains("yes"),
        "{text}"
    );
}

#[test]
fn closing_the_output_ends_a_writer() {
    require!(userns, image "tiny");
    let mut case = Case::image("tiny");
    case.start();
    let mut client = case
        .get_home()
        .command(["exec", case.name(), "yes"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut few = [0; 10];
    client.stdout.take().unwrap().read_exact(&mut few).unwrap();
    // The pipe is closed now; broken pipe is no failure of the client's.
    let _ = client.wait().unwrap();
    case.until_running("yes", 0);
}
