//! Networks.

use shedbox_spec::api::network::{
    EgressRequest, NetworkConnect, NetworkCreate, NetworkDisconnect, NetworkInfo,
};
use shedbox_spec::network::egress::Egress;

use crate::client::json;
use crate::http::{Payload, Target};
use crate::{Client, Result, Sandbox};

impl Client {
    /// Makes a network.
    pub fn create_network(&self, request: &NetworkCreate) -> Result<NetworkInfo> {
        self.pool
            .json("POST", &Target::new(["networks"]), json(request)?)
    }

    /// All networks.
    pub fn networks(&self) -> Result<Vec<NetworkInfo>> {
        self.pool
            .json("GET", &Target::new(["networks"]), Payload::Empty)
    }

    /// A network by name, id or the beginning of its id.
    pub fn network(&self, name: &str) -> Result<NetworkInfo> {
        self.pool
            .json("GET", &Target::new(["networks", name]), Payload::Empty)
    }

    /// Removes a network that nobody is on.
    pub fn remove_network(&self, name: &str) -> Result<()> {
        self.pool
            .done("DELETE", &Target::new(["networks", name]), Payload::Empty)
    }

    /// Removes all networks that nobody is on, and gives their names.
    pub fn prune_networks(&self) -> Result<Vec<String>> {
        self.pool
            .json("POST", &Target::new(["networks", "prune"]), Payload::Empty)
    }

    /// Connects a sandbox to one more network.
    pub fn connect_network(&self, name: &str, request: &NetworkConnect) -> Result<()> {
        let target = Target::new(["networks", name, "connect"]);
        self.pool.done("POST", &target, json(request)?)
    }

    /// Disconnects a sandbox from a network.
    pub fn disconnect_network(&self, name: &str, request: &NetworkDisconnect) -> Result<()> {
        let target = Target::new(["networks", name, "disconnect"]);
        self.pool.done("POST", &target, json(request)?)
    }
}

impl Sandbox {
    /// Puts another egress policy in force, or none. Connections that it does not allow have ended when this returns.
    pub fn set_egress(&self, egress: Option<Egress>) -> Result<()> {
        self.client().pool.done(
            "POST",
            &self.target("egress"),
            json(&EgressRequest { egress })?,
        )
    }
}
