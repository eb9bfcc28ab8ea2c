//! What the daemon does, without sockets of its own.
