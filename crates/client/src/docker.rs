//! The daemon's other API, for clients that speak as Docker does.

use std::io::Read;

use serde_json::Value;

use crate::http::{Body, Payload, Target};
use crate::{Client, Result};

impl Client {
    /// A request of the Docker Engine API; a status of 400 and above is an error with the message of the answer.
    pub fn docker(&self, method: &str, target: &Target, body: Option<&Value>) -> Result<Body> {
        let payload = match body {
            Some(value) => crate::client::json(value)?,
            None => Payload::Empty,
        };
        self.pool.send(method, target, payload)
    }

    /// The same with a stream as body: a tar archive.
    pub fn docker_stream(
        &self,
        method: &str,
        target: &Target,
        body: &mut dyn Read,
    ) -> Result<Body> {
        self.pool.send(method, target, Payload::Stream(body))
    }

    /// The same where the answer is one JSON value; null for an empty one.
    pub fn docker_json(
        &self,
        method: &str,
        target: &Target,
        body: Option<&Value>,
    ) -> Result<Value> {
        let bytes = self.docker(method, target, body)?.into_bytes(256 << 20)?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| crate::Error::protocol("the daemon", error.to_string()))
    }
}
