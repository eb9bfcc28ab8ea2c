//! Capabilities and security options.

use shedbox_spec::capability::{Capability, is_all};
use shedbox_spec::security::{Seccomp, SeccompProfile, Security};
use shedbox_spec::{Error, Result, security_option};

use crate::body::HostConfig;

/// Docker's defaults are kept where they differ from ours: a program may gain privileges by being executed, which are
/// privileges over the sandbox alone. SYS_ADMIN, which harnesses ask for without a need, could undo walls that are mounts:
/// it is left out with a warning.
pub(super) fn security(host: &HostConfig, warnings: &mut Vec<String>) -> Result<Security> {
    let mut security = Security {
        no_new_privileges: false,
        cap_drop: host.cap_drop.clone(),
        ..Security::default()
    };
    for name in &host.cap_drop {
        check(name)?;
    }
    for name in &host.cap_add {
        check(name)?;
        if is_all(name) {
            all(&mut security);
        } else if Capability::parse(name)? == Capability::SysAdmin {
            warnings.push(
                "SYS_ADMIN was not added: it would be power over the sandbox's own walls"
                    .to_owned(),
            );
        } else {
            security.cap_add.push(name.clone());
        }
    }
    if host.privileged {
        warnings.push(
            "Privileged gives every capability over the sandbox itself but SYS_ADMIN, and none over the host".to_owned(),
        );
        all(&mut security);
        security.seccomp = Seccomp::Profile(SeccompProfile::Dev);
    }
    for option in &host.security_opt {
        // The client has read the file: what it sends is the profile itself.
        let option = option.replacen("seccomp:", "seccomp=", 1);
        if let Some(text) = option
            .strip_prefix("seccomp=")
            .filter(|text| text.trim_start().starts_with('{'))
        {
            security.seccomp = Seccomp::Custom(text.to_owned());
            continue;
        }
        security_option::apply(&mut security, &option, |path| {
            Err(Error::invalid(format!(
                "`{path}` is no seccomp profile; the client sends the profile's text"
            )))
        })?;
    }
    Ok(security)
}

fn all(security: &mut Security) {
    security.cap_add.push("ALL".to_owned());
    security.cap_drop.push("SYS_ADMIN".to_owned());
}

fn check(name: &str) -> Result<()> {
    if is_all(name) || Capability::parse(name).is_ok() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "invalid CapAdd: unknown capability: \"{name}\""
    )))
}
