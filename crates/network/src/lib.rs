//! The gateway: one process per user and root in whose network namespace the networks of all sandboxes meet.
//!
//! It owns the namespace, the interfaces and the rules in it, answers names, publishes ports and carries out egress
//! policies. The daemon tells it over a socket what is to be ([`shedbox_spec::gateway`]) and may come and go.
//!
//! Threads: one stays in the host's network namespace and makes sockets there ([`host`]); all others are in the
//! gateway's.

mod acceptor;
mod connections;
pub mod directory;
pub mod firewall;
//pub mod gateway;
//mod members;
//mod uplink;
pub mod host;
pub mod host_access;
mod links;
mod packets;
pub mod policy;
pub mod ports;
pub mod relay;
pub mod wall;
