//! Networks: what an attachment adds to a create, how many sandboxes are attached in a second, and what flows between two
//! sandboxes and through a published port, beside docker's bridge and podman in the same run.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use shedbox_client::SandboxSpec;
use shedbox_client::spec::network::{Attachment, Network, port};

use crate::options::Options;
use crate::samples::{Samples, timed};
use crate::shed::{Shed, wait};
use crate::table::{Report, Target};

/// Where iperf3 listens by itself.
const PORT: &str = "5201";
/// How long one measurement takes.
const SECONDS: &str = "3";
/// Attached one after the other.
const MANY: u32 = 200;

pub(crate) fn run(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    attach(options, shed, report)?;
    many(shed, report)?;
    if Command::new("iperf3")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        report.note("iperf3 is not installed: nothing is said about throughput");
        return Ok(());
    }
    throughput(options, report)
}

/// Create on the bridge against create without a network.
fn attach(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    let mut samples = Samples::default();
    for round in 0..=options.rounds {
        for (who, network) in [("none", Network::None), ("bridge", Network::bridge())] {
            let spec = shed.spec().network(network);
            let (created, sandbox) = timed(|| shed.create_from(spec))?;
            let (removed, ()) = timed(|| sandbox.remove())?;
            shed.wait_until_quiet()?;
            if round > 0 {
                samples.add("create", who, created);
                samples.add("rm", who, removed);
            }
        }
    }
    for what in ["create", "rm"] {
        report.compare(
            &format!("{what} on the bridge"),
            samples.summary(what, "bridge"),
            "--network none",
            samples.summary(what, "none"),
            Target::None,
        );
    }
    Ok(())
}

/// Sandboxes attached in a row.
fn many(shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    let rate = |network: &Network| -> anyhow::Result<f64> {
        let began = Instant::now();
        let all = (0..MANY)
            .map(|_| shed.create_from(shed.spec().network(network.clone())))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let took = began.elapsed();
        for sandbox in all {
            sandbox.remove()?;
        }
        shed.wait_until_quiet()?;
        Ok(f64::from(MANY) / took.as_secs_f64())
    };
    let bare = rate(&Network::None)?;
    let attached = rate(&Network::bridge())?;
    report.row(
        &format!("{MANY} sandboxes created and attached"),
        &format!("{attached:.0} per second"),
        &format!("--network none: {bare:.0} per second"),
        &format!("{:.2} ×", attached / bare),
        "≥ 100 per second",
        attached >= 100.0,
    );
    Ok(())
}

/// Bits per second between two of them, and from the host through a published port.
struct Flow {
    pair: f64,
    published: f64,
}

fn throughput(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let host = host()?;
    let ours = ours().context("iperf3 in shedbox")?;
    let mut others = Vec::new();
    if let Some(socket) = &options.docker {
        let socket = format!("unix://{}", socket.display());
        others.push((
            "docker",
            Engine::new("docker", vec!["--host".into(), socket]),
        ));
    } else {
        report.note("no docker: throughput beside its bridge needs `--with-docker`");
    }
    if options.podman {
        let dir = |name: &str| options.dir.join(name).display().to_string();
        let mut words = vec![
            "--root".into(),
            dir("podman-net"),
            "--runroot".into(),
            dir("podman-net-run"),
        ];
        words.extend(["--runtime", "runc", "--cgroup-manager", "cgroupfs"].map(str::to_owned));
        others.push(("podman", Engine::new("podman", words)));
    }
    let mut flows = vec![(
        "the host's loopback",
        Flow {
            pair: host,
            published: host,
        },
    )];
    for (name, engine) in others {
        match engine.flow(&options.image) {
            Ok(flow) => flows.push((name, flow)),
            Err(error) => report.note(format!("throughput of {name}: {error:#}")),
        }
    }
    for (what, of) in [
        (
            "iperf3 between two sandboxes",
            (|flow: &Flow| flow.pair) as fn(&Flow) -> f64,
        ),
        ("iperf3 from the host to a published port", |flow: &Flow| {
            flow.published
        }),
    ] {
        for (name, flow) in &flows {
            report.row(
                what,
                &giga(of(&ours)),
                &format!("{name}: {}", giga(of(flow))),
                &format!("{:.2} ×", of(&ours) / of(flow)),
                "",
                true,
            );
        }
    }
    Ok(())
}

/// The machine's own: a server and a client on the host.
fn host() -> anyhow::Result<f64> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port()
        .to_string();
    let mut server = Command::new("iperf3")
        .args(["-s", "-B", "127.0.0.1", "-p", &port])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("iperf3")?;
    let measured = client(&["iperf3"], "127.0.0.1", &port);
    server.kill()?;
    server.wait()?;
    measured
}

/// Two sandboxes of the host's own programs on a network of their own.
fn ours() -> anyhow::Result<Flow> {
    let program = std::env::var("SHEDBOX_BIN").context("SHEDBOX_BIN is not set")?;
    let network = "bench";
    call(&program, &["network", "create", network])?;
    let spec = |name: &str| SandboxSpec {
        name: Some(name.to_owned()),
        network: Network::Bridge(vec![Attachment::to(network)]),
        ..SandboxSpec::host()
    };
    let client_of = shedbox_client::Client::new();
    let server = client_of.create(SandboxSpec {
        ports: port::parse(&format!("127.0.0.1::{PORT}"))?,
        ..spec("bench-server")
    })?;
    let other = client_of.create(spec("bench-client"))?;
    call(&program, &["exec", "bench-server", "iperf3", "-s", "-D"])?;
    let pair = client(
        &[&program, "exec", "bench-client", "iperf3"],
        "bench-server",
        PORT,
    )?;
    let published = through(&call(&program, &["port", "bench-server", PORT])?)?;
    other.remove()?;
    server.remove()?;
    call(&program, &["network", "rm", network])?;
    Ok(Flow { pair, published })
}

/// Docker or podman by its command line.
struct Engine {
    program: &'static str,
    words: Vec<String>,
}

impl Engine {
    fn new(program: &'static str, words: Vec<String>) -> Self {
        Self { program, words }
    }

    /// The image is of the host's own suite, so the host's iperf3 runs in it.
    fn flow(&self, image: &str) -> anyhow::Result<Flow> {
        let network = "shedbox-bench";
        if self.program == "podman" {
            self.call(&["pull", "--quiet", "--tls-verify=false", image])?;
        }
        self.call(&["network", "create", network])?;
        let server = [
            "run",
            "--detach",
            "--network",
            network,
            "--volume",
            "/usr:/usr:ro",
        ];
        let publish = format!("127.0.0.1::{PORT}");
        let limits = self.limits();
        let command = ["--publish", &publish, image, "iperf3", "-s"];
        let server = [&server[..], limits, &command].concat();
        let flow = self.call(&server).and_then(|id| {
            let flow = self.measure(&id, image, network);
            let removed = self.call(&["rm", "--force", &id]);
            flow.and_then(|flow| removed.map(|_| flow))
        });
        // What went wrong first is what counts.
        let removed = self.call(&["network", "rm", "--force", network]);
        flow.and_then(|flow| removed.map(|_| flow))
    }

    fn measure(&self, id: &str, image: &str, network: &str) -> anyhow::Result<Flow> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = self.call(&["inspect", "--format", format, id])?;
        let words = self.words.iter().map(String::as_str);
        let run = [
            "run",
            "--rm",
            "--network",
            network,
            "--volume",
            "/usr:/usr:ro",
            image,
            "iperf3",
        ];
        let line: Vec<&str> = std::iter::once(self.program)
            .chain(words)
            .chain(run[..1].iter().copied())
            .chain(self.limits().iter().copied())
            .chain(run[1..].iter().copied())
            .collect();
        let pair = client(&line, &address, PORT)?;
        let published = through(&self.call(&["port", id, &format!("{PORT}/tcp")])?)?;
        Ok(Flow { pair, published })
    }

    /// podman asks for more open files than a session may have.
    fn limits(&self) -> &'static [&'static str] {
        if self.program == "podman" {
            &["--ulimit", "host"]
        } else {
            &[]
        }
    }

    fn call(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        call(self.program, &[&words, arguments].concat())
    }
}

/// From the host to `ADDRESS:PORT`, the first line of what `port` says.
fn through(published: &str) -> anyhow::Result<f64> {
    let first = published.lines().next().context("no published port")?;
    let (address, port) = first.rsplit_once(':').context("an address and a port")?;
    client(&["iperf3"], address, port)
}

/// Bits per second that a server receives from this client. The server may still be starting.
fn client(line: &[&str], address: &str, port: &str) -> anyhow::Result<f64> {
    let arguments = ["-c", address, "-p", port, "-t", SECONDS, "-J"];
    let mut measured = None;
    wait("iperf3 answers", || {
        let output = Command::new(line[0])
            .args(&line[1..])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| line.join(" "))?;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        measured = report["end"]["sum_received"]["bits_per_second"].as_f64();
        Ok(measured.is_some())
    })?;
    measured.context("no measurement")
}

fn call(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| program.to_owned())?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn giga(bits: f64) -> String {
    format!("{:.1} Gbit/s", bits / 1e9)
}
