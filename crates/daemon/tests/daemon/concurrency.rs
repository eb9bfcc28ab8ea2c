//! Many clients at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::home::{Home, until, wrote};

#[test]
fn clients_do_not_get_into_each_others_way() {
    let home = Home::new();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (home, done) = (&home, &done);
            scope.spawn(move || {
                for round in 0..3 {
                    let name = format!("client{client}");
                    home.create(&json!({"name": name, "idle": true}));
                    assert_eq!(
                        home.sh(&name, &format!("echo {round} > /file; cat /file")),
                        wrote(&format!("{round}\n"))
                    );
                    home.reset(&name);
                    assert_eq!(home.sh(&name, "ls /file 2>/dev/null | wc -l"), wrote("0\n"));
                    assert_eq!(home.remove(&name), 204);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 48);
    assert_eq!(
        home.api("GET", "sandboxes?all=1", &Value::Null).1,
        json!([])
    );
    let fds = || {
        std::fs::read_dir(format!("/proc/{}/fd", home.daemon_pid()))
            .unwrap()
            .count()
    };
    assert!(
        until(|| fds() < 40),
        "{} descriptors are open with nothing alive",
        fds()
    );
}

#[test]
fn operations_on_one_sandbox_take_turns() {
    let home = Home::new();
    home.create(&json!({"name": "one", "idle": true}));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    home.reset("one");
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..3 {
                home.post("sandboxes/one/stop?timeout_ms=100");
                home.post("sandboxes/one/start");
            }
        });
    });
    home.post("sandboxes/one/start");
    assert_eq!(home.sh("one", "echo alive"), wrote("alive\n"));
    let generation = home.inspect("one")["generation"].as_u64().unwrap();
    assert!((21..=24).contains(&generation), "{generation}");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "that a stop is under way cannot be seen from outside"
)]
fn remove_by_force_does_not_wait_for_a_stop() {
    let home = Home::new();
    home.create(
        &json!({"name": "deaf", "command": ["sh", "-c", "trap : TERM; while :; do sleep 1; done"]}),
    );
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| home.post("sandboxes/deaf/stop?timeout_ms=60000"));
        std::thread::sleep(std::time::Duration::from_millis(300));
        let began = std::time::Instant::now();
        assert_eq!(home.remove("deaf"), 204);
        assert!(began.elapsed().as_secs() < 5);
        stop.join().unwrap();
    });
}
