//! The thread that stays in the host's network namespace: sockets belong to the namespace that they are made in.

use std::sync::mpsc;

type Job = Box<dyn FnOnce() + Send>;

/// A way to run code in the host's network namespace.
#[derive(Debug, Clone)]
pub struct HostNet {
    jobs: mpsc::Sender<Job>,
}

impl HostNet {
    /// Starts the thread. The calling thread is in the host's network namespace.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, receiver) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("host-net".to_owned())
            .spawn(move || {
                for job in receiver {
                    job();
                }
            })?;
        Ok(Self { jobs })
    }

    /// Runs `work` there and waits for what comes of it: for calls that do not block.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let job = move || {
            // Nobody is there to be told when the caller has been cancelled.
            let _ = sender.send(work());
        };
        let gone = || std::io::Error::other("the thread in the host's network has ended");
        self.jobs.send(Box::new(job)).map_err(|_| gone())?;
        receiver.recv().map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_there_comes_back() {
        let host = HostNet::start().unwrap();
        let listener = host
            .run(|| std::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        assert!(listener.local_addr().unwrap().port() > 0);
        let error = host.run(|| std::net::TcpListener::bind("127.0.0.1:0")?.set_nonblocking(true));
        assert!(error.is_ok());
    }
}
