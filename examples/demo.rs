//! The loop of a coding agent: 20 episodes in 4 sandboxes at once. Run by `make demo`.
//!
//! Each of four threads has one sandbox. An episode runs the tests of a small project (they must fail), applies a patch,
//! runs the tests again (they must pass), and resets the sandbox. The project is lent copy-on-write, so every episode
//! starts from the same state and the directory on the host never changes.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use shedbox_client::spec::mount::Access;
use shedbox_client::{Client, Sandbox, SandboxSpec, Stdio};

const SANDBOXES: usize = 4;
const EPISODES: usize = 20;
const STEPS: [&str; 8] = [
    "daemon start",
    "create",
    "first exec",
    "tests, failing",
    "patch",
    "tests, passing",
    "reset",
    "rm",
];
const TESTS: &str = "python3 -B -m unittest discover -s tests -t .";
const PATCH: &str = "if command -v patch >/dev/null; then patch -p1; else git apply; fi";

/// What took how long.
type Times = Mutex<BTreeMap<&'static str, Vec<Duration>>>;

fn main() -> anyhow::Result<()> {
    let options = Options::parse()?;
    let times = Times::default();
    timed(&times, "daemon start", || Ok(Client::shared().version()?))?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..SANDBOXES)
            .map(|worker| {
                let (options, times) = (&options, &times);
                scope.spawn(move || work(options, times, worker))
            })
            .collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        anyhow::Ok(())
    })?;
    print(&options, &times, began.elapsed());
    Ok(())
}

/// One sandbox and its share of the episodes.
fn work(options: &Options, times: &Times, worker: usize) -> anyhow::Result<()> {
    let spec = if options.image == "host" {
        SandboxSpec::host()
    } else {
        SandboxSpec::image(&options.image)
    };
    let spec = spec
        .bind(&options.project, "/work", Access::Cow)
        .workdir("/work");
    let sandbox = timed(times, "create", || Ok(Sandbox::create(spec)?))?;
    timed(times, "first exec", || {
        let output = sandbox.command("/bin/true").output()?;
        anyhow::ensure!(output.status.success(), "/bin/true: {}", output.status);
        Ok(())
    })?;
    for _ in (worker..EPISODES).step_by(SANDBOXES) {
        episode(options, times, &sandbox)?;
    }
    timed(times, "rm", || Ok(sandbox.remove()?))
}

fn episode(options: &Options, times: &Times, sandbox: &Sandbox) -> anyhow::Result<()> {
    let tests = |expected: u8| {
        let output = sandbox.command("sh").args(["-c", TESTS]).output()?;
        if output.status.code() != Some(expected) {
            bail!(
                "the tests ended with {} instead of {expected}:\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    };
    timed(times, "tests, failing", || tests(1))?;
    timed(times, "patch", || {
        let output = sandbox
            .command("sh")
            .args(["-c", PATCH])
            .stdin(Stdio::bytes(options.patch.clone()))
            .output()?;
        if !output.status.success() {
            bail!(
                "the patch ended with {}:\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    })?;
    timed(times, "tests, passing", || tests(0))?;
    timed(times, "reset", || {
        sandbox.reset()?;
        Ok(())
    })
}

fn timed<T>(
    times: &Times,
    step: &'static str,
    run: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    let value = run().with_context(|| format!("step `{step}`"))?;
    let took = start.elapsed();
    times
        .lock()
        .map_err(|_| anyhow::anyhow!("another worker panicked"))?
        .entry(step)
        .or_default()
        .push(took);
    Ok(value)
}

fn print(options: &Options, times: &Times, took: Duration) {
    let times = times
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    println!(
        "{EPISODES} episodes in {SANDBOXES} sandboxes at once, image {}: {:.2} s\n",
        options.image,
        took.as_secs_f64()
    );
    println!(
        "{:<16} {:>6} {:>10} {:>10} {:>10}",
        "step", "times", "p50 ms", "p90 ms", "max ms"
    );
    for step in STEPS {
        let Some(list) = times.get(step) else {
            continue;
        };
        let mut list = list.clone();
        list.sort_unstable();
        let at = |index: usize| list[index.min(list.len() - 1)].as_secs_f64() * 1e3;
        println!(
            "{step:<16} {:>6} {:>10.2} {:>10.2} {:>10.2}",
            list.len(),
            at(list.len() / 2),
            at(list.len() * 9 / 10),
            at(list.len() - 1)
        );
    }
}

/// The command line.
struct Options {
    image: String,
    project: String,
    patch: Vec<u8>,
}

impl Options {
    fn parse() -> anyhow::Result<Self> {
        let mut image = "host".to_owned();
        let (mut project, mut patch) = (None, None);
        let mut words = std::env::args().skip(1);
        while let Some(option) = words.next() {
            let value = words
                .next()
                .with_context(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--image" => image = value,
                "--project" => project = Some(value),
                "--patch" => patch = Some(PathBuf::from(value)),
                other => bail!("unknown option {other}; this is run by scripts/demo"),
            }
        }
        let patch = patch.context("--patch is missing")?;
        Ok(Self {
            image,
            project: project.context("--project is missing")?,
            patch: std::fs::read(&patch).with_context(|| format!("read {}", patch.display()))?,
        })
    }
}
