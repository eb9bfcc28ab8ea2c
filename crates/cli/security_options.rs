//! Options about capabilities, the system call filter and what is hidden.

use std::io::Read;

use anyhow::Result;
use shedbox_spec::capability::{Capability, is_all};
use shedbox_spec::security::Security;
use shedbox_spec::{Error, security_option};

/// Most of a profile that is read: Docker's own has 20 KiB.
const MAX_PROFILE: u64 = 1 << 20;

/// See the module.
#[derive(Debug, clap::Args)]
pub(crate) struct SecurityOptions {
    /// Add a capability to the default ones; `ALL` for every one
    #[arg(long, value_name = "NAME")]
    cap_add: Vec<String>,
    /// Take a capability away; `ALL` for every one
    #[arg(long, value_name = "NAME")]
    cap_drop: Vec<String>,
    /// Change a wall: `seccomp=strict|default|dev|nested|unconfined|log|FILE`, `no-new-privileges=false`
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Hide a path of the image: a file reads as empty, a directory is empty
    #[arg(long, value_name = "PATH")]
    mask: Vec<String>,
    /// Not there: says what to use instead
    #[arg(long, hide = true)]
    privileged: bool,
}

impl SecurityOptions {
    pub(crate) fn spec(&self) -> Result<Security> {
        if self.privileged {
            return Err(security_option::privileged().into());
        }
        for name in self.cap_add.iter().chain(&self.cap_drop) {
            if !is_all(name) {
                Capability::parse(name)?;
            }
        }
        let mut security = Security {
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            masked: self.mask.clone(),
            ..Security::default()
        };
        for option in &self.security_opt {
            security_option::apply(&mut security, option, read_profile)?;
        }
        Ok(security)
    }
}

fn read_profile(path: &str) -> Result<String, Error> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_PROFILE + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(Error::invalid(format!(
            "cannot read the seccomp profile `{path}`: {error}"
        ))),
        Ok(_) if text.len() as u64 > MAX_PROFILE => Err(Error::invalid(format!(
            "the seccomp profile `{path}` is larger than {MAX_PROFILE} bytes"
        ))),
        Ok(_) => Ok(text),
    }
}
