//! Create, exec, reset, remove: all contestants, round by round.

use crate::bubblewrap::Bubblewrap;
use crate::docker::Docker;
use crate::floor::Floor;
use crate::options::Options;
use crate::podman::Podman;
use crate::samples::{Samples, timed};
use crate::shed::Shed;
use crate::table::{Report, Target};

const OURS: &str = "shedbox";
const FLOOR: &str = "floor";

/// The rows of the table that are quick.
pub(crate) fn run(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    let mut samples = Samples::default();
    let mut floor = Floor::start(&options.floor, shed.lower(), &options.dir)?;
    let bubblewrap = neighbour(report, "bwrap", Bubblewrap::new(&shed.lower()[0]));
    let docker = match &options.docker {
        Some(socket) => {
            let docker = Docker::connect(socket, &options.image)?;
            docker.pull()?;
            Some(docker)
        }
        None => None,
    };
    let podman = if options.podman {
        neighbour(report, "podman", Podman::new(&options.dir, &options.image))
    } else {
        None
    };
    samples.rounds(options.rounds, |samples| {
        floor_round(&mut floor, samples)?;
        shedbox_round(shed, samples)?;
        if let Some(bubblewrap) = &bubblewrap {
            samples.add("one shot", "bwrap", timed(|| bubblewrap.one_shot())?.0);
        }
        if let Some(docker) = &docker {
            engine_round(
                samples,
                "docker",
                || docker.create(),
                |id| docker.exec(id),
                |id| docker.remove(id),
            )?;
        }
        if let Some(podman) = &podman {
            engine_round(
                samples,
                "podman",
                || podman.create(),
                |id| podman.exec(id),
                |id| podman.remove(id),
            )?;
        }
        Ok(())
    })?;
    floor.stop()?;
    if let Some(podman) = podman {
        podman.clean_up()?;
    }
    tell(&samples, report);
    Ok(())
}

fn neighbour<T>(report: &mut Report, name: &str, made: anyhow::Result<T>) -> Option<T> {
    made.map_err(|error| report.note(format!("Without {name}: {error:#}")))
        .ok()
}

fn floor_round(floor: &mut Floor, samples: &mut Samples) -> anyhow::Result<()> {
    samples.add("create", FLOOR, floor.step("create")?);
    samples.add("first exec", FLOOR, floor.exec()?.1);
    let (inside, call) = floor.exec()?;
    samples.add("exec", FLOOR, inside);
    samples.add("exec call", FLOOR, call);
    samples.add("kill + create", FLOOR, floor.step("killcreate")?);
    samples.add("rm", FLOOR, floor.step("end")?);
    Ok(())
}

fn shedbox_round(shed: &Shed, samples: &mut Samples) -> anyhow::Result<()> {
    let (took, sandbox) = timed(|| shed.create())?;
    samples.add("create", OURS, took);
    samples.add("first exec", OURS, timed(|| sandbox.exec_true())?.0);
    samples.add("exec", OURS, timed(|| sandbox.exec_true())?.0);
    sandbox.wait_for_spare()?;
    samples.add("reset", OURS, timed(|| sandbox.reset())?.0);
    samples.add("reset at once", OURS, timed(|| sandbox.reset())?.0);
    sandbox.wait_for_spare()?;
    samples.add("exec after reset", OURS, timed(|| sandbox.exec_true())?.0);
    samples.add("CLI exec", OURS, timed(|| sandbox.cli_exec_true())?.0);
    samples.add("rm", OURS, timed(|| sandbox.remove())?.0);
    shed.wait_until_quiet()
}

/// An engine that has no reset: its users remove and run.
fn engine_round(
    samples: &mut Samples,
    who: &'static str,
    create: impl Fn() -> anyhow::Result<String>,
    exec: impl Fn(&str) -> anyhow::Result<()>,
    remove: impl Fn(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (created, id) = timed(&create)?;
    samples.add("create", who, created);
    samples.add("first exec", who, timed(|| exec(&id))?.0);
    samples.add("exec", who, timed(|| exec(&id))?.0);
    let (removed, ()) = timed(|| remove(&id))?;
    samples.add("rm", who, removed);
    let (again, id) = timed(&create)?;
    samples.add("rm + run", who, removed + again);
    remove(&id)
}

fn tell(samples: &Samples, report: &mut Report) {
    let of = |what, who| samples.summary(what, who);
    let ours = |what| of(what, OURS);
    let floor = |what| of(what, FLOOR);
    report.compare(
        "create",
        ours("create"),
        "floor",
        floor("create"),
        Target::AtMost(1.5),
    );
    report.compare(
        "first exec",
        ours("first exec"),
        "floor",
        floor("first exec"),
        Target::None,
    );
    report.compare(
        "exec of /bin/true",
        ours("exec"),
        "floor",
        floor("exec"),
        Target::AtMost(1.3),
    );
    report.compare(
        "exec of /bin/true",
        ours("exec"),
        "floor, with a message there and back",
        floor("exec call"),
        Target::None,
    );
    report.compare(
        "reset, spare ready",
        ours("reset"),
        "floor create",
        floor("create"),
        Target::AtMost(0.5),
    );
    report.compare(
        "reset, back to back",
        ours("reset at once"),
        "floor kill + create",
        floor("kill + create"),
        Target::AtMost(1.5),
    );
    report.compare(
        "rm",
        ours("rm"),
        "floor kill + wait + rename",
        floor("rm"),
        Target::AtMost(1.5),
    );
    report.compare(
        "CLI: shedbox exec X true",
        ours("CLI exec"),
        "bwrap one shot",
        of("one shot", "bwrap"),
        Target::AtMost(3.0),
    );
    report.compare(
        "the same, the goal",
        ours("CLI exec"),
        "bwrap one shot",
        of("one shot", "bwrap"),
        Target::AtMost(1.5),
    );
    for who in ["docker", "podman"] {
        let limit = |times| {
            if who == "docker" {
                Target::Faster(times)
            } else {
                Target::Faster(1.0)
            }
        };
        report.compare(
            "create",
            ours("create"),
            who,
            of("create", who),
            limit(100.0),
        );
        report.compare(
            "exec of /bin/true",
            ours("exec"),
            who,
            of("exec", who),
            limit(30.0),
        );
        report.compare(
            "reset, spare ready",
            ours("reset"),
            &format!("{who} rm + run"),
            of("rm + run", who),
            limit(300.0),
        );
        report.compare("rm", ours("rm"), who, of("rm", who), Target::Faster(1.0));
    }
}

/// Reset of an upperdir with 100,000 files and 5 GB, against an empty one.
pub(crate) fn full_upperdir(
    options: &Options,
    shed: &Shed,
    report: &mut Report,
) -> anyhow::Result<()> {
    const FILL: &str = "mkdir /full && cd /full && fallocate -l 5G big && \
        for d in $(seq 100); do mkdir $d; (cd $d && seq 1000 | xargs touch); done";
    let mut samples = Samples::default();
    let rounds = (options.rounds / 10).max(3);
    let sandbox = shed.create()?;
    for _ in 0..rounds {
        sandbox.wait_for_spare()?;
        samples.add("empty", OURS, timed(|| sandbox.reset())?.0);
        sandbox.wait_for_spare()?;
        sandbox.exec(&["sh", "-c", FILL])?;
        samples.add("full", OURS, timed(|| sandbox.reset())?.0);
        shed.wait_until_quiet()?;
    }
    sandbox.remove()?;
    report.compare(
        "reset with 100,000 files and 5 GB",
        samples.summary("full", OURS),
        "the same, upperdir empty",
        samples.summary("empty", OURS),
        Target::AtMost(1.2),
    );
    Ok(())
}
