//! Containers of a client that uses one for each task: the label that has the next one prepared.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::recycle_scene::Scene;
use crate::require;
use crate::support::{Lane, eventually, patience, wait};

const ADDRESS: &str = "/NetworkSettings/Networks/bridge/IPAddress";

#[test]
fn the_next_one_takes_what_stands_ready() {
    require!(userns, image "tiny");
    let scene = Scene::new("");
    let body = scene.body();
    let first = scene.run(&body);
    let ready = scene.prepared(&[&first]);
    assert_eq!(scene.listed(), 1, "no listing has it");
    let before = scene.inspect(&first);
    scene.remove(&first);
    assert_eq!(scene.inits(), [ready].into());
    assert_eq!(scene.listed(), 0);

    let mut other = body.clone();
    other["Labels"]["task"] = json!("2");
    let second = scene.create(&other);
    let created = scene.inspect(&second);
    assert_eq!(created["State"]["Status"], "created");
    assert_eq!(created["State"]["Pid"], 0);
    let refused = ["exec", second.as_str(), "true"];
    scene.home.refused(refused, 125, "is not running");
    scene.start(&second);
    assert_eq!(scene.init(&second), ready, "it was prepared");
    let after = scene.inspect(&second);
    assert_eq!(after["Config"]["Labels"]["task"], "2");
    assert_eq!(after["Config"]["Hostname"], second[..12]);
    let words = "hostname; echo $HOSTNAME; echo $SECRET; grep -c $HOSTNAME /etc/hosts";
    let short = &second[..12];
    assert_eq!(
        scene.sh(&second, words),
        format!("{short}\n{short}\nfirst\n1")
    );
    assert_ne!(second, first);
    assert_ne!(after.pointer(ADDRESS), before.pointer(ADDRESS));
    let address = after.pointer(ADDRESS).unwrap().as_str().unwrap();
    let has_it = format!("ip addr show eth0 | grep -o 'inet {address}'");
    assert_eq!(scene.sh(&second, &has_it), format!("inet {address}"));

    let until = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + 1;
    let events = scene.ask("GET", &format!("/events?since=1&until={until}"), None);
    let told: Vec<(String, String)> = String::from_utf8(events.body)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["Type"] == "container")
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&event["Action"]), text(&event["Actor"]["ID"]))
        })
        .filter(|(action, _)| action != "kill" && !action.starts_with("exec"))
        .collect();
    let expected = [
        ("create", &first),
        ("start", &first),
        ("die", &first),
        ("destroy", &first),
        ("create", &second),
        ("start", &second),
    ]
    .map(|(action, id)| (action.to_owned(), id.clone()));
    assert_eq!(told, expected);
    scene.remove(&second);
    scene.end();
}

#[test]
fn nothing_of_the_old_one_is_in_the_new_one() {
    require!(userns, image "tiny");
    let scene = Scene::new("");
    let mut body = scene.body();
    body["Cmd"] = json!(["sh", "-c", "echo out of the first; exec sleep 1000"]);
    let first = scene.run(&body);
    let ready = scene.prepared(&[&first]);
    scene.sh(
        &first,
        "for place in / /tmp /dev/shm /scratch /root; do echo left > $place/left; done; rm /bin/vi; \
         echo 1.2.3.4 planted >> /etc/hosts; mkfifo /tmp/pipe; setsid sleep 999 </dev/null >/dev/null 2>&1 & \
         setsid nc -l -p 4000 </dev/null >/dev/null 2>&1 & true",
    );
    let runs = "ps -o args | grep -e 'sleep 999' -e 'nc -l' | grep -v grep | sort; netstat -ltn | grep -c :4000; true";
    eventually("it is full of things", || {
        scene.sh(&first, runs) == "nc -l -p 4000\nsleep 999\n1"
    });
    let exec = json!({"Cmd": ["true"]});
    let exec = scene.ask("POST", &format!("/containers/{first}/exec"), Some(&exec));
    let exec = exec.json()["Id"].as_str().unwrap().to_owned();
    scene.remove(&first);

    let second = scene.run(&body);
    assert_eq!(scene.init(&second), ready, "it was prepared");
    let looked = scene.sh(
        &second,
        "ls /left /tmp/left /dev/shm/left /scratch/left /root/left /tmp/pipe 2>/dev/null; grep planted /etc/hosts; \
         ls -A /tmp /scratch /dev/shm | grep -v :$ | grep .; ls /bin/vi",
    );
    assert_eq!(looked, "/bin/vi");
    assert_eq!(scene.sh(&second, runs), "0");
    let changes = scene.ask("GET", &format!("/containers/{second}/changes"), None);
    assert_eq!(changes.json(), json!(null));
    let logs = format!("/containers/{second}/logs?stdout=1&stderr=1");
    eventually("its own log alone", || {
        scene.ask("GET", &logs, None).body == b"\x01\0\0\0\0\0\0\x11out of the first\n"
    });
    assert_eq!(scene.inspect(&second)["ExecIDs"], json!(null));
    assert_eq!(
        scene.ask("GET", &format!("/exec/{exec}/json"), None).status,
        404
    );
    assert_eq!(
        scene
            .ask("GET", &format!("/containers/{first}/json"), None)
            .status,
        404
    );
    scene.remove(&second);
    scene.end();
}

#[test]
fn a_spec_that_differs_in_one_field_gets_one_of_its_own() {
    require!(userns, image "tiny");
    let scene = Scene::new("");
    let body = scene.body();
    let first = scene.run(&body);
    let ready = scene.prepared(&[&first]);
    let others = [
        ("/Cmd", json!(["sleep", "1001"])),
        ("/Env", json!(["SECRET=second"])),
        ("/WorkingDir", json!("/tmp")),
        ("/User", json!("1000")),
        ("/Hostname", json!("named")),
        ("/Tty", json!(true)),
        ("/HostConfig", json!({"Tmpfs": {"/other": ""}})),
        (
            "/HostConfig",
            json!({"Tmpfs": {"/scratch": ""}, "ReadonlyRootfs": true}),
        ),
        (
            "/HostConfig",
            json!({"Tmpfs": {"/scratch": ""}, "NetworkMode": "none"}),
        ),
        (
            "/HostConfig",
            json!({"Tmpfs": {"/scratch": ""}, "CapDrop": ["ALL"]}),
        ),
        (
            "/HostConfig",
            json!({"Tmpfs": {"/scratch": ""}, "PidsLimit": 50}),
        ),
        (
            "/HostConfig",
            json!({"Tmpfs": {"/scratch": ""}, "ShmSize": 1_048_576}),
        ),
    ];
    for (field, value) in others {
        // On a single-id map there is no other user.
        if field == "/User" && Lane::current() == Lane::Single {
            continue;
        }
        let mut other = body.clone();
        other[&field[1..]] = value.clone();
        let id = scene.run(&other);
        assert_ne!(scene.init(&id), ready, "{field}: {value}");
        scene.remove(&id);
    }
    let second = scene.run(&body);
    assert_eq!(scene.init(&second), ready, "still there for its own kind");
    scene.remove(&first);
    scene.remove(&second);
    scene.end();
}

#[test]
fn what_happens_between_create_and_start_counts() {
    require!(userns, image "tiny");
    let scene = Scene::new("");
    let body = scene.body();
    let first = scene.run(&body);
    let ready = scene.prepared(&[&first]);

    let filled = scene.create(&body);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "brought").unwrap();
    let target = format!("{filled}:/root/file");
    scene
        .home
        .run(["cp", file.path().to_str().unwrap(), &target]);
    scene.start(&filled);
    assert_ne!(scene.init(&filled), ready, "its files came first");
    assert_eq!(scene.sh(&filled, "cat /root/file"), "brought");

    scene.prepared(&[&first, &filled]);
    let network = json!({"Name": "second"});
    assert_eq!(
        scene.ask("POST", "/networks/create", Some(&network)).status,
        201
    );
    let joined = scene.create(&body);
    let connect = json!({"Container": joined});
    let connected = scene.ask("POST", "/networks/second/connect", Some(&connect));
    assert_eq!(connected.status, 200);
    scene.start(&joined);
    let devices = "ls /sys/class/net | tr '\\n' ' '; grep -c $HOSTNAME /etc/hosts";
    assert_eq!(scene.sh(&joined, devices), "eth0 eth1 lo 2");

    for id in [&first, &filled, &joined] {
        scene.remove(id);
    }
    assert_eq!(scene.ask("DELETE", "/networks/second", None).status, 204);
    scene.end();
}

#[test]
fn a_snapshot_of_one_that_was_never_started() {
    require!(userns, image "tiny");
    let scene = Scene::new("");
    let body = scene.body();
    let first = scene.run(&body);
    let ready = scene.prepared(&[&first]);
    scene.remove(&first);
    let second = scene.create(&body);
    assert_eq!(scene.inits(), [ready].into(), "it waits for the start");
    let taken = ["snapshot", "create", &second, "point"];
    assert_eq!(scene.home.run(taken), "point");
    // It is mounted on what has become the snapshot.
    assert_eq!(scene.inits(), BTreeSet::new());
    scene.start(&second);
    assert_eq!(
        scene.sh(&second, "echo later >/later; rm /etc/image; hostname"),
        second[..12]
    );
    let fork = scene.home.run(["fork", &format!("{second}:point")]);
    scene.home.run(["restore", &second, "point"]);
    for id in [&second, &fork] {
        assert_eq!(
            scene.sh(id, "ls /etc/image; ls / | grep -c later || true"),
            "/etc/image\n0"
        );
        scene.remove(id);
    }
    scene.end();
}

#[test]
fn a_name_that_is_taken_costs_nothing_and_ports_move_on() {
    require!(userns, image "tiny");
    let scene = Scene::new("");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let mut body = scene.body();
    body["Cmd"] = json!(["nc", "-ll", "-p", "4000", "-e", "hostname"]);
    body["HostConfig"]["PortBindings"] =
        json!({"4000/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]});
    let said = || {
        use std::io::Read;
        let mut text = String::new();
        let stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}"));
        let _ = stream.map(|mut stream| stream.read_to_string(&mut text));
        text.trim().to_owned()
    };
    let made = scene.ask("POST", "/containers/create?name=task", Some(&body));
    let first = made.json()["Id"].as_str().unwrap().to_owned();
    scene.start(&first);
    let ready = scene.prepared(&[&first]);
    eventually("the first answers", || said() == first[..12]);
    let taken = scene.ask("POST", "/containers/create?name=task", Some(&body));
    assert_eq!(taken.status, 409);
    scene.remove(&first);
    let made = scene.ask("POST", "/containers/create?name=task", Some(&body));
    let second = made.json()["Id"].as_str().unwrap().to_owned();
    scene.start(&second);
    assert_eq!(
        scene.init(&second),
        ready,
        "the refused create gave it back"
    );
    eventually("the second answers", || said() == second[..12]);
    scene.remove(&second);
    scene.end();
}

#[test]
fn volumes_are_never_prepared_and_behave_as_ever() {
    require!(userns, image "tiny");
    let scene = Scene::new("");
    let mut body = scene.body();
    body["HostConfig"]["Binds"] = json!(["kept:/kept"]);
    body["Volumes"] = json!({"/own": {}});
    let first = scene.run(&body);
    scene.sh(&first, "echo 1 > /kept/file; echo 1 > /own/file");
    eventually("it has a spare as others have", || scene.has_spare(&first));
    assert_eq!(scene.inits().len(), 2, "its own and its spare's");
    scene.remove(&first);
    eventually("nobody is left", || scene.inits().is_empty());
    let second = scene.run(&body);
    assert_eq!(scene.sh(&second, "cat /kept/file; ls /own"), "1");
    scene.remove(&second);
    assert_eq!(scene.ask("DELETE", "/volumes/kept", None).status, 204);
    scene.end();
}

#[test]
fn the_configuration_turns_it_on_and_a_label_off() {
    require!(userns, image "tiny");
    let scene = Scene::new("[docker]\nrecycle = true\n");
    let mut body = scene.body();
    body["Labels"] = json!({});
    let first = scene.run(&body);
    scene.prepared(&[&first]);
    scene.remove(&first);
    body["Labels"] = json!({"shedbox.recycle": "false"});
    let plain = scene.run(&body);
    eventually("it has a spare as others have", || scene.has_spare(&plain));
    scene.remove(&plain);
    body["Labels"] = json!({"shedbox.recycle": "1"});
    let refused = scene.ask("POST", "/containers/create", Some(&body));
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.json()["message"],
        "invalid value '1' of label shedbox.recycle: use 'true' or 'false'"
    );
    // What stands ready is nobody's, so it keeps no image.
    assert_eq!(scene.inits().len(), 1);
    let image = format!("/images/{}", scene.image);
    assert_eq!(scene.ask("DELETE", &image, None).status, 200);
    eventually("it has gone with its image", || scene.inits().is_empty());
    scene.end();
}

#[test]
fn a_daemon_that_is_killed_takes_it_along() {
    require!(userns, image "tiny");
    let scene = Scene::new("idle_exit_s = 3600\n");
    let body = scene.body();
    let first = scene.run(&body);
    let ready = scene.prepared(&[&first]);
    scene.remove(&first);
    let daemon = scene.home.client().version().expect("a daemon answers").pid;
    shedbox_linux::process::signal(daemon, 9).unwrap();
    eventually("it leaves with the daemon", || scene.inits().is_empty());
    scene.home.run(["ps", "--quiet"]);
    let second = scene.create(&body);
    scene.start(&second);
    assert_ne!(scene.init(&second), ready);
    let third = scene.create(&body);
    // Created with something that stands ready, perhaps, and started by another daemon.
    let daemon = scene.home.client().version().expect("a daemon answers").pid;
    shedbox_linux::process::signal(daemon, 9).unwrap();
    eventually("the one that runs goes on alone", || {
        scene.inits().len() == 1
    });
    scene.home.run(["ps", "--quiet"]);
    scene.start(&third);
    assert_eq!(scene.sh(&third, "hostname"), third[..12]);
    scene.remove(&second);
    scene.remove(&third);
    scene.end();
}

#[test]
fn it_leaves_when_nobody_comes_back() {
    require!(userns, image "tiny");
    let scene = Scene::new("idle_exit_s = 3600\n");
    let first = scene.run(&scene.body());
    scene.prepared(&[&first]);
    scene.remove(&first);
    let began = std::time::Instant::now();
    // Thirty seconds after it was last needed, and looked at every five.
    let limit = patience(std::time::Duration::from_secs(50));
    while !scene.inits().is_empty() {
        assert!(began.elapsed() < limit, "still there after {limit:?}");
        wait::pause();
    }
    eventually("nothing is left", || scene.home.leaks().is_empty());
}

/// SHEDBOX_TEST_DOCKER_ROUNDS: how many.
fn rounds() -> usize {
    std::env::var("SHEDBOX_TEST_DOCKER_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200)
}

#[test]
fn two_hundred_rounds_leave_nothing() {
    require!(userns, image "tiny");
    let scene = Scene::new("");
    let body = scene.body();
    let mut ids = BTreeSet::new();
    let mut taken = 0;
    let mut ready = BTreeSet::new();
    let mut descriptors = None;
    for round in 0..rounds() {
        let id = scene.run(&body);
        let init = scene.init(&id);
        taken += usize::from(ready.contains(&init));
        if round % 2 == 0 {
            ready = [scene.prepared(&[&id])].into();
        }
        assert!(ids.insert(id.clone()), "an id twice");
        scene.remove(&id);
        if round == 20 {
            descriptors = Some(scene.descriptors());
        }
    }
    assert!(taken >= rounds() / 2 - 1, "{taken} of {}", rounds());
    assert_eq!(scene.ask("POST", "/containers/prune", None).status, 200);
    let before = descriptors.expect("more than twenty rounds");
    eventually("no more descriptors than after twenty", || {
        scene.descriptors() <= before + 8
    });
    scene.end();
}
