//! Options of `run`, one by one, as a command inside sees them.

use crate::require;
use crate::support::{Case, Home, Lane, scratch};

#[test]
fn read_only_with_places_to_write() {
    require!(userns, image "tiny");
    let dir = scratch();
    Case::image("tiny")
        .option("--read-only")
        .option("--tmpfs=/scratch:size=2m,mode=1700")
        .option(format!("--volume={}:/data", dir.path().display()))
        .sh("touch /new")
        .stderr("Read-only file system")
        .status(1)
        .sh("touch /etc/hosts /root/x /tmp/x")
        .status(1)
        .sh("touch /scratch/x /data/x /dev/shm/x && stat -c %a /scratch && df -k /scratch | awk 'NR==2{print $2}'")
        .stdout("1700\n2048")
        .reset()
        .sh("touch /new || ls /scratch /data")
        .stdout("/data:\nx\n\n/scratch:");
}

#[test]
fn tmpfs_and_what_runs_from_it() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .option("--tmpfs=/plain")
        .option("--tmpfs=/programs:exec")
        .option("--tmpfs=/fixed:ro")
        .sh("cp /bin/busybox /plain/ls; cp /bin/busybox /programs/ls; /programs/ls /plain")
        .stdout("ls")
        .exec(["/plain/ls"])
        .stderr("permission denied")
        .status(126)
        .sh("touch /fixed/x")
        .stderr("Read-only file system")
        .status(1)
        .sh("stat -c %a /plain; mount | grep ' /plain ' | grep -o 'nosuid\\|nodev\\|noexec' | sort | tr '\\n' ' '")
        .stdout("1777\nnodev noexec nosuid ");
}

#[test]
fn shared_memory() {
    require!(userns, image "tiny");
    let size = "df -k /dev/shm | awk 'NR==2{print $2}'";
    Case::image("tiny").sh(size).stdout("65536");
    Case::image("tiny")
        .option("--shm-size=1m")
        .sh(size)
        .stdout("1024")
        .sh("dd if=/dev/zero of=/dev/shm/x bs=1M count=2")
        .stderr("No space left on device")
        .status(1);
}

#[test]
fn limits() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .option("--ulimit=nofile=123:456")
        .option("--ulimit=core=0")
        .option("--ulimit=fsize=1000000")
        .sh("ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -n 457 || echo refused")
        .stdout("123\n456\n0\nrefused")
        .sh("dd if=/dev/zero of=/big bs=1M count=2")
        .status(153); // SIGXFSZ
}

#[test]
fn a_limit_above_the_hosts() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let hard = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap()
        .split_whitespace()
        .nth(4)
        .unwrap();
    let above = hard.parse::<u64>().unwrap() + 1;
    home.refused(
        [
            "run",
            "--rm",
            &format!("--ulimit=nofile={above}:{above}"),
            &image,
            "true",
        ],
        126,
        "ulimit",
    );
}

#[test]
fn names_of_the_sandbox() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .option("--hostname=box.example")
        .option("--add-host=db:10.1.2.3")
        .option("--add-host=six:2001:db8::1")
        .sh("hostname; cat /etc/hostname; grep -w db /etc/hosts | tr '\\t' ' '; grep -c 2001:db8::1 /etc/hosts; grep -c box.example /etc/hosts; echo $HOSTNAME")
        .stdout("box.example\nbox.example\n10.1.2.3 db\n1\n1\nbox.example");
    let home = Home::new();
    let image = home.image("tiny");
    let id = home.run(["run", "--detach", "--name=box", &image, "sleep", "1000"]);
    assert_eq!(home.run(["exec", "box", "hostname"]), id[..12]);
    home.run(["rm", "--force", "box"]);
}

#[test]
fn environment_from_options_and_files() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let dir = scratch();
    let file = dir.path().join("env");
    std::fs::write(
        &file,
        "# comment\nFROM_FILE=1\nBOTH=file\nQUOTED=\"as is\"\nFROM_CALLER\nNOT_SET\n\nEMPTY=\n",
    )
    .unwrap();
    let script = "echo $FROM_FILE $BOTH $QUOTED $FROM_CALLER ${NOT_SET-unset} ${EMPTY-unset}. $SPACED; echo $PATH; env | grep -c CARGO";
    let output = home
        .command([
            "run",
            "--rm",
            "--env-file",
            file.to_str().unwrap(),
            "--env=BOTH=option",
            "-e",
            "SPACED=a  b",
            "-e",
            "PATH=/bin",
        ])
        .args([&image, "sh", "-c", script])
        .env("FROM_CALLER", "caller's")
        .env("CARGO_SECRET", "not for sandboxes")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "1 option \"as is\" caller's unset . a b\n/bin\n0\n",
        "{output:?}"
    );
}

#[test]
fn users() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let id = |user: &str| {
        home.shedbox([
            "run",
            "--rm",
            "--user",
            user,
            &image,
            "sh",
            "-c",
            "id -u; id -g; pwd",
        ])
        .output()
        .unwrap()
    };
    if Lane::current() == Lane::Single {
        // Who asks for somebody in particular does not get somebody else: docs/lanes.md.
        for user in ["app", "1000", "0:1000"] {
            let output = id(user);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(126), "{user}: {stderr}");
            assert!(stderr.contains("/etc/subuid"), "{user}: {stderr}");
        }
        assert!(id("root").status.success());
        return;
    }
    for (user, expected) in [
        ("app", "1000\n1000\n/\n"),
        ("1000", "1000\n1000\n/\n"),
        ("4242:100", "4242\n100\n/\n"),
        ("0:1000", "0\n1000\n/\n"),
    ] {
        assert_eq!(
            String::from_utf8_lossy(&id(user).stdout),
            expected,
            "{user}"
        );
    }
}

#[test]
fn labels_and_identity() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let dir = scratch();
    let file = dir.path().join("id");
    let id = home.run([
        "run",
        "--detach",
        "--name=box",
        "--label=a=b",
        "-l",
        "flag",
        "--cidfile",
        file.to_str().unwrap(),
        &image,
        "sleep",
        "1000",
    ]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), id);
    let text = home.run(["inspect", "box"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value[0]["labels"],
        serde_json::json!({"a": "b", "flag": "", "shedbox.test": "tiny"})
    );
    assert_eq!(value[0]["id"], id.as_str());
    // A prefix of an id will do.
    assert_eq!(home.run(["exec", &id[..6], "echo", "found"]), "found");
    home.refused(["rename", "box", "other"], 125, "rename");
    home.run(["rm", "--force", &id[..12]]);
}

#[test]
fn the_stop_signal() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let script = "trap 'echo usr1; exit 7' USR1; trap 'echo term; exit 8' TERM; echo up; while :; do sleep 0.05; done";
    let run = |options: &[&str]| {
        let mut line = vec!["run", "--detach", "--name=box"];
        line.extend(options);
        line.extend([image.as_str(), "sh", "-c", script]);
        home.run(line);
        crate::support::eventually("it is up", || home.run(["logs", "box"]).starts_with("up"));
        home.run(["stop", "box"]);
        let said = (home.run(["logs", "box"]), home.run(["wait", "box"]));
        home.run(["rm", "box"]);
        said
    };
    assert_eq!(run(&[]), ("up\nterm".into(), "8".into()));
    assert_eq!(
        run(&["--stop-signal=USR1"]),
        ("up\nusr1".into(), "7".into())
    );
    assert_eq!(
        run(&["--stop-signal=SIGUSR1"]),
        ("up\nusr1".into(), "7".into())
    );
    // One that takes its signal and stays: SIGKILL after the grace.
    let began = std::time::Instant::now();
    home.run([
        "run",
        "--detach",
        "--name=box",
        "--stop-timeout=1",
        &image,
        "sh",
        "-c",
        "trap 'echo no' TERM; echo up; while :; do sleep 0.05; done",
    ]);
    crate::support::eventually("it is up", || home.run(["logs", "box"]).starts_with("up"));
    home.run(["stop", "box"]);
    assert_eq!(home.run(["wait", "box"]), "137");
    assert!(began.elapsed() > std::time::Duration::from_secs(1));
    assert_eq!(home.run(["logs", "box"]), "up\nno");
    home.run(["rm", "box"]);
    // One that is deaf to it from the start would only be waited for.
    home.run([
        "run",
        "--detach",
        "--name=box",
        "--stop-timeout=30",
        &image,
        "sleep",
        "1000",
    ]);
    let began = std::time::Instant::now();
    home.run(["stop", "box"]);
    assert!(
        began.elapsed() < std::time::Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    home.run(["rm", "box"]);
}

#[test]
fn a_lifetime() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    home.run([
        "run",
        "--detach",
        "--ttl=1s",
        "--name=brief",
        &image,
        "sleep",
        "1000",
    ]);
    crate::support::eventually("its time is over", || {
        home.run(["ps", "--all", "--quiet"]).is_empty()
    });
}

#[test]
fn an_idle_sandbox_has_no_main_process() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    home.run(["run", "--idle", "--name=box", &image]);
    assert_eq!(
        home.run([
            "exec",
            "box",
            "sh",
            "-c",
            "ps -o comm= | sort | uniq -c | wc -l; cat /proc/1/comm"
        ])
        .lines()
        .last(),
        Some("shedbox-init")
    );
    home.run(["stop", "box"]);
    home.run(["start", "box"]);
    home.run(["exec", "box", "true"]);
    home.run(["rm", "--force", "box"]);
}
