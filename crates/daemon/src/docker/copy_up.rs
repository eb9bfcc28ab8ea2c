//! A volume that is empty at its first use gets what the image has in its place. Source: Docker, "Populate a volume using a
//! container".

use std::path::Path;
use std::sync::Arc;

use shedbox_spec::control::{FileRequest, Reply};
use shedbox_spec::mount::{Access, Mount};
use shedbox_spec::{Error, Kind, Result};

use super::Docker;
use super::archive::Files;
use super::scratch::Scratch;

/// Where the volume is while it is filled.
const ELSEWHERE: &str = "/.shedbox-volume";

/// Fills `volume`, a directory of ours, with what is at `target` in the image. One that has something in it already, and an
/// image that has nothing there, are left as they are.
pub(super) async fn fill(
    docker: &Arc<Docker>,
    image: &str,
    volume: &str,
    target: &str,
) -> Result<()> {
    let is_empty = std::fs::read_dir(volume).is_ok_and(|mut entries| entries.next().is_none());
    let target = target.trim_end_matches('/');
    let (Some(name), true) = (Path::new(target).file_name(), is_empty) else {
        return Ok(());
    };
    // Not where it will be: that may be a place with files of ours in it, such as /etc.
    let elsewhere = format!("{ELSEWHERE}/{}", name.to_string_lossy());
    let source = Scratch::make(docker, image, |spec| spec.idle = true)?;
    let source_files = Files::open(docker, &docker.find(&source.id)?)?;
    match source_files.stat(&format!("{target}/.")).await {
        Err(error) if error.kind == Kind::NotFound => return Ok(()),
        other => drop(other?),
    }
    let copy = Scratch::make(docker, image, |spec| {
        spec.idle = true;
        spec.mounts = vec![Mount::Bind {
            source: volume.to_owned(),
            target: elsewhere,
            access: Access::Rw,
        }];
    })?;
    let copy_files = Files::open(docker, &docker.find(&copy.id)?)?;
    let (read, write) = shedbox_linux::fd::pipe()
        .map_err(|error| Error::internal(format!("cannot make a pipe: {error}")))?;
    // The top entry has the name of the directory, so it is unpacked where that is.
    let packing = source_files.ask(
        FileRequest::Pack {
            path: target.to_owned(),
            follow: true,
        },
        &[write],
    )?;
    let unpacking = copy_files.ask(
        FileRequest::Unpack {
            path: ELSEWHERE.to_owned(),
            no_overwrite_kind: false,
            keep_owner: true,
        },
        &[read],
    )?;
    for control in [unpacking, packing] {
        if let (Reply::Failed(error), _) = control.reply().await? {
            return Err(Error::new(
                error.kind,
                format!("failed to populate volume: {}", error.message),
            ));
        }
    }
    Ok(())
}
