//! What a client sends: a tar archive, perhaps compressed, or a Dockerfile alone.

use std::io::{Cursor, Read};
use std::path::Path;

use shedbox_dockerfile::ignore::{Ignore, file_names};
use shedbox_spec::{Error, Result};

use super::tree::{Others, Tree, clean};

/// A block of a tar archive.
const BLOCK: usize = 512;
/// Largest Dockerfile that comes alone.
const MAX_ALONE: u64 = 16 << 20;

/// The Dockerfile and the files beside it.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) dockerfile: Vec<u8>,
    pub(super) files: Tree,
}

impl Context {
    /// Reads a body; `files` is empty.
    pub(super) fn read(body: impl Read + Send, mut files: Tree, dockerfile: &str) -> Result<Self> {
        let unreadable =
            |error: std::io::Error| Error::invalid(format!("unreadable build context: {error}"));
        let mut stream = shedbox_store::decompress(body).map_err(unreadable)?;
        let mut head = Vec::with_capacity(BLOCK);
        (&mut stream)
            .take(BLOCK as u64)
            .read_to_end(&mut head)
            .map_err(unreadable)?;
        if is_text(&head) {
            let mut text = head;
            stream
                .take(MAX_ALONE)
                .read_to_end(&mut text)
                .map_err(unreadable)?;
            files.add_file("Dockerfile", &text)?;
            return Self::of(files, "Dockerfile");
        }
        files.add(
            Cursor::new(head).chain(stream),
            Path::new(""),
            Others::Refuse,
        )?;
        Self::of(files, dockerfile)
    }

    fn of(mut files: Tree, dockerfile: &str) -> Result<Self> {
        let name = clean(Path::new(dockerfile)).ok_or_else(|| {
            Error::invalid(format!(
                "forbidden path outside the build context: {dockerfile}"
            ))
        })?;
        // Docker looks for the name in lower case, too, when it is the usual one.
        let text = files.text(&name).or_else(|| {
            (name == Path::new("Dockerfile"))
                .then(|| files.text(Path::new("dockerfile")))
                .flatten()
        });
        let text = text.ok_or_else(|| {
            Error::invalid(format!("Cannot locate specified Dockerfile: {dockerfile}"))
        })?;
        if text.is_empty() {
            return Err(Error::invalid(format!(
                "the Dockerfile ({dockerfile}) cannot be empty"
            )));
        }
        let ignore = file_names(&name.to_string_lossy())
            .iter()
            .find_map(|name| files.text(Path::new(name)));
        if let Some(ignore) = ignore {
            // Clients send the Dockerfile even when it is ignored; as it was read, it needs no exception here.
            let ignore = Ignore::parse(&String::from_utf8_lossy(&ignore))
                .map_err(|error| Error::invalid(format!("error reading .dockerignore: {error}")))?;
            files.apply(&ignore);
        }
        Ok(Self {
            dockerfile: text,
            files,
        })
    }
}

/// Whether a body begins as a text rather than an archive, whose names are padded with zeros. A text that was cut in the
/// middle of a character is one all the same.
fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    !head.is_empty() && !head.contains(&0) && is_utf8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], dockerfile: &str) -> Result<Context> {
        Context::read(body, Tree::new(tempfile::tempfile().unwrap()), dockerfile)
    }

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, name, content.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn archives_and_a_dockerfile_alone() {
        let text = |body: &[u8], name: &str| read(body, name).map(|context| context.dockerfile);
        assert_eq!(text(b"FROM x\n", "y").unwrap(), b"FROM x\n");
        let long = format!("FROM x\n# {}", "ä".repeat(2000));
        assert_eq!(
            text(long.as_bytes(), "Dockerfile").unwrap(),
            long.as_bytes()
        );
        let files = archive(&[("Dockerfile", "FROM a"), ("sub/D", "FROM b")]);
        assert_eq!(text(&files, "Dockerfile").unwrap(), b"FROM a");
        assert_eq!(text(&files, "./sub/D").unwrap(), b"FROM b");
        let lower = archive(&[("dockerfile", "FROM l")]);
        assert_eq!(text(&lower, "Dockerfile").unwrap(), b"FROM l");
        for (name, expected) in [
            ("../x", "forbidden path outside the build context: ../x"),
            ("none", "Cannot locate specified Dockerfile: none"),
        ] {
            assert_eq!(text(&files, name).unwrap_err().message, expected);
        }
        let empty = archive(&[("Dockerfile", "")]);
        assert_eq!(
            text(&empty, "Dockerfile").unwrap_err().message,
            "the Dockerfile (Dockerfile) cannot be empty"
        );
        assert!(text(b"", "Dockerfile").is_err());
        assert!(text(b"BZh91AY", "Dockerfile").is_err());
    }

    #[test]
    fn the_dockerfile_is_read_even_when_it_is_ignored() {
        let files = archive(&[
            ("Dockerfile", "FROM a"),
            (".dockerignore", "Dockerfile\n.dockerignore\nsecret"),
            ("secret", "x"),
            ("open", "x"),
        ]);
        let context = read(&files, "Dockerfile").unwrap();
        assert_eq!(context.dockerfile, b"FROM a");
        let names: Vec<_> = context.files.names(Path::new("")).collect();
        assert_eq!(names, ["open"]);
    }
}
