//! Formats that test harnesses and scripts use, over answers as docker gives them.

use serde_json::{Value, json};
use shedbox_template::MissingKey;

use crate::check;

fn container() -> Value {
    json!({
        "Id": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "Image": "sha256:fedcba9876543210fedcba9876543210",
        "Name": "/web",
        "RestartCount": 0,
        "State": {"Status": "running", "Running": true, "Paused": false, "Pid": 4711, "ExitCode": 0, "Health": null},
        "Config": {
            "Cmd": ["sh", "-c", "echo <hi> & true"], "Entrypoint": null, "Env": ["PATH=/bin", "A=b=c"],
            "Labels": {"a.b": "dotted", "tier": "web"}, "ExposedPorts": {"80/tcp": {}},
        },
        "HostConfig": {"Memory": 536_870_912, "NanoCpus": 1_500_000_000_u64, "Binds": []},
        "Mounts": [
            {"Type": "bind", "Source": "/src", "Destination": "/dst", "RW": true},
            {"Type": "volume", "Name": "data", "Source": "/v", "Destination": "/data", "RW": false},
        ],
        "NetworkSettings": {
            "IPAddress": "",
            "Networks": {"bridge": {"IPAddress": "172.17.0.2"}, "other": {"IPAddress": "10.0.0.5"}},
            "Ports": {"443/tcp": null, "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]},
        },
    })
}

#[test]
fn containers() {
    let cases = [
        ("{{.State.Running}}", "true"),
        (
            "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}",
            "running 0 4711",
        ),
        (
            "{{json .State}}",
            r#"{"ExitCode":0,"Health":null,"Paused":false,"Pid":4711,"Running":true,"Status":"running"}"#,
        ),
        ("{{json .Config.Cmd}}", r#"["sh","-c","echo <hi> & true"]"#),
        ("{{json .Config.Entrypoint}}", "null"),
        ("{{json .Config.ExposedPorts}}", r#"{"80/tcp":{}}"#),
        (
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            "172.17.0.210.0.0.5",
        ),
        (
            "{{range .NetworkSettings.Networks}}{{println .IPAddress}}{{end}}",
            "172.17.0.2\n10.0.0.5\n",
        ),
        (
            "{{range $name, $n := .NetworkSettings.Networks}}{{$name}}={{$n.IPAddress}} {{end}}",
            "bridge=172.17.0.2 other=10.0.0.5 ",
        ),
        (
            "{{.NetworkSettings.Networks.bridge.IPAddress}}",
            "172.17.0.2",
        ),
        (
            r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#,
            "8080",
        ),
        (
            r#"{{(index .NetworkSettings.Ports "80/tcp" 0).HostPort}}"#,
            "8080",
        ),
        (
            r#"{{with index .NetworkSettings.Ports "80/tcp"}}{{(index . 0).HostIp}}{{end}}"#,
            "0.0.0.0",
        ),
        (
            r#"{{(index (index .NetworkSettings.Ports "443/tcp") 0).HostPort}}"#,
            r#"!template: :1:3: executing "" at <index (index .NetworkSettings.Ports "443/tcp") 0>: error calling index: index of untyped nil"#,
        ),
        (
            "{{range $p, $conf := .NetworkSettings.Ports}}{{if $conf}}{{$p}}->{{(index $conf 0).HostPort}}{{end}}{{end}}",
            "80/tcp->8080",
        ),
        (
            "{{range $p, $b := .NetworkSettings.Ports}}{{range $b}}{{$p}}:{{.HostPort}};{{end}}{{end}}",
            "80/tcp:8080;",
        ),
        (
            "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}",
            "a.b=dotted tier=web ",
        ),
        (r#"{{index .Config.Labels "a.b"}}"#, "dotted"),
        (r#"{{index .Config.Labels "none"}}"#, "<no value>"),
        (
            r#"{{if index .Config.Labels "none"}}yes{{else}}no{{end}}"#,
            "no",
        ),
        (r"{{.Config.Labels.tier}}", "web"),
        ("{{.Config.Labels}}", "map[a.b:dotted tier:web]"),
        (
            "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}",
            "none",
        ),
        (
            "{{with .State.Health}}{{.Status}}{{else}}none{{end}}",
            "none",
        ),
        (r#"{{join .Config.Cmd " "}}"#, "sh -c echo <hi> & true"),
        (r#"{{join .Config.Entrypoint " "}}"#, ""),
        (r#"{{printf "%.12s" .Id}}"#, "0123456789ab"),
        ("{{slice .Id 7 19}}", "789abcdef012"),
        ("{{slice .Image 7 19}}", "fedcba987654"),
        (r#"{{index (split .Image ":") 1 | printf "%.4s"}}"#, "fedc"),
        ("{{len .Mounts}}", "2"),
        (
            "{{range .Mounts}}{{.Source}}:{{.Destination}}{{if not .RW}}:ro{{end}}\n{{end}}",
            "/src:/dst\n/v:/data:ro\n",
        ),
        (
            r#"{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{end}}{{end}}"#,
            "data",
        ),
        (
            r"{{range $i, $m := .Mounts}}{{if $i}},{{end}}{{.Type}}{{end}}",
            "bind,volume",
        ),
        (
            "{{range .Config.Env}}{{println .}}{{end}}",
            "PATH=/bin\nA=b=c\n",
        ),
        (
            r#"{{range .Config.Env}}{{$p := split . "="}}{{index $p 0}} {{end}}"#,
            "PATH A ",
        ),
        (
            "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}",
            "536870912 1500000000",
        ),
        ("{{if gt .HostConfig.Memory 0}}limited{{end}}", "limited"),
        (r#"{{printf "%d" .RestartCount}}"#, "0"),
        (r"{{if eq .State.ExitCode 0}}ok{{else}}bad{{end}}", "ok"),
        (
            r"{{if and .State.Running (eq .State.ExitCode 0)}}up{{end}}",
            "up",
        ),
        (
            r"{{if or .State.Paused (not .State.Running)}}down{{else}}up{{end}}",
            "up",
        ),
        ("{{.Name | printf \"%s %s\" .State.Status}}", "running /web"),
        ("{{slice .Name 1}}", "web"),
        ("'{{.Name}}'\\t{{.RestartCount}}", "'/web'\\t0"),
        ("{{.NetworkSettings.IPAddress}}", ""),
        ("{{.HostConfig.Binds}}", "[]"),
        ("{{.Config.Cmd}}", "[sh -c echo <hi> & true]"),
        ("{{.Config.Entrypoint}}", "<no value>"),
        ("{{index .Config.Cmd 0}}", "sh"),
        ("{{json .Mounts | len}}", "143"),
        (
            "{{.Nope}}",
            r#"!template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope""#,
        ),
        (
            "{{.State.Nope}}",
            r#"!template: :1:8: executing "" at <.State.Nope>: map has no entry for key "Nope""#,
        ),
        (
            "{{.State.Status.X}}",
            r#"!template: :1:8: executing "" at <.State.Status.X>: can't evaluate field X in type interface {}"#,
        ),
    ];
    check(&cases, &container(), MissingKey::Error);
}

#[test]
fn versions_and_information() {
    let data = json!({
        "Client": {"Version": "28.2.2", "ApiVersion": "1.50", "Os": "linux"},
        "Server": {"Version": "28.2.2", "Os": "linux", "Arch": "amd64", "Components": [{"Name": "Engine"}]},
        "NCPU": 8, "MemTotal": 16_624_885_760_i64, "Driver": "overlay2", "Plugins": {"Network": ["bridge", "host"]},
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"], "Swarm": {"LocalNodeState": "inactive"},
    });
    let cases = [
        ("{{.Server.Os}}/{{.Server.Arch}}", "linux/amd64"),
        ("{{.Client.Version}}", "28.2.2"),
        ("{{.Server.Version}}", "28.2.2"),
        ("{{range .Server.Components}}{{.Name}}{{end}}", "Engine"),
        ("{{.NCPU}} {{.MemTotal}}", "8 16624885760"),
        (
            "{{.SecurityOptions}}",
            "[name=seccomp,profile=builtin name=rootless]",
        ),
        (
            "{{range .SecurityOptions}}{{if eq . \"name=rootless\"}}rootless{{end}}{{end}}",
            "rootless",
        ),
        ("{{json .Plugins.Network}}", r#"["bridge","host"]"#),
        ("{{.Swarm.LocalNodeState}}", "inactive"),
        (
            "{{json .Client}}",
            r#"{"ApiVersion":"1.50","Os":"linux","Version":"28.2.2"}"#,
        ),
    ];
    check(&cases, &data, MissingKey::Error);
}
