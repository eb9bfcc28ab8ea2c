//! Another name for a sandbox. Its id, its host name and its files stay as they are.

use shedbox_spec::api::Status;
use shedbox_spec::error::Cause;
use shedbox_spec::gateway::Request;
use shedbox_spec::{Error, id};

use crate::Engine;
use crate::error::{Doing, Result, on_path};
use crate::events::Happening;
use crate::sandbox::{Sandbox, remove_socket};

impl Engine {
    /// Gives a sandbox another name, which nobody has. Names on its networks change with it.
    pub fn rename(&self, name: &str, new: &str) -> Result<()> {
        let _activity = self.background.activity();
        id::validate_name(new)?;
        let sandbox = self.find(name)?;
        let _turn = sandbox.turn();
        let before = sandbox.name();
        if &*before == new {
            return Err(
                Error::invalid(format!("sandbox `{new}` has this name already"))
                    .with_cause(Cause::SameName)
                    .into(),
            );
        }
        if sandbox.state().life.status == Status::Removing {
            return Err(Error::conflict(format!("sandbox `{before}` is being removed")).into());
        }
        self.registry().reserve(new, &sandbox.record.id)?;
        sandbox.set_name(new);
        if let Err(error) = self.rename_on_disk(&sandbox, &before) {
            sandbox.set_name(&before);
            self.registry().release(new, &sandbox.record.id);
            return Err(error);
        }
        self.registry().release(&before, &sandbox.record.id);
        self.rename_on_networks(&sandbox);
        let before = before.to_string();
        self.tell(&sandbox, Happening::Renamed { before });
        Ok(())
    }

    /// The record counts; the link is made anew at every start of a daemon.
    fn rename_on_disk(&self, sandbox: &Sandbox, before: &str) -> Result<()> {
        let link = self.name_link(&sandbox.name());
        remove_socket(&link)?;
        std::os::unix::fs::symlink(format!("../{}.sock", sandbox.record.id), &link)
            .doing(|| on_path("make link", &link))?;
        sandbox
            .layout
            .replace_record(&sandbox.record_now())
            .or_else(|error| remove_socket(&link).and(Err(error)))?;
        remove_socket(&self.name_link(before))
    }

    fn rename_on_networks(&self, sandbox: &Sandbox) {
        let request = Request::Rename {
            sandbox: sandbox.record.id.to_string(),
            name: sandbox.name().to_string(),
        };
        if let Err(error) = self.change_live(sandbox, &mut sandbox.wire(), &request) {
            tracing::warn!(sandbox = %sandbox.record.id, error = shedbox_spec::error::chain(&error), "its new name is not known on its networks");
        }
    }
}
