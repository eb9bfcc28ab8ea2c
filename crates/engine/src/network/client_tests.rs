//! The client against a gateway that says what the test wants.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use shedbox_linux::seqpacket::{self, SeqPacket};
use shedbox_spec::gateway::{BRIDGE_GROUP, Outbound};
use shedbox_spec::network::subnet::Subnet;
use shedbox_spec::{Error, Kind};

use super::*;
use crate::companion::ANSWER_TIMEOUT;

/// What the gateway does when a request other than `Hello` and `AddNetwork` comes.
enum Act {
    Answer(Reply),
    HangUp,
}

struct Scripted {
    _dir: tempfile::TempDir,
    client: Client,
    /// Everything that was asked, in order.
    asked: mpsc::Receiver<Request>,
    thread: JoinHandle<()>,
}

impl Scripted {
    fn new(version: u32, script: Vec<Act>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("gateway.sock");
        let listener = seqpacket::listen(&socket).unwrap();
        let (sender, asked) = mpsc::channel();
        let thread = std::thread::spawn(move || serve(&listener, version, script, &sender));
        Self {
            client: Client::new(socket, PathBuf::new(), None),
            _dir: dir,
            asked,
            thread,
        }
    }

    fn ask(&self, request: &Request) -> (Result<Reply>, Option<Fresh>) {
        self.client.ask(request, &[], || vec![setup()])
    }

    /// What was asked, once the script is at its end.
    fn finish(self) -> Vec<Request> {
        drop(self.client);
        self.thread.join().unwrap();
        self.asked.iter().collect()
    }
}

/// Serves until the script is done and the client has gone.
fn serve(listener: &OwnedFd, version: u32, script: Vec<Act>, asked: &mpsc::Sender<Request>) {
    let mut script = script.into_iter();
    let mut left = script.len();
    loop {
        let Some(connection) = accept(listener) else {
            return;
        };
        while let Some(frame) = connection.recv().unwrap() {
            let request: Request = serde_json::from_slice(&frame.bytes).unwrap();
            asked.send(request.clone()).unwrap();
            let reply = match request {
                Request::Hello => Reply::Hello {
                    version,
                    pid: i32::try_from(std::process::id()).unwrap(),
                    user_namespace: userns::own_id().unwrap(),
                    outbound: Outbound::Pasta,
                },
                Request::AddNetwork(_) => Reply::Done,
                _ => {
                    left -= 1;
                    match script.next().unwrap() {
                        Act::Answer(reply) => reply,
                        Act::HangUp => break,
                    }
                }
            };
            connection
                .send(&serde_json::to_vec(&reply).unwrap(), &[])
                .unwrap();
        }
        if left == 0 {
            return;
        }
    }
}

fn accept(listener: &OwnedFd) -> Option<SeqPacket> {
    assert!(pidfd::readable(listener, Some(ANSWER_TIMEOUT)).unwrap());
    seqpacket::accept(listener.as_fd()).unwrap()
}

fn setup() -> NetworkSetup {
    NetworkSetup {
        group: BRIDGE_GROUP + 20,
        name: "shop".into(),
        v4: (
            Subnet::parse("10.1.0.0/24").unwrap(),
            "10.1.0.1".parse().unwrap(),
        ),
        v6: None,
        peers: true,
        names: true,
        internal: false,
    }
}

fn greeting() -> Vec<Request> {
    vec![Request::Hello, Request::AddNetwork(setup())]
}

#[test]
fn a_gateway_hears_of_networks_before_anything_else_and_once() {
    let gateway = Scripted::new(
        GATEWAY_VERSION,
        vec![
            Act::Answer(Reply::Sandboxes(vec!["a".into()])),
            Act::Answer(Reply::Done),
        ],
    );
    assert!(!gateway.client.is_connected());
    let (reply, fresh) = gateway.ask(&Request::List);
    assert_eq!(reply.unwrap(), Reply::Sandboxes(vec!["a".into()]));
    assert!(!fresh.unwrap().started, "it was there before");
    assert!(gateway.client.is_connected());
    let detach = Request::Detach("a".into());
    let (reply, fresh) = gateway.ask(&detach);
    assert_eq!(reply.unwrap(), Reply::Done);
    assert!(fresh.is_none());
    let expected = [greeting(), vec![Request::List, detach]].concat();
    assert_eq!(gateway.finish(), expected);
}

#[test]
fn a_request_that_a_gateway_died_of_is_repeated_once() {
    let gateway = Scripted::new(GATEWAY_VERSION, vec![Act::HangUp, Act::Answer(Reply::Done)]);
    let detach = Request::Detach("a".into());
    let (reply, fresh) = gateway.ask(&detach);
    assert_eq!(reply.unwrap(), Reply::Done);
    assert!(fresh.is_some(), "the second one is to be watched");
    let once = [greeting(), vec![detach]].concat();
    assert_eq!(gateway.finish(), [once.clone(), once].concat());
}

#[test]
fn a_request_that_two_gateways_died_of_is_an_error() {
    let gateway = Scripted::new(GATEWAY_VERSION, vec![Act::HangUp, Act::HangUp]);
    let (reply, _) = gateway.ask(&Request::List);
    assert!(reply.unwrap_err().to_string().contains("gateway"));
    assert!(!gateway.client.is_connected());
    let once = [greeting(), vec![Request::List]].concat();
    assert_eq!(gateway.finish(), [once.clone(), once].concat());
}

#[test]
fn a_refusal_is_the_gateways_own_and_what_refuses_is_watched() {
    let refusal = Error::conflict("port 80 is in use").with_hint("choose another one");
    let gateway = Scripted::new(
        GATEWAY_VERSION,
        vec![Act::Answer(Reply::Failed(refusal.clone()))],
    );
    let (reply, fresh) = gateway.ask(&Request::List);
    let error = Error::from(reply.unwrap_err());
    assert_eq!(
        (error.kind, &error.message, &error.hint),
        (Kind::Conflict, &refusal.message, &refusal.hint)
    );
    assert!(
        fresh.is_some(),
        "nobody else would notice the end of this gateway"
    );
    assert!(gateway.client.is_connected());
    gateway.finish();
}

#[test]
fn another_release_is_asked_nothing_and_no_process_ends_itself() {
    let gateway = Scripted::new(GATEWAY_VERSION + 1, vec![]);
    let (reply, fresh) = gateway.ask(&Request::List);
    assert!(reply.unwrap_err().to_string().contains("this process"));
    assert!(fresh.is_none() && !gateway.client.is_connected());
    assert_eq!(gateway.finish(), [Request::Hello]);
}

#[test]
fn one_of_another_release_is_ended() {
    let mut other = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    end(i32::try_from(other.id()).unwrap()).unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(other.wait().unwrap().signal(), Some(9));
    end(i32::MAX - 1).unwrap();
}
