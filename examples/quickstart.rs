//! The first minute: a sandbox, a command, a file, a reset.
//!
//! `cargo run --example quickstart [IMAGE]`; without an image, from the host's own programs.

#![expect(clippy::print_stdout, reason = "a program for people")]

use shedbox_client::{Result, Sandbox, SandboxSpec};

fn main() -> Result<()> {
    let spec = match std::env::args().nth(1) {
        Some(image) => SandboxSpec::image(image),
        None => SandboxSpec::host(),
    };
    let sandbox = Sandbox::create(spec.env("GREETING", "hello"))?;

    let output = sandbox
        .command("sh")
        .args([
            "-c",
            "echo $GREETING from $(hostname); echo talk >&2; exit 3",
        ])
        .output()?;
    print!("stdout: {}", String::from_utf8_lossy(&output.stdout));
    print!("stderr: {}", String::from_utf8_lossy(&output.stderr));
    println!("{} after {} us", output.status, output.result.wall_us);

    sandbox.write_file("/tmp/note", b"written from outside", 0o644)?;
    let note = sandbox.command("cat").arg("/tmp/note").output()?;
    println!("inside: {}", String::from_utf8_lossy(&note.stdout));

    let report = sandbox.reset()?;
    let gone = sandbox.command("test").args(["-e", "/tmp/note"]).status()?;
    println!(
        "generation {}: the note is {}",
        report.generation,
        if gone.success() { "there" } else { "gone" }
    );
    Ok(())
    // The sandbox goes with its handle.
}
