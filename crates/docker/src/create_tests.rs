//! Bodies as clients send them.

use super::*;
use shedbox_spec::mount::{Access, Mount};
use shedbox_spec::network::Network;
use shedbox_spec::network::default::DefaultNetwork;

fn translated(text: &str) -> Result<Translated> {
    let (body, _) = read(text.as_bytes())?;
    translate(&body, None, None, &mut |wanted| {
        Ok(format!(
            "/volumes/{}",
            wanted.name.as_deref().unwrap_or("own")
        ))
    })
}

/// What `docker run -d x tail -f /dev/null` of Debian's and Docker's command sends.
const CLI: &str = r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,
  "AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["tail","-f","/dev/null"],
  "Image":"x","Volumes":{},"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{},"HostConfig":{"Binds":null,
  "ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},"NetworkMode":"default","PortBindings":{},
  "RestartPolicy":{"Name":"no","MaximumRetryCount":0},"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,
  "ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],
  "ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"",
  "Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"","UsernsMode":"",
  "ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,
  "BlkioWeightDevice":[],"BlkioDeviceReadBps":[],"BlkioDeviceWriteBps":[],"BlkioDeviceReadIOps":[],
  "BlkioDeviceWriteIOps":[],"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"",
  "CpusetMems":"","Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,
  "MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"CpuCount":0,"CpuPercent":0,
  "IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null},
  "NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,"Links":null,"Aliases":null,"MacAddress":""}}}}"#;

#[test]
fn the_commands_zero_values_mean_nothing() {
    let Translated { spec, warnings } = translated(CLI).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(spec.command, ["tail", "-f", "/dev/null"]);
    assert_eq!(spec.network, Network::bridge());
    assert_eq!(spec.entrypoint, None);
    assert!(!spec.security.no_new_privileges, "Docker's default");
}

#[test]
fn a_default_network_of_the_configuration() {
    let network = |text: &str, setting: &str| {
        let (mut body, _) = read(text.as_bytes()).unwrap();
        apply_default_network(&mut body, &DefaultNetwork::parse(setting).unwrap());
        translate(&body, None, None, &mut |_| unreachable!())
            .unwrap()
            .spec
            .network
            .to_string()
    };
    for (body, shop, none) in [
        (CLI, "shop", "none"),
        (r#"{"Image":"x"}"#, "shop", "none"),
        (
            r#"{"Image":"x","HostConfig":{"NetworkMode":"host"}}"#,
            "host",
            "host",
        ),
        (r#"{"Image":"x","NetworkDisabled":true}"#, "none", "none"),
        (
            r#"{"Image":"x","HostConfig":{"PortBindings":{"80/tcp":[{}]}}}"#,
            "shop",
            "bridge",
        ),
        (
            r#"{"Image":"x","HostConfig":{"ExtraHosts":["h:host-gateway"]}}"#,
            "shop",
            "bridge",
        ),
    ] {
        assert_eq!(network(body, "shop"), shop, "{body}");
        assert_eq!(network(body, "none"), none, "{body}");
    }
}

#[test]
fn what_swe_bench_sends() {
    let text = r#"{"Image":"sweb:1","Cmd":["tail","-f","/dev/null"],"User":"root","Tty":false,"OpenStdin":false,
        "HostConfig":{"CapAdd":["SYS_ADMIN"],"NetworkMode":"default"},"NetworkDisabled":false}"#;
    let (body, _) = read(text.as_bytes()).unwrap();
    let done = translate(
        &body,
        Some("/sweb.eval.x"),
        Some("linux/x86_64"),
        &mut |_| unreachable!(),
    )
    .unwrap();
    assert_eq!(done.spec.name.as_deref(), Some("sweb.eval.x"));
    assert_eq!(done.spec.platform.as_deref(), Some("linux/amd64"));
    assert!(done.spec.security.cap_add.is_empty());
    assert!(
        done.warnings[0].contains("SYS_ADMIN"),
        "{:?}",
        done.warnings
    );
}

#[test]
fn mounts_of_every_kind() {
    let text = r#"{"Image":"x","Volumes":{"/anon":{},"/data":{}},"HostConfig":{"Binds":["/a:/b:ro","named:/data","/own"],
        "Tmpfs":{"/tmp":"size=16m"},"Mounts":[{"Type":"volume","Source":"v","Target":"/v","ReadOnly":true},
        {"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1024}}]}}"#;
    let mounts = translated(text).unwrap().spec.mounts;
    let bind = |source: &str, target: &str, access| Mount::Bind {
        source: source.into(),
        target: target.into(),
        access,
    };
    for expected in [
        bind("/a", "/b", Access::Ro),
        bind("/volumes/named", "/data", Access::Rw),
        bind("/volumes/own", "/own", Access::Rw),
        bind("/volumes/v", "/v", Access::Ro),
        bind("/volumes/own", "/anon", Access::Rw),
    ] {
        assert!(mounts.contains(&expected), "{expected:?} in {mounts:?}");
    }
    assert_eq!(mounts.len(), 7, "{mounts:?}");
    for wrong in [
        r#"{"Image":"x","HostConfig":{"Binds":["a:b:c:d"]}}"#,
        r#"{"Image":"x","HostConfig":{"Binds":["/a:b"]}}"#,
        r#"{"Image":"x","HostConfig":{"Binds":["/a:/b:sideways"]}}"#,
        r#"{"Image":"x","HostConfig":{"Binds":["/a:/b","/c:/b"]}}"#,
        r#"{"Image":"x","HostConfig":{"Mounts":[{"Type":"npipe","Target":"/x"}]}}"#,
        r#"{"Image":"x","HostConfig":{"Mounts":[{"Type":"bind","Target":"/x"}]}}"#,
    ] {
        assert!(translated(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn ports_and_networks() {
    let text = r#"{"Image":"x","ExposedPorts":{"80/tcp":{}},"HostConfig":{"NetworkMode":"shop","PortBindings":{
        "80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}],"53/udp":[{"HostIp":"","HostPort":""}],"81/tcp":null}},
        "NetworkingConfig":{"EndpointsConfig":{"shop":{"Aliases":["web"],"IPAMConfig":{"IPv4Address":"10.1.2.3"}},
        "other":{}}}}"#;
    let spec = translated(text).unwrap().spec;
    assert_eq!(spec.ports.len(), 3);
    let Network::Bridge(all) = &spec.network else {
        panic!()
    };
    assert_eq!(all[0].network, "shop");
    assert_eq!(all[0].aliases, ["web"]);
    assert_eq!(all[0].ip.unwrap().to_string(), "10.1.2.3");
    assert_eq!(all[1].network, "other");
    let host =
        translated(r#"{"Image":"x","HostConfig":{"NetworkMode":"host","PublishAllPorts":true}}"#)
            .unwrap();
    assert_eq!(host.spec.network, Network::Host);
    assert_eq!(host.warnings.len(), 1);
}

#[test]
fn what_cannot_be_had_is_said() {
    for (field, text) in [
        (
            "PidMode",
            r#"{"Image":"x","HostConfig":{"PidMode":"host"}}"#,
        ),
        (
            "devices",
            r#"{"Image":"x","HostConfig":{"DeviceRequests":[{"Count":-1}]}}"#,
        ),
        (
            "log driver",
            r#"{"Image":"x","HostConfig":{"LogConfig":{"Type":"syslog"}}}"#,
        ),
        (
            "runtime",
            r#"{"Image":"x","HostConfig":{"Runtime":"kata"}}"#,
        ),
        (
            "restart policy",
            r#"{"Image":"x","HostConfig":{"RestartPolicy":{"Name":"sometimes"}}}"#,
        ),
        (
            "AutoRemove",
            r#"{"Image":"x","HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}}"#,
        ),
        ("no image", r"{}"),
    ] {
        let error = translated(text).unwrap_err();
        assert!(error.message.contains(field), "{field}: {}", error.message);
    }
    let odd = translated(r#"{"Image":"x","Flavour":"mint","HostConfig":{"Speed":9}}"#).unwrap();
    assert_eq!(odd.warnings.len(), 2, "{:?}", odd.warnings);
}

#[test]
fn entrypoints_as_docker_has_them() {
    let of = |text: &str| {
        translated(&format!(r#"{{"Image":"x","Entrypoint":{text}}}"#))
            .unwrap()
            .spec
            .entrypoint
    };
    assert_eq!(of("null"), None);
    assert_eq!(of("[]"), Some(vec![]));
    assert_eq!(of("[\"\"]"), Some(vec![]));
    assert_eq!(of("\"sh\""), Some(vec!["sh".to_owned()]));
}

#[test]
fn the_label_that_recycles() {
    let of = |labels: &str| {
        translated(&format!(r#"{{"Image":"x","Labels":{labels}}}"#)).map(|done| done.spec.recycle)
    };
    assert_eq!(of("{}"), Ok(false));
    assert_eq!(of(r#"{"shedbox.recycle":"true"}"#), Ok(true));
    assert_eq!(of(r#"{"shedbox.recycle":"false"}"#), Ok(false));
    let refused = of(r#"{"shedbox.recycle":"yes"}"#).unwrap_err();
    assert_eq!(
        refused.message,
        "invalid value 'yes' of label shedbox.recycle: use 'true' or 'false'"
    );
}

proptest::proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,200}") {
        let _ = translated(&text);
        let _ = translated(&format!(r#"{{"Image":"x","HostConfig":{text}}}"#));
    }
}
