//! Measured times and what is said of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Runs `work` and says how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(Duration, T)> {
    let start = Instant::now();
    let value = work()?;
    Ok((start.elapsed(), value))
}

/// Times by what was done and who did it.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<(&'static str, &'static str), Vec<Duration>>);

/// The middle, the ninetieth percentile, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) p50: Duration,
    pub(crate) p90: Duration,
    pub(crate) count: usize,
}

impl Samples {
    /// Runs `work` so often, and once before that for cold caches, which is not counted.
    pub(crate) fn rounds(
        &mut self,
        count: usize,
        mut work: impl FnMut(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        work(&mut Self::default())?;
        (0..count).try_for_each(|_| work(self))
    }

    pub(crate) fn add(&mut self, what: &'static str, who: &'static str, took: Duration) {
        self.0.entry((what, who)).or_default().push(took);
    }

    pub(crate) fn summary(&self, what: &'static str, who: &'static str) -> Option<Summary> {
        let mut times = self.0.get(&(what, who))?.clone();
        times.sort_unstable();
        Some(Summary {
            p50: times[times.len() / 2],
            p90: times[times.len() * 9 / 10],
            count: times.len(),
        })
    }
}

/// A time as people read it.
pub(crate) fn words(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    if us < 10_000.0 {
        format!("{:.2} ms", us / 1e3)
    } else if us < 1e6 {
        format!("{:.0} ms", us / 1e3)
    } else {
        format!("{:.1} s", us / 1e6)
    }
}

/// How often `one` fits into `other`.
pub(crate) fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
