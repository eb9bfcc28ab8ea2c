//! What the API knows of containers outlasts the daemon.

use std::path::Path;

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::require;
use crate::support::eventually;
use crate::wire::ask;

fn create(socket: &Path, name: &str, command: &str, host: &Value) {
    let body = json!({"Image": "tiny", "Cmd": [command, "1000"], "HostConfig": host}).to_string();
    let path = format!("/containers/create?name={name}");
    let made = ask(socket, "POST", &path, Some(&body));
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
}

fn start(socket: &Path, name: &str) -> u16 {
    ask(socket, "POST", &format!("/containers/{name}/start"), None).status
}

fn set_policy(socket: &Path, name: &str, policy: &Value) {
    let body = json!({"RestartPolicy": policy}).to_string();
    let path = format!("/containers/{name}/update");
    assert_eq!(ask(socket, "POST", &path, Some(&body)).status, 200);
}

/// What is asked about, of one container.
fn known(socket: &Path, name: &str) -> Value {
    let all = ask(socket, "GET", &format!("/containers/{name}/json"), None).json();
    json!({
        "state": all["State"], "restarts": all["RestartCount"], "policy": all["HostConfig"]["RestartPolicy"],
    })
}

#[test]
fn a_failed_start_restarts_and_a_policy_outlast_the_daemon() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    create(socket, "idle", "sleep", &json!({"NetworkMode": "none"}));
    create(
        socket,
        "follows",
        "sleep",
        &json!({"NetworkMode": "container:idle"}),
    );
    assert!(start(socket, "follows") >= 400, "`idle` does not run");
    set_policy(
        socket,
        "follows",
        &json!({"Name": "on-failure", "MaximumRetryCount": 3}),
    );
    let twice = json!({"Name": "on-failure", "MaximumRetryCount": 2});
    create(
        socket,
        "fails",
        "false",
        &json!({"NetworkMode": "none", "RestartPolicy": twice}),
    );
    assert_eq!(start(socket, "fails"), 204);
    eventually("it has been started again as often as it may be", || {
        let known = known(socket, "fails");
        known["restarts"] == 2 && known["state"]["Status"] == "exited"
    });
    // With the first policy the next daemon would start it again.
    set_policy(socket, "fails", &json!({"Name": "no"}));

    let before = ["follows", "fails"].map(|name| known(socket, name));
    assert_eq!(before[0]["state"]["ExitCode"], 128);
    assert_ne!(before[0]["state"]["Error"], "");
    assert_eq!(before[0]["policy"]["MaximumRetryCount"], 3);
    engine.restart();
    assert_eq!(["follows", "fails"].map(|name| known(socket, name)), before);

    assert_eq!(start(socket, "idle"), 204);
    assert_eq!(start(socket, "follows"), 204);
    let now = known(socket, "follows");
    assert_eq!(
        (&now["state"]["ExitCode"], &now["state"]["Error"]),
        (&json!(0), &json!(""))
    );
}
