//! Errors in Docker's words, where clients look into them. Our own messages are clear, but a program that looks for `No
//! such container` has to find it.

use serde_json::{Value, json};
use shedbox_spec::{Digest, Error, Kind, SandboxId};

/// The body of an error answer: the message, with the hint behind it.
pub fn body(error: &Error) -> Value {
    let message = match &error.hint {
        Some(hint) => format!("{} ({hint})", error.message),
        None => error.message.clone(),
    };
    json!({"message": message})
}

/// The status of an error answer.
pub fn status(error: &Error) -> u16 {
    match error.kind {
        // Clients know no 501, 502 and 507 from dockerd.
        Kind::Unsupported => 501,
        Kind::Exhausted | Kind::Unavailable | Kind::Internal => 500,
        other => other.http_status(),
    }
}

/// A container that is not there.
pub fn no_container(name: &str) -> Error {
    Error::not_found(format!("No such container: {name}"))
}

/// An image that is not there.
pub fn no_image(name: &str) -> Error {
    Error::not_found(format!("No such image: {name}"))
}

/// An image whose name is wanted gone and that a container was made from.
pub fn image_in_use(name: &str, image: &Digest, user: &SandboxId) -> Error {
    Error::conflict(format!(
        "conflict: unable to remove repository reference \"{name}\" (must force) - container {} is using its referenced \
         image {}",
        user.short(),
        image.short()
    ))
}

/// An image that is wanted gone and that a container that does not run was made from.
pub fn used_by_stopped(image: &Digest, user: &SandboxId) -> Error {
    Error::conflict(format!(
        "conflict: unable to delete {} (must be forced) - image is being used by stopped container {}",
        image.short(),
        user.short()
    ))
}

/// The same for one that runs.
pub fn used_by_running(image: &Digest, user: &SandboxId) -> Error {
    Error::conflict(format!(
        "conflict: unable to delete {} (cannot be forced) - image is being used by running container {}",
        image.short(),
        user.short()
    ))
}

/// An image that is wanted gone by its id and has several names.
pub fn many_names(image: &Digest) -> Error {
    Error::conflict(format!(
        "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
        image.short()
    ))
}

/// An image that is there, but for another platform than the one that was asked for.
pub fn another_platform(name: &str, wanted: &str, actual: &str) -> Error {
    Error::not_found(format!(
        "image with reference {name} was found but does not match the specified platform: wanted {wanted}, actual: {actual}"
    ))
}

/// A command that is not there.
pub fn no_exec(id: &str) -> Error {
    Error::not_found(format!("No such exec instance: {id}"))
}

/// A name that is taken.
pub fn name_taken(name: &str, by: &str) -> Error {
    Error::conflict(format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{by}\". You have to remove (or rename) \
         that container to be able to reuse that name."
    ))
}

/// What is no name.
pub fn invalid_name(name: &str) -> Error {
    Error::invalid(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    ))
}

/// The same errors when a container is renamed.
pub fn while_allocating_name(error: Error) -> Error {
    Error {
        message: format!("Error when allocating new name: {}", error.message),
        ..error
    }
}

/// A container that would have to run.
pub fn not_running(id: &str) -> Error {
    Error::conflict(format!("container {id} is not running"))
}

/// A container whose network another one was to have.
pub fn neighbour_not_running(id: &SandboxId) -> Error {
    Error::conflict(format!(
        "cannot join network of a non running container: {id}"
    ))
}

/// A container whose processes are stopped.
pub fn paused(id: &str) -> Error {
    Error::conflict(format!(
        "Container {id} is paused, unpause the container before exec"
    ))
}

/// A container that would have to be stopped before it is removed.
pub fn running(name: &str, what: &str) -> Error {
    Error::conflict(format!(
        "cannot remove container \"/{name}\": container is {what}: stop the container before removing or force remove"
    ))
}

/// A route that is not there.
pub fn no_page() -> Error {
    Error::not_found("page not found")
}

/// What needs a swarm.
pub fn no_swarm() -> &'static str {
    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and \
     try again."
}
