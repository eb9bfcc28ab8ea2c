//! What instructions make of a config.

use serde_json::{Value, json};
use shedbox_dockerfile::config::{ImageConfig, StageConfig, changes};
use shedbox_dockerfile::parse;

/// The config after the instructions of a stage.
fn built(base: Value, body: &str) -> Value {
    let mut stage = StageConfig::new(serde_json::from_value(base).unwrap());
    for located in parse(format!("FROM a\n{body}").as_bytes())
        .unwrap()
        .instructions
    {
        let instruction = located.instruction.expanded('\\', &stage).unwrap();
        stage.apply(&instruction).unwrap();
    }
    serde_json::to_value(stage.into_config()).unwrap()
}

#[test]
fn instructions_change_the_config() {
    for (base, body, expected) in [
        (json!({}), "RUN a\nCOPY a b\nARG x\nMAINTAINER m", json!({})),
        (
            json!({"Env": null, "Cmd": null, "Labels": null, "Volumes": null, "ExposedPorts": null, "User": null, "Healthcheck": null}),
            "",
            json!({}),
        ),
        (
            json!({"Env": ["PATH=/bin", "A=1"]}),
            "ENV A=2 B=3\nENV PATH=/x:$PATH",
            json!({"Env": ["PATH=/x:/bin", "A=2", "B=3"]}),
        ),
        (json!({}), "ENV A=1 A=2", json!({"Env": ["A=2"]})),
        (
            json!({}),
            "ENV A=1\nENV A=$A$A B=$A",
            json!({"Env": ["A=11", "B=1"]}),
        ),
        (
            json!({"Labels": {"a": "1", "b": "2"}}),
            "LABEL a=x c=\"y z\"",
            json!({"Labels": {"a": "x", "b": "2", "c": "y z"}}),
        ),
        (
            json!({}),
            "CMD a b",
            json!({"Cmd": ["/bin/sh", "-c", "a b"]}),
        ),
        (json!({}), "CMD [\"a\", \"b\"]", json!({"Cmd": ["a", "b"]})),
        (json!({"Cmd": ["x"]}), "CMD []", json!({"Cmd": []})),
        (
            json!({}),
            "SHELL [\"/bin/bash\", \"-ec\"]\nCMD a",
            json!({"Shell": ["/bin/bash", "-ec"], "Cmd": ["/bin/bash", "-ec", "a"]}),
        ),
        (
            json!({"Shell": ["/s"]}),
            "ENTRYPOINT a",
            json!({"Shell": ["/s"], "Entrypoint": ["/s", "a"]}),
        ),
        // An entrypoint drops the command of the base image, not that of this stage.
        (
            json!({"Cmd": ["x"]}),
            "ENTRYPOINT [\"/e\"]",
            json!({"Entrypoint": ["/e"]}),
        ),
        (
            json!({"Cmd": ["x"]}),
            "CMD [\"y\"]\nENTRYPOINT [\"/e\"]",
            json!({"Entrypoint": ["/e"], "Cmd": ["y"]}),
        ),
        (
            json!({"Cmd": ["x"]}),
            "ENTRYPOINT [\"/e\"]\nCMD [\"y\"]",
            json!({"Entrypoint": ["/e"], "Cmd": ["y"]}),
        ),
        (json!({"Entrypoint": ["/e"]}), "ENTRYPOINT []", json!({})),
        (
            json!({}),
            "EXPOSE 80 80/tcp 53/UDP",
            json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}),
        ),
        (
            json!({"ExposedPorts": {"1/tcp": {}}}),
            "EXPOSE 8000-8002/udp",
            json!({"ExposedPorts": {"1/tcp": {}, "8000/udp": {}, "8001/udp": {}, "8002/udp": {}}}),
        ),
        (
            json!({}),
            "EXPOSE 127.0.0.1:8080:80 3/sctp",
            json!({"ExposedPorts": {"80/tcp": {}, "3/sctp": {}}}),
        ),
        (
            json!({}),
            "ENV P=\"1 2\"\nEXPOSE $P",
            json!({"Env": ["P=1 2"], "ExposedPorts": {"1/tcp": {}, "2/tcp": {}}}),
        ),
        (
            json!({"Volumes": {"/a": {}}}),
            "VOLUME /b /a",
            json!({"Volumes": {"/a": {}, "/b": {}}}),
        ),
        (json!({}), "WORKDIR a", json!({"WorkingDir": "/a"})),
        (
            json!({"WorkingDir": "/w"}),
            "WORKDIR a/../b\nWORKDIR c/",
            json!({"WorkingDir": "/w/b/c"}),
        ),
        (
            json!({"WorkingDir": "/w"}),
            "WORKDIR /x/./y//z",
            json!({"WorkingDir": "/x/y/z"}),
        ),
        (
            json!({"WorkingDir": "/w"}),
            "WORKDIR ../../..",
            json!({"WorkingDir": "/"}),
        ),
        (json!({"User": "a"}), "USER b:c", json!({"User": "b:c"})),
        (
            json!({}),
            "STOPSIGNAL SIGINT",
            json!({"StopSignal": "SIGINT"}),
        ),
        (
            json!({}),
            "HEALTHCHECK --interval=1s --retries=2 CMD a",
            json!({"Healthcheck": {"Test": ["CMD-SHELL", "a"], "Interval": 1_000_000_000_u64, "Retries": 2}}),
        ),
        (
            json!({}),
            "HEALTHCHECK CMD [\"a\", \"b\"]",
            json!({"Healthcheck": {"Test": ["CMD", "a", "b"]}}),
        ),
        (
            json!({"Healthcheck": {"Test": ["CMD", "x"], "Timeout": 5}}),
            "HEALTHCHECK NONE",
            json!({"Healthcheck": {"Test": ["NONE"]}}),
        ),
        (
            json!({}),
            "ONBUILD RUN a\nONBUILD COPY . /b",
            json!({"OnBuild": ["RUN a", "COPY . /b"]}),
        ),
        (
            json!({"Domainname": "d", "Tty": true, "New": {"x": [1]}}),
            "USER u",
            json!({"Domainname": "d", "Tty": true, "New": {"x": [1]}, "User": "u"}),
        ),
    ] {
        assert_eq!(built(base, body), expected, "{body:?}");
    }
}

#[test]
fn triggers_are_taken_out() {
    let mut stage =
        StageConfig::new(serde_json::from_value(json!({"OnBuild": ["RUN a"]})).unwrap());
    assert_eq!(stage.take_triggers(), ["RUN a"]);
    assert_eq!(stage.config(), &ImageConfig::default());
}

#[test]
fn wrong_values_are_refused() {
    for (body, expected) in [
        ("EXPOSE x", "invalid containerPort: x"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE 9-8", "invalid containerPort: 9-8"),
        ("EXPOSE +1", "invalid containerPort: +1"),
        ("EXPOSE 1/x", "invalid proto: x"),
        ("EXPOSE /tcp", "No port specified: /tcp<empty>"),
        ("WORKDIR $NOTHING", "cannot normalize nothing"),
        ("ENV $NOTHING=1", "ENV names can not be blank"),
    ] {
        let mut stage = StageConfig::default();
        let file = parse(format!("FROM a\n{body}").as_bytes()).unwrap();
        let instruction = file.instructions[1]
            .instruction
            .expanded('\\', &stage)
            .unwrap();
        assert_eq!(
            stage.apply(&instruction).unwrap_err().to_string(),
            expected,
            "{body}"
        );
    }
}

#[test]
fn commits_take_changes() {
    let base: ImageConfig =
        serde_json::from_value(json!({"Env": ["A=1"], "Cmd": ["x"], "WorkingDir": "/w"})).unwrap();
    for (lines, expected) in [
        (
            &[][..],
            json!({"Env": ["A=1"], "Cmd": ["x"], "WorkingDir": "/w"}),
        ),
        (
            &["ENV B=$A"],
            json!({"Env": ["A=1", "B=1"], "Cmd": ["x"], "WorkingDir": "/w"}),
        ),
        (
            &["env A 2", "USER u"],
            json!({"Env": ["A=2"], "Cmd": ["x"], "WorkingDir": "/w", "User": "u"}),
        ),
        (
            &["ENTRYPOINT [\"e\"]"],
            json!({"Env": ["A=1"], "Entrypoint": ["e"], "WorkingDir": "/w"}),
        ),
        (
            &["CMD y", "WORKDIR z"],
            json!({"Env": ["A=1"], "Cmd": ["/bin/sh", "-c", "y"], "WorkingDir": "/w/z"}),
        ),
        (
            &["EXPOSE 80", "LABEL a=b", "VOLUME /v", "ONBUILD RUN x"],
            json!({"Env": ["A=1"], "Cmd": ["x"], "WorkingDir": "/w", "ExposedPorts": {"80/tcp": {}}, "Labels": {"a": "b"}, "Volumes": {"/v": {}}, "OnBuild": ["RUN x"]}),
        ),
    ] {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let config = changes(base.clone(), &lines).unwrap();
        assert_eq!(serde_json::to_value(config).unwrap(), expected, "{lines:?}");
    }
    for (line, expected) in [
        ("RUN x", "RUN is not a valid change command"),
        ("from x", "from is not a valid change command"),
        ("foo", "foo is not a valid change command"),
        ("COPY a b", "COPY is not a valid change command"),
        (
            "ENV",
            "dockerfile parse error line 1: ENV requires at least one argument",
        ),
        ("", "file with no instructions"),
        ("EXPOSE x", "invalid containerPort: x"),
        (
            "ENV a=${",
            "failed to process \"${\": syntax error: missing '}'",
        ),
    ] {
        assert_eq!(
            changes(base.clone(), &[line.to_owned()])
                .unwrap_err()
                .to_string(),
            expected,
            "{line}"
        );
    }
}
