//! Streams and limits: talk to a command while it runs, cut it off in time, keep a flood out of memory.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use shedbox_client::{Error, Overflow, Result, Sandbox, SandboxSpec, Stdio};

fn main() -> Result<()> {
    let sandbox = Sandbox::create(SandboxSpec::host())?;

    // A conversation.
    let mut child = sandbox
        .command("sh")
        .args(["-c", "while read -r line; do echo \"heard $line\"; done"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let (Some(stdin), Some(stdout)) = (&mut child.stdin, &mut child.stdout) {
        let mut answers = BufReader::new(stdout);
        for word in ["one", "two"] {
            let mut answer = String::new();
            writeln!(stdin, "{word}")
                .and_then(|()| answers.read_line(&mut answer))
                .map_err(|source| Error::Io {
                    doing: "talk to the command".to_owned(),
                    source,
                })?;
            print!("{answer}");
        }
    }
    println!("{}", child.wait()?);

    // Out of time: what it wrote until then is there.
    let slow = sandbox
        .command("sh")
        .args(["-c", "echo partial; sleep 1000"])
        .timeout(Duration::from_millis(200))
        .output()?;
    print!("{}: {}", slow.status, String::from_utf8_lossy(&slow.stdout));

    // A flood: one kilobyte is kept, the rest is counted out.
    let flood = sandbox
        .command("head")
        .args(["-c", "100000000", "/dev/zero"])
        .output_limit(1024, Overflow::Truncate)
        .output()?;
    println!(
        "kept {} bytes, more came: {}",
        flood.stdout.len(),
        flood.stdout_truncated
    );
    Ok(())
}
