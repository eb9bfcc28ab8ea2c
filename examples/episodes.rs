//! Episodes of an agent: the same sandbox again and again, clean each time.
//!
//! `cargo run --example episodes [IMAGE]`

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::time::{Duration, Instant};

use shedbox_client::{Result, Sandbox, SandboxSpec};

const EPISODES: u32 = 10;

fn main() -> Result<()> {
    let spec = match std::env::args().nth(1) {
        Some(image) => SandboxSpec::image(image),
        None => SandboxSpec::host(),
    };
    // Forgotten sandboxes go by themselves after ten minutes, whatever happens to this program.
    let sandbox = Sandbox::create(spec.ttl(Duration::from_mins(10)))?;
    let mut resets = Duration::ZERO;
    for episode in 1..=EPISODES {
        // An untidy agent: files everywhere, and a process that nobody waits for.
        let output = sandbox
            .command("sh")
            .args([
                "-c",
                "ls /tmp | wc -l; mkdir -p /tmp/work; echo x >/tmp/work/x; sleep 1000 >/dev/null 2>&1 &",
            ])
            .timeout(Duration::from_secs(10))
            .output()?;
        let left_over = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let began = Instant::now();
        sandbox.reset()?;
        resets += began.elapsed();
        println!("episode {episode}: {left_over} files of the one before");
    }
    println!("a reset took {:?}", resets / EPISODES);
    Ok(())
}
