//! Failures with the stage of the set-up that they belong to.

use shedbox_spec::control::Failure;

/// A failure that is not, or not only, a kernel call.
pub(crate) fn failure(stage: &str, call: String, errno: i32) -> Failure {
    Failure {
        stage: stage.to_owned(),
        call,
        errno,
    }
}

/// Names the stage of a failed kernel call.
pub(crate) trait Staged<T> {
    /// The same result with the stage in its error.
    fn stage(self, stage: &str) -> Result<T, Failure>;
}

impl<T> Staged<T> for shedbox_linux::Result<T> {
    fn stage(self, stage: &str) -> Result<T, Failure> {
        self.map_err(|error| {
            failure(
                stage,
                format!("{}({})", error.call, error.detail),
                error.errno as i32,
            )
        })
    }
}
