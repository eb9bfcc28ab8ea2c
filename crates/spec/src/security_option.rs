//! `--security-opt` as Docker has it: `no-new-privileges[=BOOL]`, `seccomp=…`, `apparmor=…`, `label=…`.
//!
//! What the host cannot be asked for is an error that says so; nothing is accepted and then left out.

use crate::error::{Error, Kind, Result};
use crate::security::{Seccomp, SeccompProfile, Security};

/// Profiles by name, for messages.
const PROFILES: &str =
    "strict, default, dev, nested, unconfined, log, or a file with Docker's JSON";

/// Reads one option into `security`. `read` gets the path of a profile and gives its text.
pub fn apply(
    security: &mut Security,
    option: &str,
    read: impl FnOnce(&str) -> Result<String>,
) -> Result<()> {
    let (name, value) = match option.split_once(['=', ':']) {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    match (name, value) {
        ("no-new-privileges", None) => security.no_new_privileges = true,
        ("no-new-privileges", Some(value)) => {
            security.no_new_privileges = match value {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => {
                    return Err(Error::invalid(format!(
                        "invalid security option `{option}`: the value is not true or false"
                    )));
                }
            }
        }
        ("seccomp", Some(value)) if !value.is_empty() => {
            security.seccomp = match Seccomp::named(value) {
                Some(known) => known,
                None => Seccomp::Custom(
                    read(value)
                        .map_err(|error| error.with_hint(format!("`seccomp=` takes {PROFILES}")))?,
                ),
            }
        }
        // What they switch off is not there: no label and no AppArmor profile is ever put on a command.
        ("apparmor", Some("unconfined")) | ("label", Some("disable")) => {}
        ("apparmor", Some(value)) => {
            return Err(unsupported(
                format!("AppArmor profile `{value}` cannot be put on commands"),
                "an AppArmor profile would have to be loaded by root; seccomp, Landlock and capabilities are in force without",
            ));
        }
        ("label", Some(_)) => {
            return Err(unsupported(
                format!("`{option}`: commands get no SELinux labels"),
                "`label=disable` says the same and is accepted",
            ));
        }
        ("systempaths" | "unmask" | "proc-opts", Some(_)) => {
            return Err(unsupported(
                format!("`{option}`: masked and read-only paths of the kernel cannot be opened"),
                "`--security-opt seccomp=nested` gives namespaces inside, with /proc files as masked as outside",
            ));
        }
        ("mask", Some(path)) => {
            return Err(
                Error::invalid(format!("unknown security option `{option}`"))
                    .with_hint(format!("write `--mask {path}`")),
            );
        }
        _ => {
            return Err(
                Error::invalid(format!("unknown security option `{option}`")).with_hint(format!(
                    "known are no-new-privileges, seccomp ({PROFILES}), apparmor=unconfined and label=disable"
                )),
            );
        }
    }
    Ok(())
}

/// What to use instead of `--privileged`.
pub fn privileged() -> Error {
    unsupported(
        "`--privileged` is not there: rootless sandboxes have no privileges over the host to give"
            .to_owned(),
        "name what is needed: `--cap-add ALL` for capabilities over the sandbox itself, `--security-opt seccomp=nested` \
         for namespaces and sandboxes inside, `--security-opt seccomp=unconfined` for no filter",
    )
}

fn unsupported(message: String, hint: &str) -> Error {
    Error::new(Kind::Unsupported, message).with_hint(hint)
}

impl Seccomp {
    /// What a word after `seccomp=` stands for; `None` when it is none of them, and so a path.
    pub fn named(word: &str) -> Option<Self> {
        Some(Self::Profile(match word {
            "strict" => SeccompProfile::Strict,
            // Docker's word for its own.
            "default" | "builtin" => SeccompProfile::Default,
            "dev" => SeccompProfile::Dev,
            "nested" => SeccompProfile::Nested,
            "unconfined" => SeccompProfile::Unconfined,
            "log" => return Some(Self::Log),
            _ => return None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(options: &[&str]) -> Result<Security> {
        let mut security = Security::default();
        for option in options {
            apply(&mut security, option, |path| match path {
                "/p.json" => Ok("{}".to_owned()),
                _ => Err(Error::invalid(format!("cannot read `{path}`"))),
            })?;
        }
        Ok(security)
    }

    #[test]
    fn words_of_docker() {
        let nnp = |text: &str| applied(&[text]).unwrap().no_new_privileges;
        for on in [
            "no-new-privileges",
            "no-new-privileges=true",
            "no-new-privileges:true",
        ] {
            assert!(nnp(on), "{on}");
        }
        for off in ["no-new-privileges=false", "no-new-privileges:false"] {
            assert!(!nnp(off), "{off}");
        }
        let seccomp = |text: &str| applied(&[text]).unwrap().seccomp;
        for (word, profile) in [
            ("strict", SeccompProfile::Strict),
            ("default", SeccompProfile::Default),
            ("builtin", SeccompProfile::Default),
            ("dev", SeccompProfile::Dev),
            ("nested", SeccompProfile::Nested),
            ("unconfined", SeccompProfile::Unconfined),
        ] {
            assert_eq!(
                seccomp(&format!("seccomp={word}")),
                Seccomp::Profile(profile)
            );
            assert_eq!(
                seccomp(&format!("seccomp:{word}")),
                Seccomp::Profile(profile)
            );
        }
        assert_eq!(seccomp("seccomp=log"), Seccomp::Log);
        assert_eq!(seccomp("seccomp=/p.json"), Seccomp::Custom("{}".into()));
        assert_eq!(
            applied(&["label=disable", "apparmor=unconfined"]),
            Ok(Security::default())
        );
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        for (option, part) in [
            ("seccomp=nope", "cannot read `nope`"),
            ("seccomp=", "unknown security option"),
            ("no-new-privileges=maybe", "not true or false"),
            (
                "apparmor=docker-default",
                "AppArmor profile `docker-default`",
            ),
            ("label=type:svirt_t", "no SELinux labels"),
            ("systempaths=unconfined", "cannot be opened"),
            ("mask=/x", "unknown security option `mask=/x`"),
            ("wrong", "unknown security option `wrong`"),
        ] {
            let error = applied(&[option]).unwrap_err();
            assert!(error.message.contains(part), "{option}: {}", error.message);
            assert_eq!(error.hint.is_none(), option == "no-new-privileges=maybe");
        }
    }
}
