//! Through Docker's API: what it adds to the native call, and docker-py and the SWE-bench harness with our socket and with
//! dockerd's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::docker::Docker;
use crate::options::Options;
use crate::samples::{Samples, timed};
use crate::shed::Shed;
use crate::table::{Report, Target};

const API: &str = "API";
const NATIVE: &str = "native";
const OURS: &str = "shedbox";
const DOCKERD: &str = "dockerd";
/// What the API may add to a native call.
const ADDED: Duration = Duration::from_micros(700);

/// Operations of the program of docker-py, and how many times faster than dockerd each should be.
const SDK: [(&str, Target); 4] = [
    ("create + start", Target::Faster(40.0)),
    ("exec", Target::Faster(15.0)),
    ("inspect", Target::None),
    ("stop + rm", Target::Faster(100.0)),
];

pub(crate) fn run(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    added(options, shed, report)?;
    let Some(clients) = &options.clients else {
        report.note("Without programs that use Docker: --clients was not given.");
        return Ok(());
    };
    sdk(options, shed, clients, report)?;
    harness(options, shed, clients, report)
}

/// The same sandbox, native and by requests of HTTP, without a client library.
fn added(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    let docker = Docker::connect(&shed.api_socket(), &options.image)?;
    let mut samples = Samples::default();
    samples.rounds(options.rounds, |samples| {
        let (took, id) = timed(|| docker.create())?;
        samples.add("create", API, took);
        for _ in 0..2 {
            samples.add("exec", API, timed(|| docker.exec(&id))?.0);
        }
        samples.add("rm", API, timed(|| docker.remove(&id))?.0);
        shed.wait_until_quiet()?;
        let (took, sandbox) =
            timed(|| shed.create_from(shed.spec().command(["sleep", "1000000"])))?;
        samples.add("create", NATIVE, took);
        for _ in 0..2 {
            samples.add("exec", NATIVE, timed(|| sandbox.exec_true())?.0);
        }
        samples.add("rm", NATIVE, timed(|| sandbox.remove())?.0);
        shed.wait_until_quiet()?;
        Ok(())
    })?;
    // docker's create and exec are two and three requests.
    for (what, figure) in [
        ("create", "API: create and start"),
        ("exec", "API: exec create, start, inspect"),
        ("rm", "API: rm"),
    ] {
        let (ours, native) = (samples.summary(what, API), samples.summary(what, NATIVE));
        report.added(figure, ours, "native", native, ADDED);
    }
    Ok(())
}

/// One program of docker-py against both daemons.
fn sdk(options: &Options, shed: &Shed, clients: &Path, report: &mut Report) -> anyhow::Result<()> {
    let Some(docker) = &options.docker else {
        report.note(
            "Without docker-py and the SWE-bench harness: there is no dockerd to compare with.",
        );
        return Ok(());
    };
    Docker::connect(docker, &options.image)?.pull()?;
    let program = beside("examples/bench/docker_sdk.py")?;
    let text = output(
        Command::new(clients.join("clients/bin/python"))
            .arg(program)
            .args([&options.image, &(options.rounds / 5).max(5).to_string()])
            .arg(format!("{OURS}={}", shed.api_socket().display()))
            .arg(format!("{DOCKERD}={}", docker.display())),
    )?;
    let times: Value = serde_json::from_str(&text)?;
    for (what, target) in SDK {
        let mut samples = Samples::default();
        for who in [OURS, DOCKERD] {
            for took in times[what][who].as_array().context("no times")? {
                let took = took.as_f64().context("no number")?;
                samples.add(what, who, Duration::from_secs_f64(took / 1e3));
            }
        }
        report.compare(
            &format!("docker-py: {what}"),
            samples.summary(what, OURS),
            DOCKERD,
            samples.summary(what, DOCKERD),
            target,
        );
    }
    Ok(())
}

/// Eight rows of the harness with four workers. Its suite knows how.
fn harness(
    options: &Options,
    shed: &Shed,
    clients: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Some(docker) = &options.docker else {
        return Ok(());
    };
    let said = output(
        Command::new(clients.join("clients/bin/python"))
            .arg(beside("tests/docker/clients/swebench_harness.py")?)
            .args(["image loads", "half of dockerd"])
            .env(
                "DOCKER_HOST",
                format!("unix://{}", shed.api_socket().display()),
            )
            .env(
                "DOCKER_HOST_REFERENCE",
                format!("unix://{}", docker.display()),
            ),
    )?;
    let line = said
        .lines()
        .find_map(|line| line.split_once("8 rows, 4 workers: "))
        .with_context(|| format!("the harness did not say how long it took: {said}"))?
        .1;
    let mut words = line.split(", ");
    let (ours, theirs) = (
        words.next().context("ours")?,
        words.next().context("theirs")?,
    );
    let ratio = line.rsplit(' ').next().unwrap_or_default();
    report.row(
        "SWE-bench harness, 8 rows, 4 workers",
        ours,
        theirs,
        &format!("{ratio} ×"),
        "≤ 0.5 ×",
        ratio.parse::<f64>()? <= 0.5,
    );
    Ok(())
}

/// A file of the repository, in which this is run.
fn beside(path: &str) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(path);
    if !path.exists() {
        bail!(
            "{} is not here; this is run by scripts/bench",
            path.display()
        );
    }
    Ok(path)
}

/// What a program says, when it succeeds.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}\n{text}\n{errors}", output.status);
    }
    Ok(text)
}
