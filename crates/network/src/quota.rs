//! How much of something each sandbox has at once, and no more than a limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A limit that holds for each owner by itself.
#[derive(Debug)]
pub(crate) struct Quota {
    limit: usize,
    used: Mutex<HashMap<String, usize>>,
}

/// One of an owner's places, until it goes away.
#[derive(Debug)]
pub(crate) struct Place {
    quota: Arc<Quota>,
    owner: String,
}

impl Quota {
    /// Nobody has anything yet.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: Mutex::default(),
        })
    }

    /// A place for an owner; none when all of its places are taken.
    pub(crate) fn take(self: &Arc<Self>, owner: &str) -> Option<Place> {
        let mut used = self.lock();
        let count = used.entry(owner.to_owned()).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place {
            quota: Arc::clone(self),
            owner: owner.to_owned(),
        })
    }

    /// How many an owner has.
    #[cfg(test)]
    pub(crate) fn taken(&self, owner: &str) -> usize {
        self.lock().get(owner).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut used = self.quota.lock();
        if let Some(count) = used.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                used.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_limit_and_gives_back() {
        let quota = Quota::new(2);
        let first = quota.take("a").unwrap();
        let _second = quota.take("a").unwrap();
        assert!(quota.take("a").is_none());
        let other = quota.take("b").unwrap();
        drop(first);
        assert!(quota.take("a").is_some());
        drop(other);
        assert_eq!((quota.taken("a"), quota.taken("b")), (1, 0));
        assert!(!quota.lock().contains_key("b"));
    }
}
