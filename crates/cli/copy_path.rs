//! The two ends of `cp`: `SANDBOX:PATH`, a path of the host, or `-`.

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CopyPath {
    /// Of the host.
    Host(String),
    /// Inside a sandbox.
    Sandbox { sandbox: String, path: String },
    /// A tar stream on standard input or output.
    Stream,
}

impl CopyPath {
    /// As Docker reads it: a path that starts with `/` or `.` is the host's, however many colons it has.
    pub(crate) fn parse(text: &str) -> Self {
        if text == "-" {
            return Self::Stream;
        }
        match text.split_once(':') {
            Some((sandbox, path))
                if !sandbox.is_empty() && !sandbox.starts_with('.') && !sandbox.contains('/') =>
            {
                Self::Sandbox {
                    sandbox: sandbox.to_owned(),
                    path: path.to_owned(),
                }
            }
            _ => Self::Host(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let inside = |sandbox: &str, path: &str| CopyPath::Sandbox {
            sandbox: sandbox.into(),
            path: path.into(),
        };
        for (text, expected) in [
            ("-", CopyPath::Stream),
            ("box:/a", inside("box", "/a")),
            ("box:a:b", inside("box", "a:b")),
            ("box:", inside("box", "")),
            ("/a:b", CopyPath::Host("/a:b".into())),
            ("./a:b", CopyPath::Host("./a:b".into())),
            ("dir/a:b", CopyPath::Host("dir/a:b".into())),
            (":x", CopyPath::Host(":x".into())),
            ("file", CopyPath::Host("file".into())),
        ] {
            assert_eq!(CopyPath::parse(text), expected, "{text}");
        }
    }
}
