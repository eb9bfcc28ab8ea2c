//! Pull of a real image from a loopback registry, against unpacking the same layers with gunzip and tar, and docker.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::docker::Docker;
use crate::options::Options;
use crate::samples::{Samples, timed};
use crate::shed::Shed;
use crate::table::{Report, Target};

const ROUNDS: usize = 5;

/// Pull rows; nothing when `scripts/bench` has not built the image.
pub(crate) fn run(options: &Options, shed: &Shed, report: &mut Report) -> anyhow::Result<()> {
    let (Some(image), Some(layout)) = (&options.big_image, &options.big_layout) else {
        return Ok(());
    };
    let blobs = layer_blobs(layout)?;
    let docker = options
        .docker
        .as_ref()
        .map(|socket| Docker::connect(socket, image))
        .transpose()?;
    let mut samples = Samples::default();
    for _ in 0..ROUNDS {
        let dir = options.dir.join("unpacked");
        samples.add("pull", "tar", timed(|| gunzip_and_tar(&blobs, &dir))?.0);
        std::fs::remove_dir_all(&dir)?;
        settle()?;
        samples.add("pull", "shedbox", timed(|| shed.pull(image))?.0);
        shed.remove_image(image)?;
        shed.wait_until_quiet()?;
        settle()?;
        if let Some(docker) = &docker {
            samples.add("pull", "docker", timed(|| docker.pull())?.0);
            docker.remove_image()?;
            settle()?;
        }
    }
    let ours = samples.summary("pull", "shedbox");
    report.compare(
        "pull",
        ours,
        "parallel gunzip, tar x",
        samples.summary("pull", "tar"),
        Target::AtMost(1.2),
    );
    report.compare(
        "pull",
        ours,
        "docker",
        samples.summary("pull", "docker"),
        Target::Faster(4.0),
    );
    let peak = shed.daemon_peak_kib()? / 1024.0;
    report.row(
        "peak memory of the daemon, pulls included",
        &format!("{peak:.0} MiB"),
        "",
        "",
        "≤ 200 MiB",
        peak <= 200.0,
    );
    Ok(())
}

/// The gzip blobs of the layers, lowest first.
fn layer_blobs(layout: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let json = |path: &Path| -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    };
    let blob = |digest: &serde_json::Value| -> anyhow::Result<PathBuf> {
        let hex = digest
            .as_str()
            .and_then(|text| text.strip_prefix("sha256:"))
            .context("a digest")?;
        Ok(layout.join("blobs/sha256").join(hex))
    };
    let index = json(&layout.join("index.json"))?;
    let manifest = json(&blob(&index["manifests"][0]["digest"])?)?;
    let layers = manifest["layers"].as_array().context("layers")?;
    layers.iter().map(|layer| blob(&layer["digest"])).collect()
}

/// All layers at once, each into a directory of its own: what two programs can do that know nothing of images.
fn gunzip_and_tar(blobs: &[PathBuf], dir: &Path) -> anyhow::Result<()> {
    let mut running = Vec::new();
    for (number, blob) in blobs.iter().enumerate() {
        let target = dir.join(number.to_string());
        std::fs::create_dir_all(&target)?;
        let mut gunzip = Command::new("gunzip")
            .arg("-c")
            .stdin(std::fs::File::open(blob)?)
            .stdout(Stdio::piped())
            .spawn()?;
        let stream = gunzip.stdout.take().context("a pipe")?;
        let tar = Command::new("tar")
            .args(["-x", "--no-same-owner", "-C"])
            .arg(&target)
            .stdin(stream)
            .spawn()?;
        running.extend([gunzip, tar]);
    }
    for mut process in running {
        let status = process.wait()?;
        if !status.success() {
            bail!("gunzip or tar: {status}");
        }
    }
    Ok(())
}

/// What one contestant has written must not be paid for by the next.
fn settle() -> anyhow::Result<()> {
    Command::new("sync").status()?;
    Ok(())
}
