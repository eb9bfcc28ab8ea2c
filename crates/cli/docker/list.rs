//! `docker ps`, and what listings have in common: rows with the fields that templates may name.

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use shedbox_client::Target;
use shedbox_spec::size::{format_bytes, human_duration};

use super::output::{ListFlags, Listing, short};

/// Of containers. Source: docker/cli, `cli/command/formatter/container.go`.
const CONTAINERS: Listing = Listing {
    headers: &[
        ("ID", "CONTAINER ID"),
        ("Names", "NAMES"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Size", "SIZE"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
    ],
    default: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
    quiet: "{{.ID}}",
};

/// Of `docker stats`.
pub(super) const STATS: Listing = Listing {
    headers: &[
        ("Container", "CONTAINER"),
        ("Name", "NAME"),
        ("ID", "CONTAINER ID"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
    default: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    quiet: "{{.ID}}",
};

#[derive(Debug, clap::Args)]
pub(super) struct PsArgs {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    flags: ListFlags,
    /// The last that were created
    #[arg(short = 'n', long, value_name = "COUNT", allow_hyphen_values = true)]
    last: Option<i64>,
    /// The last one that was created
    #[arg(short, long)]
    latest: bool,
    #[arg(long)]
    no_trunc: bool,
    #[arg(short, long)]
    size: bool,
}

pub(super) fn containers(args: &PsArgs) -> Result<u8> {
    let mut target = Target::docker(["containers", "json"]);
    let wants_size =
        args.size || (args.flags.format.as_deref()).is_some_and(|format| format.contains(".Size"));
    for (key, set) in [("all", args.all), ("size", wants_size)] {
        if set {
            target = target.query(key, 1);
        }
    }
    if args.latest {
        target = target.query("limit", 1);
    } else if let Some(count) = args.last {
        target = target.query("limit", count);
    }
    let list = args.flags.fetch(target, &[])?;
    let rows: Vec<Value> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| row(container, args.no_trunc))
        .collect();
    let mut listing = CONTAINERS;
    if args.size {
        listing.default = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";
    }
    args.flags.print(&listing, &rows)
}

fn row(container: &Value, whole: bool) -> Value {
    let text = |name: &str| container[name].as_str().unwrap_or_default();
    let names: Vec<&str> = container["Names"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|name| name.trim_start_matches('/'))
        .collect();
    let command = text("Command");
    let command = if whole {
        command.to_owned()
    } else {
        shorten(command, 20)
    };
    let keys = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect()
    };
    let mounts: Vec<String> = container["Mounts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|mount| {
            let name = mount["Name"].as_str().filter(|name| !name.is_empty());
            let name = name
                .or_else(|| mount["Source"].as_str())
                .unwrap_or_default();
            if whole {
                name.to_owned()
            } else {
                shorten(name, 15)
            }
        })
        .collect();
    let local = container["Mounts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|mount| mount["Driver"] == "local")
        .count();
    let size = container["SizeRw"]
        .as_u64()
        .map_or_else(String::new, |own| {
            let all = container["SizeRootFs"].as_u64().unwrap_or(0);
            format!("{} (virtual {})", format_bytes(own), format_bytes(all))
        });
    json!({
        "ID": if whole { text("Id") } else { short(text("Id")) },
        "Names": names.join(","),
        "Image": text("Image"),
        "Command": format!("\"{command}\""),
        "CreatedAt": at(&container["Created"]),
        "RunningFor": format!("{} ago", since(&container["Created"])),
        "Ports": ports(&container["Ports"]),
        "State": text("State"),
        "Status": text("Status"),
        "Size": size,
        "Labels": labels(&container["Labels"]),
        "Mounts": mounts.join(","),
        "LocalVolumes": local.to_string(),
        "Networks": keys(&container["NetworkSettings"]["Networks"]).join(","),
        "Platform": null,
        "Label": container["Labels"],
    })
}

/// `a=b,c=d`.
pub(super) fn labels(value: &Value) -> String {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(",")
}

/// At most so many characters, with an ellipsis.
fn shorten(text: &str, width: usize) -> String {
    crate::render::shorten(text, width)
}

/// How long ago a time in seconds since 1970 was.
pub(super) fn since(seconds: &Value) -> String {
    let passed = Timestamp::now().as_second() - seconds.as_i64().unwrap_or(0);
    human_duration(std::time::Duration::from_secs(
        u64::try_from(passed).unwrap_or(0),
    ))
}

/// A time in seconds since 1970 as listings print it.
pub(super) fn at(seconds: &Value) -> String {
    Timestamp::from_second(seconds.as_i64().unwrap_or(0))
        .map(|at| at.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string())
        .unwrap_or_default()
}

/// `0.0.0.0:80->80/tcp, 443/tcp`, ranges drawn together.
fn ports(list: &Value) -> String {
    let mut shown: Vec<String> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            let kind = port["Type"].as_str().unwrap_or("tcp");
            let inside = port["PrivatePort"].as_u64().unwrap_or(0);
            match port["PublicPort"].as_u64() {
                Some(outside) => {
                    let ip = port["IP"].as_str().unwrap_or_default();
                    let ip = if ip.contains(':') {
                        format!("[{ip}]")
                    } else {
                        ip.to_owned()
                    };
                    format!("{ip}:{outside}->{inside}/{kind}")
                }
                None => format!("{inside}/{kind}"),
            }
        })
        .collect();
    shown.dedup();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_as_docker_writes_them() {
        let list = json!([
            {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"PrivatePort": 443, "Type": "tcp"},
        ]);
        assert_eq!(
            ports(&list),
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp"
        );
    }
}
