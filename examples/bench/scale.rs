//! Many sandboxes: what each costs when it does nothing, and how fast they come and answer.

use std::time::Instant;

use crate::floor;
use crate::options::Options;
use crate::samples::{Samples, timed};
use crate::shed::Shed;
use crate::table::{Report, Target};

/// Memory per idle sandbox, its spare included.
pub(crate) fn memory(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    let count = (options.many / 10).clamp(10, 100);
    shed.wait_until_quiet()?;
    let (kernel_before, processes_before) = (kernel_kib()?, shed.resident_kib()?);
    let sandboxes = (0..count)
        .map(|_| shed.create())
        .collect::<anyhow::Result<Vec<_>>>()?;
    for sandbox in &sandboxes {
        sandbox.exec_true()?;
        sandbox.wait_for_spare()?;
    }
    let kernel = (kernel_kib()? - kernel_before) / count as f64;
    let user = (shed.resident_kib()? - processes_before) / count as f64;
    let each = kernel + user;
    for sandbox in sandboxes {
        sandbox.remove()?;
    }
    report.row(
        &format!("memory of each of {count} idle sandboxes, spare included"),
        &format!("{each:.0} KiB: {user:.0} KiB of processes (PSS), {kernel:.0} KiB of the kernel"),
        "slab, page tables, kernel stacks, per-processor data, before and after",
        "",
        "≤ 1024 KiB",
        each <= 1024.0,
    );
    Ok(())
}

/// A thousand sandboxes at once, each with a network namespace of its own.
pub(crate) fn many(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    let count = options.many;
    let bare = floor::many(&options.floor, shed.lower(), &options.dir, count)?;
    let mut samples = Samples::default();
    let one = shed.create()?;
    for _ in 0..options.rounds {
        samples.add("exec", "one", timed(|| one.exec_true())?.0);
    }
    one.remove()?;
    shed.wait_until_quiet()?;
    let start = Instant::now();
    let sandboxes = (0..count)
        .map(|_| shed.create())
        .collect::<anyhow::Result<Vec<_>>>()?;
    let rate = count as f64 / start.elapsed().as_secs_f64();
    for sandbox in &sandboxes {
        samples.add("exec", "many", timed(|| sandbox.exec_true())?.0);
    }
    for sandbox in sandboxes {
        sandbox.remove()?;
    }
    let ratio = rate / bare.per_second;
    report.row(
        &format!("{count} sandboxes alive: rate of creation"),
        &format!("{rate:.0} per second"),
        &format!(
            "floor: {:.0} per second ({:.0} KiB each)",
            bare.per_second, bare.kib_each
        ),
        &format!("{ratio:.2} ×"),
        "≥ 0.6 ×",
        ratio >= 0.6,
    );
    let (Some(alone), Some(among)) = (
        samples.summary("exec", "one"),
        samples.summary("exec", "many"),
    ) else {
        return Ok(());
    };
    let ratio = crate::samples::ratio(among.p90, alone.p90);
    report.row(
        &format!("exec in each of {count}, p90"),
        &crate::samples::words(among.p90),
        &format!(
            "one sandbox: {}; floor among {count}: {:.2} ms",
            crate::samples::words(alone.p90),
            bare.exec_p90_us / 1e3
        ),
        &format!("{ratio:.2} ×"),
        "≤ 2 ×",
        ratio <= 2.0,
    );
    report.compare(
        "exec in each",
        Some(among),
        "one sandbox",
        Some(alone),
        Target::None,
    );
    Ok(())
}

/// What the kernel keeps for itself, page cache and user memory not counted, in KiB. Of the whole machine: it has to be
/// quiet. Source: proc_meminfo(5).
fn kernel_kib() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    Ok(["Slab:", "KernelStack:", "PageTables:", "Percpu:"]
        .iter()
        .filter_map(|name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().split(' ').next()?.parse::<f64>().ok()
        })
        .sum())
}
