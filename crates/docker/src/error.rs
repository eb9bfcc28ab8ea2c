//! Errors in Docker's words, where clients look into them. Our own messages are clear, but a program that looks for `No
//! such container` has to find it.

use serde_json::{Value, json};
use shedbox_spec::{Error, Kind};

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

/// A container that would have to run.
pub fn not_running(id: &str) -> Error {
    Error::conflict(format!("container {id} is not running"))
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
