//! What a session says to its shell, and what the shell reports: plain text, no I/O.
//!
//! The shell is interactive without a terminal: then an interrupt or an error takes it back to reading its next line, and
//! does not end it. It reads lines from its standard input, which no command has: a command gets another one. Each line
//! runs one command by `eval`, and then says on descriptor 3 how that ended and where the shell is. Commands do not have
//! descriptor 3 either, and what it has to say is told by a token that is new for each line.

/// The shell's environment: no prompts, no file that is read at its start, no history.
pub(super) const ENV: [&str; 4] = ["PS1=", "PS2=", "ENV=", "HISTFILE="];

/// Starts the shell that is its `$0`. bash would read lines by an editor, which repeats them; it is bash also when its
/// name is `sh`.
const START: &str = "if [ -n \"${BASH_VERSION-}\" ]; then \
     exec \"$0\" --norc --noprofile --noediting -i +m +H; else exec \"$0\" -i +m -o ignoreeof; fi";

/// What busybox says when a background process ends while it reads: it takes the interrupted read for the end of its
/// input, which `ignoreeof` lets pass. Fifty times in a row; a [`NOTHING`] in between begins anew.
pub(super) const NO_END: &[u8] = b"\nUse \"exit\" to leave shell.\n";
/// A line that does nothing.
pub(super) const NOTHING: &[u8] = b":\n";

/// Says how the last command ended. It leaves no prompts behind, whatever the command has set.
const REPORT: &str = "\\command printf '%s %s ' TOKEN \"$?\" >&3; \\pwd >&3; \\command printf '\\000' >&3; PS1= PS2=";

/// What starts a shell.
pub(super) fn argv(shell: &str) -> Vec<Vec<u8>> {
    [shell, "-c", START, shell]
        .map(|word| word.as_bytes().to_vec())
        .to_vec()
}

/// The line that runs a command. `status` is what it finds in `$?`.
pub(super) fn line(command: &str, stdin: Option<&str>, status: u8, token: &str) -> String {
    // With `set -e` a status that is not 0 would end the shell.
    let before = match status {
        0 => String::new(),
        _ => format!("{{ case $- in *e*) ;; *) (exit {status});; esac; }} 2>/dev/null; "),
    };
    let (input, text) = match stdin {
        None => ("</dev/null".to_owned(), String::new()),
        Some(text) => {
            let ended = text.is_empty() || text.ends_with('\n');
            let end = if ended { "" } else { "\n" };
            (format!("<<'{token}'"), format!("{text}{end}{token}\n"))
        }
    };
    format!(
        "{before}\\command \\eval {} 3>&- {input}; {}\n{text}",
        quoted(command),
        report(token)
    )
}

/// The line that only reports.
pub(super) fn probe(token: &str) -> String {
    format!("{}\n", report(token))
}

/// Traces of `set -x` are not the command's.
fn report(token: &str) -> String {
    format!("{{ {}; }} 2>/dev/null", REPORT.replace("TOKEN", token))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What the shell has said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) token: String,
    pub(super) status: u8,
    pub(super) cwd: String,
}

/// Reads one report, without the NUL at its end; `None` for anything else.
pub(super) fn parse(bytes: &[u8]) -> Option<Report> {
    let text = String::from_utf8_lossy(bytes);
    let (token, rest) = text.split_once(' ')?;
    let (status, cwd) = rest.split_once(' ')?;
    Some(Report {
        token: token.to_owned(),
        status: status.parse().ok()?,
        cwd: cwd.strip_suffix('\n')?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_line_of_the_shell() {
        let tail = "{ \\command printf '%s %s ' t1 \"$?\" >&3; \\pwd >&3; \\command printf '\\000' >&3; PS1= PS2=; } \
                    2>/dev/null\n";
        assert_eq!(
            line("echo 'a'", None, 0, "t1"),
            format!("\\command \\eval 'echo '\\''a'\\''' 3>&- </dev/null; {tail}")
        );
        assert_eq!(
            line("cat", Some("x"), 3, "t1"),
            format!(
                "{{ case $- in *e*) ;; *) (exit 3);; esac; }} 2>/dev/null; \
                 \\command \\eval 'cat' 3>&- <<'t1'; {tail}x\nt1\n"
            )
        );
        assert!(line("cat", Some(""), 0, "t1").ends_with("\nt1\n"));
    }

    #[test]
    fn reports_are_read_or_ignored() {
        let report = |status, cwd: &str| {
            Some(Report {
                token: "t".into(),
                status,
                cwd: cwd.into(),
            })
        };
        assert_eq!(parse(b"t 0 /tmp\n"), report(0, "/tmp"));
        assert_eq!(parse(b"t 255 /a b\nc\n"), report(255, "/a b\nc"));
        for wrong in [&b""[..], b"t", b"t 1", b"t x /\n", b"t 300 /\n", b"t 0 /"] {
            assert_eq!(parse(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }
}
