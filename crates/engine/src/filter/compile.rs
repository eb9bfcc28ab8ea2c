//! From a plan to instructions, with libseccomp.
//!
//! Each ABI is a context of its own, so that a call that one of them lacks concerns only that one; the contexts are
//! merged before the export. The binary tree over call numbers keeps the way through the filter short. Calls whose answer
//! depends on their arguments are decided before, see [`super::arguments`].

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpFilterContext, ScmpSyscall};
use shedbox_linux::errno::Errno;
use shedbox_linux::seccomp::MAX_INSTRUCTIONS;

use super::plan::{Answer, Plan};
use super::{FilterError, arguments, bpf, newer};

/// libseccomp's binary tree over call numbers.
const BINARY_TREE: u32 = 2;

/// What the filter does with what the plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mode {
    /// What is denied is asked about instead; but clone3, which C libraries take for missing, is missing as ever.
    pub(super) asks: bool,
    /// Init uses clone3 itself: it is allowed here, and [`without_clone3`] takes it from the commands.
    pub(super) clone3: bool,
}

/// Compiles a plan.
pub(super) fn compile(plan: &Plan, mode: Mode) -> Result<Vec<u64>, FilterError> {
    let mut whole: Option<ScmpFilterContext> = None;
    for architecture in &plan.architectures {
        let context = context_for(plan, mode, *architecture)?;
        match &mut whole {
            None => whole = Some(context),
            Some(whole) => {
                whole
                    .merge(context)
                    .map_err(failed(|| format!("merge {architecture:?}")))?;
            }
        }
    }
    let whole = whole.ok_or(FilterError::Architecture(std::env::consts::ARCH))?;
    let mut filter = arguments::decide(plan, mode);
    filter.extend(export(&whole)?);
    if filter.len() > MAX_INSTRUCTIONS {
        return Err(FilterError::TooLong(filter.len()));
    }
    Ok(filter)
}

impl Mode {
    /// What the filter does for an answer of the plan.
    pub(super) fn action(self, call: &str, answer: Answer) -> ScmpAction {
        match answer {
            _ if call == "clone3" && self.clone3 => ScmpAction::Allow,
            Answer::Allow => ScmpAction::Allow,
            Answer::Errno(errno) if errno != 0 && self.asks && call != "clone3" => {
                ScmpAction::Notify
            }
            Answer::Errno(errno) => ScmpAction::Errno(errno),
        }
    }
}

/// A filter for commands whose init has to use clone3: that call is missing, by every ABI, and all others are up to init's
/// filter. Four instructions, because each command pays for it.
pub(super) fn without_clone3() -> Vec<u64> {
    /// The same on every architecture.
    const CLONE3: u32 = 435;
    vec![
        bpf::load_number(),
        bpf::unless_equal(CLONE3, 1),
        bpf::answer(ScmpAction::Errno(Errno::ENOSYS as i32)),
        bpf::answer(ScmpAction::Allow),
    ]
}

fn context_for(
    plan: &Plan,
    mode: Mode,
    architecture: ScmpArch,
) -> Result<ScmpFilterContext, FilterError> {
    let otherwise = mode.action("", plan.otherwise);
    let foreign = mode.action("", Answer::Errno(Errno::ENOSYS as i32));
    let mut context = new_context(otherwise, foreign, architecture)?;
    // On x86 libseccomp extends a rule for bind, say, to a part of socketcall; what is said of socketcall itself must be
    // there before.
    let (first, rest): (Vec<_>, Vec<_>) = plan
        .calls
        .iter()
        .partition(|(call, _)| *call == "socketcall");
    for (call, rules) in first.into_iter().chain(rest) {
        let [only] = rules.as_slice() else { continue };
        if !only.conditions.is_empty() {
            continue;
        }
        let wanted = mode.action(call, only.answer);
        // Names are looked up even where nothing is to be said, so that a slip never goes unnoticed.
        let number = number(call, architecture)?;
        if let Some(number) = number.filter(|_| wanted != otherwise) {
            context
                .add_rule(wanted, number)
                .map_err(failed(|| format!("rule for {call} on {architecture:?}")))?;
        }
    }
    Ok(context)
}

/// An empty filter for one ABI.
pub(super) fn new_context(
    otherwise: ScmpAction,
    foreign: ScmpAction,
    architecture: ScmpArch,
) -> Result<ScmpFilterContext, FilterError> {
    let what = || format!("new filter for {architecture:?}");
    let mut context = ScmpFilterContext::new(otherwise).map_err(failed(what))?;
    context
        .set_act_badarch(foreign)
        .and_then(|context| context.set_ctl_optimize(BINARY_TREE))
        .map_err(failed(what))?;
    if architecture != ScmpArch::native() {
        context
            .remove_arch(ScmpArch::Native)
            .and_then(|context| context.add_arch(architecture))
            .map_err(failed(what))?;
    }
    Ok(context)
}

/// The number to give to libseccomp for a call on `architecture`: the native one, which it translates. `None` when the
/// architecture does not have it. A name that nobody knows is an error: profiles of ours have no slips.
fn number(call: &str, architecture: ScmpArch) -> Result<Option<ScmpSyscall>, FilterError> {
    match ScmpSyscall::from_name_by_arch(call, architecture) {
        // Numbers below zero stand for calls that this ABI lacks, or has inside a multiplexed one.
        Ok(number) if number.as_raw_syscall() < 0 && !is_multiplexed(number) => Ok(None),
        Ok(_) => ScmpSyscall::from_name(call)
            .map(Some)
            .map_err(failed(|| format!("number of {call}"))),
        // A number cannot be translated without a name: on another ABI these stay ENOSYS.
        Err(_) => match newer::number(call) {
            Some(number) if architecture == ScmpArch::native() => {
                Ok(Some(ScmpSyscall::from_raw_syscall(number)))
            }
            Some(_) => Ok(None),
            None => Err(FilterError::Compile {
                action: "look up a call".into(),
                complaint: format!("unknown call `{call}`"),
            }),
        },
    }
}

/// Parts of `socketcall` and `ipc` on x86 have numbers from -101 to -224. Source: libseccomp, __PNR_socket and on.
fn is_multiplexed(number: ScmpSyscall) -> bool {
    (-224..=-101).contains(&number.as_raw_syscall())
}

/// The filter as the kernel reads it.
pub(super) fn export(context: &ScmpFilterContext) -> Result<Vec<u64>, FilterError> {
    let bytes = bytes_of(context)?;
    let (instructions, rest) = bytes.as_chunks::<{ size_of::<u64>() }>();
    if instructions.is_empty() || !rest.is_empty() {
        return Err(FilterError::Compile {
            action: "export".into(),
            complaint: format!("{} bytes are no list of instructions", bytes.len()),
        });
    }
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(FilterError::TooLong(instructions.len()));
    }
    Ok(instructions
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes))
        .collect())
}

/// libseccomp writes a filter to a descriptor only; a pipe holds 64 KiB at most, so it is read at the same time.
fn bytes_of(context: &ScmpFilterContext) -> Result<Vec<u8>, FilterError> {
    use std::io::Read;
    let io = |error: std::io::Error| FilterError::Compile {
        action: "export through a pipe".into(),
        complaint: error.to_string(),
    };
    let (mut read, write) = std::io::pipe().map_err(io)?;
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut bytes = Vec::new();
            read.read_to_end(&mut bytes).map(|_| bytes)
        });
        let exported = context.export_bpf(&write);
        drop(write);
        let bytes = reader
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the reader ended early")))
            .map_err(io)?;
        exported.map_err(failed(|| "export".into()))?;
        Ok(bytes)
    })
}

/// Says what was being done when libseccomp refused.
pub(super) fn failed(action: impl FnOnce() -> String) -> impl FnOnce(SeccompError) -> FilterError {
    move |error| FilterError::Compile {
        action: action(),
        complaint: error.to_string(),
    }
}
