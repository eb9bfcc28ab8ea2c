//! Docker through its own API: no command line program between it and the clock.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// A running dockerd.
pub(crate) struct Docker {
    socket: PathBuf,
    image: String,
}

impl Docker {
    /// The engine behind `socket`, when one answers there.
    pub(crate) fn connect(socket: &Path, image: &str) -> anyhow::Result<Self> {
        let docker = Self {
            socket: socket.to_owned(),
            image: image.to_owned(),
        };
        docker.call("GET", "/version", None)?;
        Ok(docker)
    }

    /// Pulls the image.
    pub(crate) fn pull(&self) -> anyhow::Result<()> {
        let (name, tag) = self.image.rsplit_once(':').context("an image with a tag")?;
        let answer = self.call(
            "POST",
            &format!("/images/create?fromImage={name}&tag={tag}"),
            None,
        )?;
        if answer.contains("\"error\"") {
            bail!("docker pull: {answer}");
        }
        Ok(())
    }

    /// Removes the image, so that it can be pulled again.
    pub(crate) fn remove_image(&self) -> anyhow::Result<()> {
        self.call(
            "DELETE",
            &format!("/images/{}?force=true", self.image),
            None,
        )?;
        Ok(())
    }

    /// `docker run -d --network none IMAGE sleep`; the id.
    pub(crate) fn create(&self) -> anyhow::Result<String> {
        let body = json!({
            "Image": self.image,
            "Cmd": ["sleep", "1000000"],
            "HostConfig": {"NetworkMode": "none"},
        });
        let answer: Value =
            serde_json::from_str(&self.call("POST", "/containers/create", Some(&body))?)?;
        let id = answer["Id"].as_str().context("no id")?.to_owned();
        self.call("POST", &format!("/containers/{id}/start"), None)?;
        Ok(id)
    }

    /// `docker exec ID /bin/true`, exit status in hand.
    pub(crate) fn exec(&self, id: &str) -> anyhow::Result<()> {
        let body = json!({"Cmd": ["/bin/true"], "AttachStdout": true, "AttachStderr": true});
        let answer: Value = serde_json::from_str(&self.call(
            "POST",
            &format!("/containers/{id}/exec"),
            Some(&body),
        )?)?;
        let exec = answer["Id"].as_str().context("no exec id")?;
        self.call(
            "POST",
            &format!("/exec/{exec}/start"),
            Some(&json!({"Detach": false, "Tty": false})),
        )?;
        let state: Value =
            serde_json::from_str(&self.call("GET", &format!("/exec/{exec}/json"), None)?)?;
        if state["ExitCode"] != 0 {
            bail!("docker exec: {state}");
        }
        Ok(())
    }

    /// `docker rm -f ID`.
    pub(crate) fn remove(&self, id: &str) -> anyhow::Result<()> {
        self.call("DELETE", &format!("/containers/{id}?force=true"), None)?;
        Ok(())
    }

    /// One request on a connection of its own, as docker's clients do for most of theirs. The body of the answer.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)
            .with_context(|| format!("connect to {}", self.socket.display()))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} /v1.41{path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, rest) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with('2') {
            bail!("docker {method} {path}: {status} {rest}");
        }
        Ok(
            if head
                .to_ascii_lowercase()
                .contains("transfer-encoding: chunked")
            {
                dechunked(rest)
            } else {
                rest.to_owned()
            },
        )
    }
}

fn dechunked(mut rest: &str) -> String {
    let mut text = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        let (Some(chunk), Some(next)) = (after.get(..size), after.get(size + 2..)) else {
            break;
        };
        text.push_str(chunk);
        rest = next;
    }
    text
}
