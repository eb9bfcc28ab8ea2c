//! What could not be kept of a layer, said once per cause.

use std::collections::BTreeMap;

use crate::entry::shown;

/// Why something was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loss {
    /// Only root is mapped.
    Owner,
    Device,
    /// A socket or device of a sandbox.
    Special,
    /// The kernel does not let us set file capabilities.
    Capability,
    /// An attribute that only the host's root may set, or that overlay would understand.
    Xattr,
    /// An attribute that the file system, or this kind of file, cannot have.
    XattrUnsupported,
}

/// Counts losses and remembers the first of each kind.
#[derive(Debug, Default)]
pub(crate) struct Warnings(BTreeMap<Loss, (String, u64)>);

impl Warnings {
    /// Something of the entry `name` was lost; `detail` is the attribute, when that is what it was.
    pub(crate) fn add(&mut self, loss: Loss, name: &[u8], detail: &[u8]) {
        let (_, count) = self.0.entry(loss).or_insert_with(|| {
            let first = if detail.is_empty() {
                format!("`{}`", shown(name))
            } else {
                format!("`{}` of `{}`", shown(detail), shown(name))
            };
            (first, 0)
        });
        *count += 1;
    }

    /// One line per cause.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(loss, (first, count))| {
                let what = match loss {
                    Loss::Owner => {
                        "owners other than root are recorded as root (only one id is mapped)"
                    }
                    Loss::Device => "device nodes became empty files",
                    Loss::Special => "sockets and device nodes are left out",
                    Loss::Capability => "file capabilities cannot be set here and are left out",
                    Loss::Xattr => "extended attributes outside `user.` are left out",
                    Loss::XattrUnsupported => {
                        "extended attributes that this file system cannot hold are left out"
                    }
                };
                match count - 1 {
                    0 => format!("{what}: {first}"),
                    more => format!("{what}: {first} and {more} more"),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_cause() {
        let mut warnings = Warnings::default();
        warnings.add(Loss::Device, b"dev/null", b"");
        warnings.add(Loss::Xattr, b"a", b"trusted.x");
        warnings.add(Loss::Device, b"dev/zero", b"");
        assert_eq!(
            warnings.lines(),
            [
                "device nodes became empty files: `dev/null` and 1 more",
                "extended attributes outside `user.` are left out: `trusted.x` of `a`",
            ]
        );
    }
}
