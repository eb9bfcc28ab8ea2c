//! Snapshot, restore and fork, beside a reset and a create of the same run.

use crate::options::Options;
use crate::samples::{Samples, timed};
use crate::shed::Shed;
use crate::table::{Report, Target};

const OURS: &str = "shedbox";
/// A thousand small files and one of 16 MiB.
const FILL: &str = "mkdir /full && cd /full && seq 1000 | xargs touch && \
    dd if=/dev/zero of=big bs=1048576 count=16 2>/dev/null";

/// The rows of snapshots.
pub(crate) fn run(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    let mut samples = Samples::default();
    let sandbox = shed.create()?;
    samples.rounds(options.rounds, |samples| {
        let mut add = |what, took| samples.add(what, OURS, took);
        sandbox.wait_for_spare()?;
        add("reset", timed(|| sandbox.reset())?.0);
        add("snapshot, empty", timed(|| sandbox.snapshot("empty"))?.0);
        sandbox.exec(&["sh", "-c", FILL])?;
        add("snapshot, full", timed(|| sandbox.snapshot("full"))?.0);
        sandbox.stop()?;
        add("snapshot at rest", timed(|| sandbox.snapshot("rest"))?.0);
        sandbox.start()?;
        sandbox.wait_for_spare()?;
        // The spare stands on the image.
        add("restore, first", timed(|| sandbox.restore("full"))?.0);
        sandbox.wait_for_spare()?;
        add("restore, again", timed(|| sandbox.restore("full"))?.0);
        let (took, fork) = timed(|| sandbox.fork("full"))?;
        add("fork", took);
        fork.remove()?;
        let (took, created) = timed(|| shed.create())?;
        add("create", took);
        created.remove()?;
        for tag in ["empty", "full", "rest"] {
            sandbox.remove_snapshot(tag)?;
        }
        sandbox.reset()?;
        shed.wait_until_quiet()?;
        Ok(())
    })?;
    sandbox.remove()?;
    let of = |what| samples.summary(what, OURS);
    for (what, yardstick) in [
        ("restore, again", "reset"),
        ("restore, first", "reset"),
        ("snapshot, empty", "reset"),
        ("snapshot, full", "reset"),
        ("snapshot at rest", "reset"),
        ("fork", "create"),
    ] {
        report.compare(what, of(what), yardstick, of(yardstick), Target::None);
    }
    Ok(())
}
