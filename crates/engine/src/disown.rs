//! A sandbox that outlives its owner after all.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Engine;
use crate::error::Result;
use crate::record::Record;

impl Engine {
    /// The end of its owner means nothing to this sandbox any more. One without an owner stays as it is.
    pub fn disown(&self, name: &str) -> Result<()> {
        let sandbox = self.find(name)?;
        let _turn = sandbox.turn();
        if sandbox.record.owner.is_none() || sandbox.disowned.load(Ordering::Acquire) {
            return Ok(());
        }
        // On disk first: a daemon that comes after a crash here must not remove what it was told to keep.
        let record = Record {
            owner: None,
            ..sandbox.record_now()
        };
        sandbox.layout.replace_record(&record)?;
        sandbox.disowned.store(true, Ordering::Release);
        self.watcher.forget_owner(&Arc::downgrade(&sandbox));
        Ok(())
    }
}
