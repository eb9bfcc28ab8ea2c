//! Many at once: sandboxes from threads, and many commands in one sandbox.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::thread;
use std::time::Instant;

use shedbox_client::{Result, Sandbox, SandboxSpec};

const SANDBOXES: usize = 8;
const COMMANDS: usize = 16;

fn main() -> Result<()> {
    let began = Instant::now();
    let answers = each(SANDBOXES, |number| {
        let sandbox = Sandbox::create(SandboxSpec::host().env("NUMBER", &number.to_string()))?;
        let output = sandbox
            .command("sh")
            .args(["-c", "echo $NUMBER"])
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    })?;
    println!(
        "{} sandboxes in {:?}: {}",
        SANDBOXES,
        began.elapsed(),
        answers.join(" ")
    );

    let sandbox = Sandbox::create(SandboxSpec::host())?;
    let began = Instant::now();
    // All of them wait at the same time.
    each(COMMANDS, |_| sandbox.command("sleep").arg("0.2").output())?;
    println!("{COMMANDS} times 0.2 s of sleep in {:?}", began.elapsed());
    Ok(())
}

/// Calls `work` in as many threads at once; the first error counts.
fn each<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}
