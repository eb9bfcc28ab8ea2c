//! Real files of a part of a tree, for a command that is shown them.

use std::fs::{File, Permissions, create_dir, create_dir_all, set_permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::tree::{Node, Sort, Tree};

/// Makes what is at `path` of the tree below `place`, which is made. Owners are ours.
pub(super) fn lay_out(tree: &Tree, path: &Path, place: &Path) -> io::Result<()> {
    if let Some(node) = tree.get(path).filter(|node| !node.is_dir()) {
        return file(tree, &node, place);
    }
    create_dir_all(place)?;
    for (inside, node) in tree.below(path) {
        // Every parent is a directory of the index, and comes before: no link of the archive is on the way.
        let place = place.join(inside.strip_prefix(path).unwrap_or(inside));
        match &node.sort {
            Sort::Directory => {
                create_dir(&place)?;
                // We have to be able to fill it, and to take it away.
                set_permissions(&place, Permissions::from_mode(node.mode | 0o700))?;
            }
            Sort::Symlink(target) => symlink(target, &place)?,
            Sort::File { .. } => file(tree, node, &place)?,
        }
    }
    Ok(())
}

fn file(tree: &Tree, node: &Node, place: &Path) -> io::Result<()> {
    let mut file = File::create_new(place)?;
    io::copy(&mut tree.open(&node.sort), &mut file)?;
    file.set_permissions(Permissions::from_mode(node.mode | 0o400))
}
