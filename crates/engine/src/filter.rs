//! seccomp filters: from profiles to the instructions that init or a command installs.
//!
//! ```text
//! profile   vendor/seccomp/*.json: rules with reasons; what a capability opens
//! plan      the rules of one sandbox, those of its capabilities among them, for each call
//! custom    a profile in Docker's JSON, with libseccomp's own meaning of it
//! compile   libseccomp: one context an ABI, merged, exported; arguments: what it cannot say, put before
//! ```
//!
//! Init installs the filter once and commands inherit it, so it costs nothing an exec: a filter of ours allows what init
//! needs. One of the caller's may not, and is put on each command instead. Where init has to use clone3, to start commands
//! in a cgroup, its filter allows that, and a second one of four instructions takes it from each command.
//!
//! A filter is compiled at its first use, once per process for each profile, set of capabilities and id map.

mod arguments;
mod bpf;
mod compile;
mod custom;
pub mod learned;
mod newer;
mod plan;
mod profile;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use shedbox_linux::seccomp::MAX_INSTRUCTIONS;
use shedbox_spec::capability::Capability;
use shedbox_spec::security::{Seccomp, SeccompProfile};
use shedbox_spec::{Error, Kind};

use compile::{Mode, compile, without_clone3};
use plan::Plan;

/// A filter that cannot be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FilterError {
    /// A profile of ours is not a profile.
    #[error("seccomp profile `{profile}` is not valid: {complaint}")]
    Profile {
        /// Which.
        profile: String,
        /// What is wrong with it.
        complaint: String,
    },
    /// A profile of the caller's is not one.
    #[error("the seccomp profile is not valid: {0}")]
    Custom(String),
    /// libseccomp refused.
    #[error("cannot compile the seccomp filter: {action}: {complaint}")]
    Compile {
        /// What was being done.
        action: String,
        /// What libseccomp said (its error type cannot be kept in a cache).
        complaint: String,
    },
    /// The kernel would not take a filter of this length.
    #[error("the seccomp filter has {0} instructions, the kernel takes at most {MAX_INSTRUCTIONS}")]
    TooLong(usize),
    /// There is no profile for this machine.
    #[error("there is no seccomp profile for {0}")]
    Architecture(&'static str),
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        let (kind, hint) = match error {
            FilterError::Custom(_) | FilterError::TooLong(_) => (
                Kind::Invalid,
                "it has to be Docker's or OCI's seccomp JSON; shedbox's own are strict, default, dev, nested and unconfined",
            ),
            FilterError::Architecture(_) => (
                Kind::Unsupported,
                "give a profile of your own, or choose `seccomp=unconfined`",
            ),
            FilterError::Profile { .. } | FilterError::Compile { .. } => (
                Kind::Internal,
                "the profiles are part of the program: install an unmodified build for this machine",
            ),
        };
        Self::new(kind, error.to_string()).with_hint(hint)
    }
}

/// What a generation installs, each as `struct sock_filter` packed in u64; empty for none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters {
    /// Init in itself, once; every command inherits it.
    pub init: Vec<u64>,
    /// Each command in itself besides.
    pub command: Vec<u64>,
    /// `init` asks about what it would deny: whoever installs it has to answer.
    pub asks: bool,
}

/// What decides about filters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    seccomp: Choice,
    capabilities: u64,
    single_map: bool,
    init_uses_clone3: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Choice {
    Profile(&'static str),
    Custom(String),
    Log,
    None,
}

/// Filters kept in memory. More than this many different ones are unlikely, and 10 KiB each.
const CACHE_SIZE: usize = 64;

type Cache = HashMap<Key, Result<Arc<Filters>, FilterError>>;

/// The filters of a sandbox with these capabilities (a bit set).
///
/// With `single_map` the calls that need more ids than root are answered in place of the kernel. With
/// `init_uses_clone3` the filter of init allows clone3, and commands get one that does not.
pub fn filters_for(
    seccomp: &Seccomp,
    capabilities: u64,
    single_map: bool,
    init_uses_clone3: bool,
) -> Result<Arc<Filters>, FilterError> {
    static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);
    let seccomp = match seccomp {
        Seccomp::Profile(SeccompProfile::Unconfined) => Choice::None,
        Seccomp::Profile(profile) => Choice::Profile(profile::name(*profile)),
        Seccomp::Custom(text) => Choice::Custom(text.clone()),
        Seccomp::Log => Choice::Log,
    };
    let key = Key {
        // Only what a rule asks for: two sets that differ otherwise have one filter.
        capabilities: match seccomp {
            Choice::None => 0,
            Choice::Custom(_) => capabilities,
            Choice::Profile(_) | Choice::Log => capabilities & profile::capabilities_that_matter(),
        },
        seccomp,
        single_map,
        init_uses_clone3,
    };
    // Held while one is compiled: whoever wants the same waits for it instead of compiling it too.
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = cache.get(&key) {
        return known.clone();
    }
    let made = make(&key).map(Arc::new);
    if cache.len() >= CACHE_SIZE {
        cache.clear();
    }
    cache.insert(key, made.clone());
    made
}

fn make(key: &Key) -> Result<Filters, FilterError> {
    let capabilities = key.capabilities;
    match &key.seccomp {
        Choice::None => Ok(Filters {
            init: emulation(key.single_map)?,
            ..Filters::default()
        }),
        Choice::Custom(text) => Ok(Filters {
            init: emulation(key.single_map)?,
            command: custom::filter(text, capabilities)?,
            asks: false,
        }),
        Choice::Log => inherited("default", key, true),
        Choice::Profile(name) => inherited(name, key, false),
    }
}

/// A profile of ours, which init can live with.
fn inherited(name: &str, key: &Key, asks: bool) -> Result<Filters, FilterError> {
    let plan = Plan::of(name, key.capabilities, key.single_map)?;
    let mode = Mode {
        asks,
        clone3: key.init_uses_clone3,
    };
    Ok(Filters {
        init: compile(&plan, mode)?,
        command: if key.init_uses_clone3 && !plan.allows_clone3() {
            without_clone3()
        } else {
            Vec::new()
        },
        asks,
    })
}

/// What is answered in place of the kernel where root is the only id, on its own.
fn emulation(single_map: bool) -> Result<Vec<u64>, FilterError> {
    if single_map {
        compile(&Plan::of("root-emulation", 0, false)?, Mode::default())
    } else {
        Ok(Vec::new())
    }
}

/// Whether a set of capabilities has one of these.
fn has_one_of(set: u64, capabilities: &[Capability]) -> bool {
    capabilities
        .iter()
        .any(|capability| set & capability.bit() != 0)
}

#[cfg(test)]
mod emulator;
#[cfg(test)]
mod in_force_tests;
#[cfg(test)]
#[path = "filter/filter_tests.rs"]
mod tests;
