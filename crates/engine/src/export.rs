//! Export: the root file system of a sandbox as one tar stream, packed by an init inside of it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use shedbox_linux::fd;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_spec::control::{FileRequest, Reply, Request};
use shedbox_spec::sandbox::Source;
use shedbox_spec::{Error, Kind};

use crate::Engine;
use crate::error::{Doing, Result};
use crate::init;

impl Engine {
    /// Writes the merged root file system of a sandbox, running or not, as tar. Of what is mounted in it (/proc, /sys, /dev,
    /// volumes, memory file systems) there are empty directories and files. On failure the stream is cut off.
    pub fn export(&self, name: &str, out: &mut impl Write) -> Result<()> {
        if self.find(name)?.record.spec.source == Source::Host {
            return Err(Error::new(
                Kind::Unsupported,
                format!(
                    "the programs of `{name}` are the host's own: it has no file system to export"
                ),
            )
            .with_hint("copy what is wanted with `shedbox cp`")
            .into());
        }
        let access = self.files(name)?;
        let connection =
            SeqPacket::connect(Path::new(&access.socket)).doing(|| "reach init".to_owned())?;
        let (read, write) = fd::pipe().doing(|| "make a pipe".to_owned())?;
        init::send_on(
            &connection,
            &Request::Files(FileRequest::Export),
            &[write.as_fd()],
        )?;
        drop(write);
        let mut stream = File::from(read);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).doing(|| format!("read the files of `{name}`")),
            };
            out.write_all(&buffer[..count])
                .doing(|| format!("write the archive of `{name}`"))?;
        }
        // Whether that was the end of it, or the end of init.
        match init::answer_on(&connection)?.0 {
            Reply::Done => out
                .flush()
                .doing(|| format!("write the archive of `{name}`")),
            _ => Err(Error::internal("init answers an export with something else").into()),
        }
    }
}
