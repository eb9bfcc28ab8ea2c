//! The audit log of egress policies, read while the gateway goes on writing and renames it when it is full.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

/// Which lines are wanted.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Of one sandbox, by id.
    pub(crate) sandbox: Option<String>,
    /// Not older, in nanoseconds since 1970.
    pub(crate) since_ns: Option<u64>,
}

/// What of a line is looked at.
#[derive(Debug, Deserialize)]
struct Line {
    time: Timestamp,
    sandbox: String,
}

impl Wanted {
    /// A line that is none of ours was cut off by a crash, and is passed over.
    fn fits(&self, text: &str) -> bool {
        let Ok(line) = serde_json::from_str::<Line>(text) else {
            return false;
        };
        let ours = self.sandbox.as_ref().is_none_or(|id| *id == line.sandbox);
        let since = self.since_ns.map_or(i128::MIN, i128::from);
        ours && line.time.as_nanosecond() >= since
    }
}

/// A place in the log from which it is read on.
#[derive(Debug)]
pub(crate) struct AuditLog {
    path: PathBuf,
    wanted: Wanted,
    file: Option<BufReader<File>>,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl AuditLog {
    /// The log at `path`, which need not be there yet.
    pub(crate) fn new(path: PathBuf, wanted: Wanted) -> Self {
        Self {
            path,
            wanted,
            file: None,
            partial: Vec::new(),
        }
    }

    /// What is there so far, the file before included; of that the last `tail` lines. What follows is for
    /// [`AuditLog::read_on`].
    pub(crate) fn read(&mut self, tail: Option<u64>) -> io::Result<Vec<String>> {
        // Opened first: a line that moves away while the older file is read is read here and not there.
        self.file = open(&self.path)?;
        let mut lines = VecDeque::new();
        let limit = tail.map_or(usize::MAX, |tail| {
            usize::try_from(tail).unwrap_or(usize::MAX)
        });
        let mut keep = |line: String| {
            lines.push_back(line);
            if lines.len() > limit {
                lines.pop_front();
            }
        };
        let older = open(&self.older())?.filter(|older| !is_same(older, self.file.as_ref()));
        if let Some(mut older) = older {
            drain(&mut older, &mut Vec::new(), &self.wanted, &mut keep)?;
        }
        if let Some(file) = &mut self.file {
            drain(file, &mut self.partial, &self.wanted, &mut keep)?;
        }
        Ok(lines.into())
    }

    /// What has come since, across a change of the file.
    pub(crate) fn read_on(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut keep = |line| lines.push(line);
        // Nothing is written to a file that has been renamed, so what it holds when its successor is there is all of it.
        let now = open(&self.path)?;
        if let Some(file) = &mut self.file {
            drain(file, &mut self.partial, &self.wanted, &mut keep)?;
        }
        if let Some(mut now) = now.filter(|now| !is_same(now, self.file.as_ref())) {
            self.partial.clear();
            drain(&mut now, &mut self.partial, &self.wanted, &mut keep)?;
            self.file = Some(now);
        }
        Ok(lines)
    }

    fn older(&self) -> PathBuf {
        self.path.with_extension("jsonl.1")
    }
}

/// The file, if it is there.
fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_same(one: &BufReader<File>, other: Option<&BufReader<File>>) -> bool {
    let of = |file: &BufReader<File>| {
        file.get_ref()
            .metadata()
            .map(|data| (data.dev(), data.ino()))
    };
    let same = other.map(|other| Ok::<_, io::Error>(of(one)? == of(other)?));
    matches!(same, Some(Ok(true)))
}

/// Reads to the end; whole lines that are wanted go to `keep`.
fn drain(
    file: &mut BufReader<File>,
    partial: &mut Vec<u8>,
    wanted: &Wanted,
    keep: &mut impl FnMut(String),
) -> io::Result<()> {
    loop {
        if file.read_until(b'\n', partial)? == 0 {
            return Ok(());
        }
        if partial.last() != Some(&b'\n') {
            continue;
        }
        partial.pop();
        let line = String::from_utf8_lossy(partial).into_owned();
        partial.clear();
        if wanted.fits(&line) {
            keep(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    struct Place {
        dir: tempfile::TempDir,
        file: File,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let file = File::create(dir.path().join("egress.jsonl")).unwrap();
            Self { dir, file }
        }

        fn log(&self, wanted: Wanted) -> AuditLog {
            AuditLog::new(self.dir.path().join("egress.jsonl"), wanted)
        }

        fn write(&mut self, text: &str) {
            self.file.write_all(text.as_bytes()).unwrap();
        }

        /// As the gateway does.
        fn rotate(&mut self) {
            let path = self.dir.path().join("egress.jsonl");
            std::fs::rename(&path, path.with_extension("jsonl.1")).unwrap();
            self.file = File::create(path).unwrap();
        }
    }

    fn line(second: u32, sandbox: &str) -> String {
        format!("{{\"time\":\"1970-01-01T00:00:{second:02}Z\",\"sandbox\":\"{sandbox}\"}}")
    }

    fn lines(all: &[(u32, &str)]) -> Vec<String> {
        all.iter().map(|(second, id)| line(*second, id)).collect()
    }

    fn text(all: &[(u32, &str)]) -> String {
        lines(all)
            .iter()
            .flat_map(|line| [line, "\n"].map(str::to_owned))
            .collect()
    }

    #[test]
    fn both_files_and_what_is_wanted_of_them() {
        let mut place = Place::new();
        place.write(&text(&[(1, "a"), (2, "b")]));
        place.rotate();
        place.write(&text(&[(3, "a"), (4, "a")]));
        place.write("{\"time\":\"cut o\n");
        let read = |sandbox: Option<&str>, since_ns: Option<u64>, tail: Option<u64>| {
            let sandbox = sandbox.map(str::to_owned);
            let wanted = Wanted { sandbox, since_ns };
            place.log(wanted).read(tail).unwrap()
        };
        let all = [(1, "a"), (2, "b"), (3, "a"), (4, "a")];
        assert_eq!(read(None, None, None), lines(&all));
        assert_eq!(
            read(Some("a"), None, None),
            lines(&[(1, "a"), (3, "a"), (4, "a")])
        );
        assert_eq!(read(Some("a"), None, Some(2)), lines(&[(3, "a"), (4, "a")]));
        assert_eq!(read(None, Some(2_000_000_000), None), lines(&all[1..]));
        assert_eq!(read(None, None, Some(0)), lines(&[]));
        assert_eq!(read(Some("nobody"), None, None), lines(&[]));
    }

    #[test]
    fn it_is_followed_into_the_next_file() {
        let mut place = Place::new();
        let mut log = place.log(Wanted::default());
        place.write(&text(&[(1, "a")]));
        assert_eq!(log.read(None).unwrap(), lines(&[(1, "a")]));
        assert_eq!(log.read_on().unwrap(), lines(&[]));
        // Half a line is no line.
        let whole = text(&[(2, "a")]);
        place.write(&whole[..9]);
        assert_eq!(log.read_on().unwrap(), lines(&[]));
        place.write(&whole[9..]);
        place.write(&text(&[(3, "a")]));
        place.rotate();
        place.write(&text(&[(4, "a")]));
        assert_eq!(
            log.read_on().unwrap(),
            lines(&[(2, "a"), (3, "a"), (4, "a")])
        );
        place.write(&text(&[(5, "a")]));
        assert_eq!(log.read_on().unwrap(), lines(&[(5, "a")]));
    }

    #[test]
    fn a_log_that_is_made_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network/egress.jsonl");
        let mut log = AuditLog::new(path.clone(), Wanted::default());
        assert_eq!(log.read(None).unwrap(), lines(&[]));
        assert_eq!(log.read_on().unwrap(), lines(&[]));
        std::fs::create_dir(dir.path().join("network")).unwrap();
        std::fs::write(path, text(&[(1, "a")])).unwrap();
        assert_eq!(log.read_on().unwrap(), lines(&[(1, "a")]));
    }
}
