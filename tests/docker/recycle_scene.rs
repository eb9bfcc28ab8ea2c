//! A daemon whose containers are recycled, spoken to without an SDK.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Home, eventually};
use crate::wire::{Answer, ask};

/// A home with an image, and its socket.
pub(super) struct Scene {
    pub(super) home: Home,
    pub(super) image: String,
}

impl Scene {
    pub(super) fn new(configuration: &str) -> Self {
        let home = Home::new();
        home.configure(configuration);
        let image = home.image("tiny");
        Self { home, image }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.home.paths().api_socket()
    }

    pub(super) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string);
        ask(&self.socket(), method, path, body.as_deref())
    }

    /// What most of these ask for.
    pub(super) fn body(&self) -> Value {
        json!({
            "Image": self.image,
            "Cmd": ["sleep", "1000"],
            "Env": ["SECRET=first"],
            "Labels": {"shedbox.recycle": "true"},
            "HostConfig": {"Tmpfs": {"/scratch": ""}},
        })
    }

    pub(super) fn create(&self, body: &Value) -> String {
        let made = self.ask("POST", "/containers/create", Some(body));
        assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
        made.json()["Id"].as_str().unwrap().to_owned()
    }

    pub(super) fn start(&self, id: &str) {
        let started = self.ask("POST", &format!("/containers/{id}/start"), None);
        assert_eq!(
            started.status,
            204,
            "{}",
            String::from_utf8_lossy(&started.body)
        );
    }

    pub(super) fn run(&self, body: &Value) -> String {
        let id = self.create(body);
        self.start(&id);
        id
    }

    pub(super) fn remove(&self, id: &str) {
        let removed = self.ask("DELETE", &format!("/containers/{id}?force=1&v=1"), None);
        assert_eq!(
            removed.status,
            204,
            "{}",
            String::from_utf8_lossy(&removed.body)
        );
    }

    pub(super) fn inspect(&self, id: &str) -> Value {
        self.ask("GET", &format!("/containers/{id}/json"), None)
            .json()
    }

    /// Host's pid of the init of a container that runs.
    pub(super) fn init(&self, id: &str) -> i32 {
        let text = self.home.run(["inspect", id]);
        let list: Value = serde_json::from_str(&text).unwrap();
        i32::try_from(list[0]["init_pid"].as_i64().expect("it runs")).unwrap()
    }

    pub(super) fn has_spare(&self, id: &str) -> bool {
        let text = self.home.run(["inspect", id]);
        serde_json::from_str::<Value>(&text).unwrap()[0]["spare"] == true
    }

    /// Containers that a client sees.
    pub(super) fn listed(&self) -> usize {
        let list = self.ask("GET", "/containers/json?all=1", None).json();
        list.as_array().unwrap().len()
    }

    /// Open descriptors of the daemon.
    pub(super) fn descriptors(&self) -> usize {
        let pid = self.home.client().version().expect("a daemon answers").pid;
        std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count()
    }

    pub(super) fn sh(&self, id: &str, script: &str) -> String {
        self.home.run(["exec", id, "sh", "-c", script])
    }

    /// Every init of this home.
    pub(super) fn inits(&self) -> BTreeSet<i32> {
        let named = |pid: i32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name == "shedbox-init\n")
        };
        let processes = self.home.processes();
        processes
            .iter()
            .map(|process| process.pid)
            .filter(|pid| named(*pid))
            .collect()
    }

    /// Waits for the init that stands ready beside those of `ids`.
    pub(super) fn prepared(&self, ids: &[&str]) -> i32 {
        let known: BTreeSet<i32> = ids.iter().map(|id| self.init(id)).collect();
        let others = || -> Vec<i32> { self.inits().difference(&known).copied().collect() };
        eventually("one is prepared", || !others().is_empty());
        others()[0]
    }

    /// Nothing is prepared any more, and nothing is left.
    pub(super) fn end(self) {
        assert_eq!(self.ask("POST", "/containers/prune", None).status, 200);
        eventually("no init is left", || self.inits().is_empty());
        eventually("nothing is left", || self.home.leaks().is_empty());
    }
}
