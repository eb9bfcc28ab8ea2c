//! What the walls cost: with all of them against without filter and Landlock, and work inside against bare bubblewrap.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use shedbox_client::SandboxSpec;
use shedbox_client::spec::landlock::{LandlockLevel, LandlockSpec};
use shedbox_client::spec::security::{Seccomp, SeccompProfile, Security};

use crate::options::Options;
use crate::samples::{Samples, timed};
use crate::shed::Shed;
use crate::table::{Report, Target};

const WITH: &str = "with";
const WITHOUT: &str = "without";
const BWRAP: &str = "bwrap";

/// Rounds of a loop: a tenth of a second or so.
const CALLS: &str = "1000000";
const OPENS: &str = "100000";
/// A test suite of a real package: Python's own, for its json module.
const SUITE: &[&str] = &["python3", "-m", "test", "test_json"];

pub(crate) fn run(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    let mut samples = Samples::default();
    for round in 0..=options.rounds {
        for (who, open) in [(WITH, false), (WITHOUT, true)] {
            let spec = SandboxSpec {
                security: if open {
                    no_walls()
                } else {
                    Security::default()
                },
                ..shed.spec()
            };
            let (created, sandbox) = timed(|| shed.create_from(spec))?;
            sandbox.exec_true()?;
            let (ran, ()) = timed(|| sandbox.exec_true())?;
            sandbox.remove()?;
            shed.wait_until_quiet()?;
            if round > 0 {
                samples.add("create", who, created);
                samples.add("exec", who, ran);
            }
        }
    }
    added(&samples, report, "create", Duration::from_micros(400));
    added(&samples, report, "exec", Duration::from_micros(150));
    work(options, shed, report)
}

fn no_walls() -> Security {
    Security {
        seccomp: Seccomp::Profile(SeccompProfile::Unconfined),
        landlock: LandlockSpec {
            level: LandlockLevel::Off,
            ..LandlockSpec::default()
        },
        ..Security::default()
    }
}

/// A row on what the walls add to a step.
fn added(samples: &Samples, report: &mut Report, what: &'static str, most: Duration) {
    report.added(
        &format!("{what}, all walls"),
        samples.summary(what, WITH),
        "without filter and Landlock",
        samples.summary(what, WITHOUT),
        most,
    );
}

/// Loops of system calls and a test suite, in a sandbox and in bubblewrap on the same files.
fn work(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    let loops = options.loops.as_deref().context("--loops is not given")?;
    let dir = loops.parent().context("a directory")?;
    let dir = dir.to_str().context("a UTF-8 path")?;
    let program = loops.to_str().context("a UTF-8 path")?;
    // The same path and the same file on both sides: a volume, so that it is not overlayfs that is measured.
    let sandbox = shed.create_from(SandboxSpec::host().volume(dir, dir))?;
    let getppid = [program, "getppid", CALLS];
    let open = [program, "open", OPENS, program];
    let overlay = [program, "open", OPENS, "/etc/passwd"];
    let mut samples = Samples::default();
    for round in 0..=(options.rounds / 5).max(5) {
        let mut discarded = Samples::default();
        let samples = if round == 0 {
            &mut discarded
        } else {
            &mut samples
        };
        for (what, argv) in [
            ("getppid", &getppid[..]),
            ("open", &open),
            ("overlay", &overlay),
        ] {
            samples.add(what, WITH, nanoseconds(&sandbox.output(argv)?)?);
            samples.add(what, BWRAP, nanoseconds(&bubblewrap(dir, argv)?)?);
        }
        if round % 5 == 0 {
            samples.add("suite", WITH, timed(|| sandbox.output(SUITE))?.0);
            samples.add("suite", BWRAP, timed(|| bubblewrap(dir, SUITE))?.0);
        }
    }
    sandbox.remove()?;
    let of = |what, who| samples.summary(what, who);
    let mut row = |figure: &str, what, target| {
        report.compare(figure, of(what, WITH), BWRAP, of(what, BWRAP), target);
    };
    row("a million getppid", "getppid", Target::AtMost(1.1));
    row(
        "100,000 open and close, file of a volume",
        "open",
        Target::AtMost(1.1),
    );
    row("the same, file of the image", "overlay", Target::None);
    row(
        "a test suite (Python's json)",
        "suite",
        Target::AtMost(1.02),
    );
    Ok(())
}

/// The program's own measurement, scaled to its rounds, which are the same for everybody.
fn nanoseconds(output: &str) -> anyhow::Result<Duration> {
    let nanos: f64 = output.trim().parse().context("the loop's answer")?;
    Ok(Duration::from_secs_f64(nanos * 1e-3))
}

fn bubblewrap(dir: &str, argv: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("bwrap")
        .args(["--unshare-all", "--ro-bind", "/", "/", "--tmpfs", "/tmp"])
        .args(["--bind", dir, dir, "--proc", "/proc", "--dev", "/dev", "--"])
        .args(argv)
        .stdin(Stdio::null())
        .output()
        .context("bwrap")?;
    if !output.status.success() {
        bail!(
            "bwrap {argv:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
