//! The scripts that read and change the registry; each file says what it takes and returns.

use redis::Script;

/// Every script, each compiled by the server once.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) join: Script,
    pub(super) generation: Script,
    pub(super) get: Script,
    pub(super) list: Script,
    pub(super) count: Script,
    pub(super) changes: Script,
    pub(super) commit: Script,
    pub(super) restore: Script,
    pub(super) announce: Script,
    pub(super) daemons: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            join: Script::new(include_str!("join.lua")),
            generation: Script::new(include_str!("generation.lua")),
            get: Script::new(include_str!("get.lua")),
            list: Script::new(include_str!("list.lua")),
            count: Script::new(include_str!("count.lua")),
            changes: Script::new(include_str!("changes.lua")),
            commit: Script::new(include_str!("commit.lua")),
            restore: Script::new(include_str!("restore.lua")),
            announce: Script::new(include_str!("announce.lua")),
            daemons: Script::new(include_str!("daemons.lua")),
        }
    }
}
