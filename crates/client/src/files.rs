//! Files of a sandbox: read, written and copied as tar streams that its init makes and takes.
//!
//! Paths inside are resolved by a process inside. What comes out is unpacked by [`unpack`] beneath a directory
//! descriptor: the sender is not trusted.

mod pack;
mod place;
mod unpack;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use shedbox_linux::seqpacket::SeqPacket;
use shedbox_linux::{fd, path};
use shedbox_spec::control::{FileRequest, FileStat, Reply, Request};

use crate::sandbox::{ask_on, hear_on};
use crate::{Error, Result, Sandbox, exec};
use place::{Existing, Place, Source};

/// How copies are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CopyOptions {
    /// Follow a symbolic link that is the source itself.
    pub follow: bool,
    /// Keep owners, and setuid and setgid bits. Otherwise everything belongs to root inside, and to the caller outside.
    pub archive: bool,
}

/// One series of file operations: keeps a stopped sandbox's files open for as long as it lasts.
struct Session<'s> {
    sandbox: &'s Sandbox,
    socket: PathBuf,
    _held: Option<SeqPacket>,
}

impl<'s> Session<'s> {
    fn new(sandbox: &'s Sandbox) -> Result<Self> {
        let (socket, held) = sandbox.files_socket()?;
        Ok(Self {
            sandbox,
            socket,
            _held: held,
        })
    }

    fn connect(&self) -> Result<SeqPacket> {
        let doing = format!("reach the files of sandbox {}", self.sandbox.name_or_id());
        SeqPacket::connect(&self.socket).map_err(Error::system(doing))
    }

    fn stat(&self, path: &str) -> Result<FileStat> {
        let request = Request::Files(FileRequest::Stat {
            path: path.to_owned(),
        });
        match ask_on(&self.connect()?, self.sandbox.name_or_id(), &request, &[])? {
            Reply::Stat(stat) => Ok(stat),
            other => Err(Error::protocol("the sandbox", format!("{other:?}"))),
        }
    }

    /// The same, symbolic links followed; `None` when nothing is there, with the path that the links lead to.
    fn follow(&self, path: &str) -> Result<(String, Option<FileStat>)> {
        let mut path = path.to_owned();
        for _ in 0..40 {
            let stat = match self.stat(&path) {
                Ok(stat) => stat,
                Err(error) if error.kind() == shedbox_spec::Kind::NotFound => {
                    return Ok((path, None));
                }
                Err(error) => return Err(error),
            };
            let Some(target) = &stat.link_target else {
                return Ok((path, Some(stat)));
            };
            path = place::link_target(&path, target);
        }
        Err(
            shedbox_spec::Error::invalid(format!("{path}: too many levels of symbolic links"))
                .into(),
        )
    }

    fn pack(&self, path: &str, follow: bool) -> Result<TarReader> {
        let control = self.connect()?;
        let (read, write) = fd::pipe().map_err(Error::system("make a pipe"))?;
        let request = Request::Files(FileRequest::Pack {
            path: path.to_owned(),
            follow,
        });
        let sandbox = self.sandbox.name_or_id().to_owned();
        exec::send(&control, &request, &[write]).map_err(|error| exec::lost(&sandbox, error))?;
        Ok(TarReader {
            stream: read.into(),
            control,
            sandbox,
            outcome: None,
        })
    }

    /// Runs `write` on a stream that init unpacks into the directory `dir`.
    fn unpack(
        &self,
        dir: &str,
        keep_owner: bool,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let control = self.connect()?;
        let sandbox = self.sandbox.name_or_id();
        let (read, pipe) = fd::pipe().map_err(Error::system("make a pipe"))?;
        let operation = FileRequest::Unpack {
            path: dir.to_owned(),
            no_overwrite_kind: true,
            keep_owner,
        };
        exec::send(&control, &Request::Files(operation), &[read])
            .map_err(|error| exec::lost(sandbox, error))?;
        let mut stream = File::from(pipe);
        let written = write(&mut stream);
        drop(stream);
        // When init refuses it closes the pipe: its reason says more than our EPIPE.
        match (hear_on(&control, sandbox), written) {
            (Err(refused), Err(Error::Io { source, .. }))
                if source.kind() == io::ErrorKind::BrokenPipe =>
            {
                Err(refused)
            }
            (_, Err(error)) | (Err(error), Ok(())) => Err(error),
            (Ok(_), Ok(())) => Ok(()),
        }
    }
}

/// A tar stream from a sandbox. Reading it to its end tells whether it is whole.
#[derive(Debug)]
pub struct TarReader {
    stream: File,
    control: SeqPacket,
    sandbox: String,
    outcome: Option<std::result::Result<(), shedbox_spec::Error>>,
}

impl Read for TarReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        let outcome = self.outcome.get_or_insert_with(|| {
            hear_on(&self.control, &self.sandbox)
                .map(drop)
                .map_err(shedbox_spec::Error::from)
        });
        match outcome {
            Ok(()) => Ok(0),
            Err(error) => Err(io::Error::other(error.clone())),
        }
    }
}

impl TarReader {
    /// The sandbox's own error, in place of what reading its broken stream gave.
    fn reason(mut self, error: Error) -> Error {
        if self.outcome.is_none() && matches!(error, Error::Io { .. }) {
            // Whatever was not read does not matter any more; the answer comes when the stream is closed.
            drop(self.stream);
            self.outcome = Some(
                hear_on(&self.control, &self.sandbox)
                    .map(drop)
                    .map_err(shedbox_spec::Error::from),
            );
        }
        match self.outcome {
            Some(Err(reason)) => Error::Refused(reason),
            _ => error,
        }
    }
}

impl Sandbox {
    /// What is at a path inside; a symbolic link is not followed.
    pub fn stat(&self, path: &str) -> Result<FileStat> {
        Session::new(self)?.stat(path)
    }

    /// A file or tree as a tar stream; its top entry has the base name of `path`.
    pub fn pack(&self, path: &str, follow: bool) -> Result<TarReader> {
        Session::new(self)?.pack(path, follow)
    }

    /// Unpacks a tar stream into a directory inside.
    pub fn unpack(&self, dir: &str, archive: &mut dyn Read, options: CopyOptions) -> Result<()> {
        Session::new(self)?.unpack(dir, options.archive, |stream| {
            let mut buffer = vec![0; 256 << 10];
            loop {
                let count = match archive.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(Error::io("read the archive")(error)),
                };
                stream
                    .write_all(&buffer[..count])
                    .map_err(Error::io("write to the sandbox"))?;
            }
        })
    }

    /// The content of a file inside; symbolic links are followed.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        let session = Session::new(self)?;
        let mut reader = session.pack(path, true)?;
        match unpack::only_file(&mut reader, path) {
            Ok(content) => Ok(content),
            Err(error) => Err(reader.reason(error)),
        }
    }

    /// Writes a file inside, in an existing directory; replaces one that is there. It belongs to root.
    pub fn write_file(&self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let session = Session::new(self)?;
        let (dir, name) = place::split(path)?;
        session.unpack(&dir, false, |stream| {
            pack::one_file(&name, content, mode, stream)
        })
    }

    /// Copies a file or directory of the host into the sandbox.
    ///
    /// As `cp -r`: into `inside` when that is a directory, to that name otherwise. A source that ends in `/.` stands
    /// for what is in it. Symbolic links below the source are copied as links.
    pub fn copy_in(&self, host: &Path, inside: &str, options: CopyOptions) -> Result<()> {
        let session = Session::new(self)?;
        let source = pack::HostSource::open(host, options.follow)?;
        let (resolved, stat) = session.follow(&place::absolute(inside))?;
        let existing = stat
            .as_ref()
            .map_or(Existing::Nothing, |stat| Existing::of_mode(stat.mode));
        let place = place::place(source.source(), existing, &resolved, inside.ends_with('/'))?;
        let (dir, name) = match place {
            Place::Named { parent, name } => (parent, Some(OsString::from(name))),
            Place::Contents { dir } => (dir, None),
        };
        session.unpack(&dir, options.archive, |stream| {
            source.write(name.as_deref(), options, stream)
        })
    }

    /// Copies a file or directory of the sandbox to the host, by the same rules. What the sandbox sends cannot reach
    /// beyond the place it is copied to. The list names what was left out: devices and sockets.
    pub fn copy_out(&self, inside: &str, host: &Path, options: CopyOptions) -> Result<Vec<String>> {
        let session = Session::new(self)?;
        let inside = place::absolute(inside);
        let contents = place::is_contents(&inside);
        let found = session.stat(&inside)?;
        let is_dir = if options.follow && found.link_target.is_some() {
            session
                .follow(&inside)?
                .1
                .is_some_and(|stat| Existing::of_mode(stat.mode) == Existing::Directory)
        } else {
            Existing::of_mode(found.mode) == Existing::Directory
        };
        // The name in the archive is the one that was asked for.
        let top = if contents {
            None
        } else {
            Some(place::split(&inside)?.1)
        };
        let source = Source {
            name: top.clone().unwrap_or_default(),
            is_dir,
            contents,
        };
        let text = host.to_str().ok_or_else(|| {
            Error::from(shedbox_spec::Error::invalid(format!(
                "{}: the path is not UTF-8",
                host.display()
            )))
        })?;
        let existing = match std::fs::metadata(host) {
            Ok(metadata) if metadata.is_dir() => Existing::Directory,
            Ok(_) => Existing::Other,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Existing::Nothing,
            Err(error) => return Err(Error::io(format!("look at {text}"))(error)),
        };
        let (parent, name) = match place::place(source, existing, text, text.ends_with('/'))? {
            Place::Named { parent, name } => (parent, Some(OsString::from(name))),
            Place::Contents { dir } => (dir, None),
        };
        let dir: OwnedFd =
            path::open_dir(Path::new(&parent)).map_err(Error::system(format!("open {parent}")))?;
        let mut reader = session.pack(&inside, options.follow)?;
        let rules = unpack::Rules {
            top: top.map(OsString::from),
            name,
            archive: options.archive,
        };
        match unpack::unpack(&mut reader, &dir, &rules) {
            Ok(left_out) => Ok(left_out),
            Err(error) => Err(reader.reason(error)),
        }
    }
}
