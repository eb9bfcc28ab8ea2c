//! Messages as values: whatever the bytes are, reading them ends with a value or an error, and a value that was read is
//! written as something that is read as the same value.

use shedbox_client::spec::SandboxSpec;
use shedbox_client::spec::control::{
    Attach, DieReason, FileRequest, FollowUp, InitEvent, InitStatus, KeeperRequest, Reply, Request,
    Stats,
};
use shedbox_client::spec::exec::{ExecRequest, TtySize};

use crate::cases;
use crate::mutation::mutate;
use crate::support::{Random, seed};

/// Honest requests to init, but for those that end it.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let exec = ExecRequest {
        argv: vec![b"/bin/true".to_vec(), b"\xff".to_vec()],
        env: vec![b"A=b".to_vec()],
        cwd: Some("/".into()),
        user: Some("0:0".into()),
        stdout: true,
        timeout_ms: Some(1000),
        ..ExecRequest::default()
    };
    let terminal = ExecRequest {
        argv: vec![b"true".to_vec()],
        tty: Some(TtySize { rows: 1, cols: 1 }),
        ..ExecRequest::default()
    };
    [
        Request::Exec(exec),
        Request::Exec(terminal),
        Request::Attach(Attach::default()),
        Request::StartMain(Attach::default()),
        Request::Stats,
        Request::Status,
        Request::Files(FileRequest::Stat {
            path: "/etc".into(),
        }),
        Request::Files(FileRequest::Pack {
            path: "/etc/hostname".into(),
            follow: true,
        }),
        Request::Files(FileRequest::Unpack {
            path: "/tmp".into(),
            no_overwrite_kind: false,
            keep_owner: false,
        }),
    ]
    .iter()
    .map(|request| serde_json::to_vec(request).expect("encode"))
    .chain(
        [
            FollowUp::Signal { signal: 0 },
            FollowUp::Resize(TtySize { rows: 9, cols: 9 }),
            FollowUp::Detach,
        ]
        .iter()
        .map(|message| serde_json::to_vec(message).expect("encode")),
    )
    .collect()
}

fn round_trip<T>(bytes: &[u8]) -> bool
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let Ok(value) = serde_json::from_slice::<T>(bytes) else {
        return false;
    };
    let again = serde_json::to_vec(&value).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&again).expect("read"), value);
    true
}

#[test]
fn messages_read_as_what_they_are_or_not_at_all() {
    let mut random = Random(seed());
    let requests = requests();
    let spec = serde_json::to_vec(&SandboxSpec::host()).expect("encode");
    let keeper = vec![serde_json::to_vec(&KeeperRequest::Hello).expect("encode")];
    let replies: Vec<Vec<u8>> = [
        Reply::Started { pid: 1 },
        Reply::Done,
        Reply::Stats(Stats::default()),
        Reply::Status(InitStatus {
            version: 1,
            sandbox: "s".into(),
            generation: 1,
            main_pid: None,
            main_result: None,
            execs: 0,
            clients: 0,
            paused: false,
            landlock: shedbox_spec::landlock::LandlockInForce::default(),
        }),
    ]
    .iter()
    .map(|reply| serde_json::to_vec(reply).expect("encode"))
    .collect();
    let die = serde_json::to_vec(&Request::Die {
        reason: DieReason::Reset,
    })
    .expect("encode");
    let mut read = 0;
    for _ in 0..cases(200_000) {
        let text = mutate(&mut random, &requests);
        read += usize::from(round_trip::<Request>(&text));
        round_trip::<FollowUp>(&text);
        round_trip::<Request>(&mutate(&mut random, std::slice::from_ref(&die)));
        round_trip::<SandboxSpec>(&mutate(&mut random, std::slice::from_ref(&spec)));
        round_trip::<KeeperRequest>(&mutate(&mut random, &keeper));
        let text = mutate(&mut random, &replies);
        round_trip::<Reply>(&text);
        round_trip::<InitEvent>(&text);
    }
    assert!(read > 1000, "only {read} were readable: this tests nothing");
}
