//! Errors for people: what, why, and what to do about it.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};

use shedbox_client::Error;

/// Exit status when shedbox itself failed where a command's own status is passed on; Docker's.
pub(crate) const SHEDBOX_FAILED: u8 = 125;

/// Writes an error with its causes and its hint to standard error; the exit status, `failed` unless it has its own.
pub(crate) fn report(error: &anyhow::Error, failed: u8) -> u8 {
    if let Some(error) = error.downcast_ref::<io::Error>()
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        return 0; // our reader has seen enough
    }
    // Nobody is left to be told when standard error cannot be written.
    let _ = io::stderr().write_all(describe(error).as_bytes());
    match error.downcast_ref::<Error>() {
        Some(Error::NotStarted(why)) => why.code,
        _ => failed,
    }
}

/// Says something that is no result.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Asks the person at the terminal whether to go on after they were told what it means; nobody there is an error.
pub(crate) fn confirm(what: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(shedbox_spec::Error::invalid("nobody is there to confirm")
            .with_hint("add `--force`")
            .into());
    }
    say(&format!("{what} Go on? [y/N]"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn describe(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        // Writing to a String does not fail, here and below.
        let _ = writeln!(text, "  caused by: {cause}");
    }
    let hint = error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<Error>() {
            error.hint()
        } else {
            cause
                .downcast_ref::<shedbox_spec::Error>()
                .and_then(|error| error.hint.clone())
        }
    });
    if let Some(hint) = hint {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use shedbox_client::NotStarted;

    use super::*;

    #[test]
    fn cause_and_hint() {
        let inner = shedbox_spec::Error::invalid("invalid signal `X`")
            .with_hint("use a name such as `TERM`");
        let error = Err::<(), _>(inner).context("cannot stop box").unwrap_err();
        assert_eq!(
            describe(&error),
            "error: cannot stop box\n  caused by: invalid signal `X`\nhint: use a name such as `TERM`\n"
        );
    }

    #[test]
    fn statuses() {
        let not_found = Error::NotStarted(NotStarted {
            code: 127,
            ..NotStarted::refused("no such program")
        });
        assert_eq!(report(&not_found.into(), SHEDBOX_FAILED), 127);
        assert_eq!(report(&anyhow::anyhow!("x"), 1), 1);
        assert_eq!(
            report(&io::Error::from(io::ErrorKind::BrokenPipe).into(), 1),
            0
        );
    }
}
