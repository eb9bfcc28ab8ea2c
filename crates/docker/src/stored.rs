//! What is kept with a sandbox that was made through this API, beside its spec: in an annotation, so that it lasts as long
//! as the sandbox.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shedbox_spec::SandboxSpec;

use crate::body::{Healthcheck, RestartPolicy};

/// Key of the annotation.
pub const ANNOTATION: &str = "docker";

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stored {
    /// The body of the create, without nulls.
    pub body: Value,
    /// Names of volumes by path inside.
    pub volumes: BTreeMap<String, VolumeUse>,
}

/// A volume in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeUse {
    /// Its name.
    pub name: String,
    /// It was made for this container alone and goes with it.
    pub anonymous: bool,
}

impl Stored {
    /// What is kept with a sandbox; nothing for one that was made otherwise.
    pub fn of(spec: &SandboxSpec) -> Self {
        spec.annotations
            .get(ANNOTATION)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// Keeps it.
    pub fn keep(&self, spec: &mut SandboxSpec) {
        // Plain data with string keys.
        let text = serde_json::to_string(self).unwrap_or_default();
        spec.annotations.insert(ANNOTATION.to_owned(), text);
    }

    /// A part of the body by JSON pointer.
    pub fn get(&self, pointer: &str) -> Option<&Value> {
        self.body.pointer(pointer)
    }

    /// An object of the body; empty when it is not there.
    pub fn object(&self, pointer: &str) -> Map<String, Value> {
        self.get(pointer)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    }

    /// A flag of the body.
    pub fn flag(&self, pointer: &str) -> bool {
        self.get(pointer).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The restart policy that was asked for first.
    pub fn restart_policy(&self) -> RestartPolicy {
        self.part("/HostConfig/RestartPolicy")
    }

    /// The container's own health check.
    pub fn healthcheck(&self) -> Option<Healthcheck> {
        self.get("/Healthcheck")
            .and_then(|value| serde_json::from_value(value.clone()).ok())
    }

    /// The log driver in force.
    pub fn log_driver(&self) -> &str {
        match self
            .get("/HostConfig/LogConfig/Type")
            .and_then(Value::as_str)
        {
            None | Some("") => "json-file",
            Some(kind) => kind,
        }
    }

    fn part<T: serde::de::DeserializeOwned + Default>(&self, pointer: &str) -> T {
        self.get(pointer)
            .and_then(|value| serde_json::from_value(value.clone()).ok())
            .unwrap_or_default()
    }
}
