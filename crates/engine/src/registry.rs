//! Which sandboxes there are: by id, by unambiguous prefix of an id, by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use shedbox_spec::error::Cause;
use shedbox_spec::{Error, Result, SandboxId};

/// Ids and names. `T` is the sandbox; a name is taken from the moment its sandbox is being made.
#[derive(Debug)]
pub(crate) struct Registry<T> {
    by_id: BTreeMap<String, Arc<T>>,
    by_name: HashMap<String, SandboxId>,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_name: HashMap::new(),
        }
    }
}

impl<T> Registry<T> {
    /// Finds by name, id, or a prefix of an id that fits only one. A name wins over an id, as Docker has it.
    pub(crate) fn find(&self, name_or_id: &str) -> Result<Arc<T>> {
        if let Some(sandbox) = self
            .by_name
            .get(name_or_id)
            .and_then(|id| self.by_id.get(id.as_str()))
        {
            return Ok(Arc::clone(sandbox));
        }
        let mut fitting = self
            .by_id
            .range(name_or_id.to_owned()..)
            .take_while(|(id, _)| !name_or_id.is_empty() && id.starts_with(name_or_id));
        match (fitting.next(), fitting.next()) {
            (Some((_, sandbox)), None) => Ok(Arc::clone(sandbox)),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "`{name_or_id}` fits several sandboxes"
            ))
            .with_hint("give more digits")),
            (None, _) => Err(Error::not_found(format!("no such sandbox: `{name_or_id}`"))
                .with_cause(Cause::NoSandbox(name_or_id.to_owned()))
                .with_hint("`shedbox ps --all` lists them")),
        }
    }

    /// Takes a name for a sandbox that is being made.
    pub(crate) fn reserve(&mut self, name: &str, id: &SandboxId) -> Result<()> {
        if let Some(owner) = self.by_name.get(name) {
            Err(Error::conflict(format!(
                "the name `{name}` is taken by sandbox {}",
                owner.short()
            ))
            .with_cause(Cause::NameTaken(owner.clone()))
            .with_hint(format!("choose another one, or `shedbox rm {name}` first")))
        } else {
            self.by_name.insert(name.to_owned(), id.clone());
            Ok(())
        }
    }

    /// Gives a name back, unless it has come to belong to another sandbox.
    pub(crate) fn release(&mut self, name: &str, id: &SandboxId) {
        if self.by_name.get(name) == Some(id) {
            self.by_name.remove(name);
        }
    }

    /// Makes a sandbox visible. Its name is reserved.
    pub(crate) fn insert(&mut self, id: &SandboxId, sandbox: Arc<T>) {
        self.by_id.insert(id.as_str().to_owned(), sandbox);
    }

    /// Forgets a sandbox and its name.
    pub(crate) fn remove(&mut self, id: &SandboxId, name: &str) {
        self.by_id.remove(id.as_str());
        self.release(name, id);
    }

    /// All of them, by id.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.by_id.values().cloned().collect()
    }

    /// Whether there is one with this id.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::Kind;

    fn id(first: u8) -> SandboxId {
        let mut bytes = [0; 32];
        bytes[0] = first;
        SandboxId::from_bytes(&bytes)
    }

    #[test]
    fn names_ids_and_prefixes() {
        let mut registry = Registry::default();
        for (first, name) in [(0xab, "one"), (0xac, "two"), (0x10, "ab")] {
            registry.reserve(name, &id(first)).unwrap();
            registry.insert(&id(first), Arc::new(first));
        }
        let found = |text: &str| {
            registry
                .find(text)
                .map(|sandbox| *sandbox)
                .map_err(|error| error.kind)
        };
        assert_eq!(found("one"), Ok(0xab));
        assert_eq!(found("ac"), Ok(0xac));
        assert_eq!(
            found("ab"),
            Ok(0x10),
            "a name wins over the prefix of an id"
        );
        assert_eq!(found("a"), Err(Kind::Invalid));
        assert_eq!(found(id(0xab).as_str()), Ok(0xab));
        assert_eq!(found(""), Err(Kind::NotFound));
        assert_eq!(found("zz"), Err(Kind::NotFound));
    }

    #[test]
    fn a_name_is_taken_until_it_is_released_by_its_owner() {
        let mut registry = Registry::<()>::default();
        registry.reserve("x1", &id(1)).unwrap();
        assert_eq!(
            registry.reserve("x1", &id(2)).unwrap_err().kind,
            Kind::Conflict
        );
        assert_eq!(
            registry.find("x1").unwrap_err().kind,
            Kind::NotFound,
            "reserved is not there yet"
        );
        registry.release("x1", &id(2));
        assert!(registry.reserve("x1", &id(2)).is_err());
        registry.remove(&id(1), "x1");
        registry.reserve("x1", &id(2)).unwrap();
    }
}
