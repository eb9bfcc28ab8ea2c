//! Small files of /proc and /sys: reading one, and what their contents say.

use std::path::Path;

/// The content of a file of /proc or /sys; `None` when it cannot be read, which for these files means that the kernel
/// has no such setting or hides it.
pub(super) fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// A sysctl that is a number.
pub(super) fn sysctl(name: &str) -> Option<u64> {
    read(format!("/proc/sys/{}", name.replace('.', "/"))).and_then(|text| number(&text))
}

/// A file that holds one number; `max` is unlimited.
pub(super) fn number(text: &str) -> Option<u64> {
    match text.trim() {
        "max" => Some(u64::MAX),
        digits => digits.parse().ok(),
    }
}

/// Major and minor version of a kernel release: `6.18.0-1-amd64` is (6, 18).
pub(super) fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// The name of a user, from the content of `/etc/passwd`.
pub(super) fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// A number for people: `unlimited` for the largest.
pub(super) fn shown(value: u64) -> String {
    if value == u64::MAX {
        "unlimited".to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_versions() {
        assert_eq!(number("96365\n"), Some(96365));
        assert_eq!(number("max\n"), Some(u64::MAX));
        assert_eq!(number("-1"), None);
        for (release, version) in [
            ("6.18.0-1-amd64", Some((6, 18))),
            ("5.4-custom", Some((5, 4))),
            ("6.8.0-31-generic\n", Some((6, 8))),
            ("5.15.167.4-microsoft-standard-WSL2", Some((5, 15))),
            ("six", None),
            ("6", None),
        ] {
            assert_eq!(kernel_version(release), version, "{release}");
        }
        assert_eq!(
            (shown(5), shown(u64::MAX)),
            ("5".into(), "unlimited".into())
        );
    }

    #[test]
    fn names() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbad line\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000), Some("ann"));
        assert_eq!(user_name(passwd, 7), None);
    }
}
