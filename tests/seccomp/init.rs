//! Init lives under the filter of its commands: everything it does works in every profile.

use crate::require;
use crate::support::Case;

#[test]
fn does_all_its_work_in_every_profile() {
    require!(userns, image "debian");
    for profile in ["strict", "default", "dev", "nested", "unconfined", "log"] {
        let scratch = crate::support::scratch();
        let path = |name: &str| scratch.path().join(name).display().to_string();
        std::fs::write(path("in"), "content").unwrap();
        let case = Case::image("debian")
            .option(format!("--security-opt=seccomp={profile}"))
            .option("--tmpfs=/scratch")
            .option("--ulimit=nofile=256")
            .stdin("through a pipe")
            .sh("cat")
            .stdout("through a pipe")
            .with("--tty")
            .sh("test -t 0 && echo terminal")
            .stdout("terminal\r")
            .with("--timeout=300ms")
            .sh("sleep 60")
            .status(124)
            .with("--workdir=/tmp")
            .sh("pwd; (sleep 600 &) ; true")
            .stdout("/tmp");
        let name = case.name().to_owned();
        let home = case.get_home();
        home.run(["cp", &path("in"), &format!("{name}:/tmp/file")]);
        home.run(["cp", &format!("{name}:/tmp"), &path("out")]);
        let text = std::fs::read_to_string(path("out/file")).unwrap();
        assert_eq!(text, "content", "{profile}");
        assert!(home.run(["top", &name]).contains("sleep 600"), "{profile}");
        home.run(["stats", "--no-stream", &name]);
        home.run(["logs", &name]);
        home.run(["inspect", &name]);
        let case = case
            .reset()
            .sh("test ! -e /tmp/file && echo clean")
            .stdout("clean");
        let home = case.get_home();
        home.run(["stop", "--time=0", &name]);
        home.run(["start", &name]);
        home.run(["kill", &name]);
        assert!(home.run(["wait", &name]).starts_with("137"), "{profile}");
        if profile == "log" {
            home.run(["start", &name]);
            // Nothing of all that was init's own.
            let seen = home.run(["seccomp", "--format=json", &name]);
            assert_eq!(seen.trim(), "[]");
        }
    }
}
