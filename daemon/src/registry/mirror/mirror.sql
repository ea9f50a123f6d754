-- What a mirror keeps beside the records: where they come from, and what has to be given back to the registry.
CREATE TABLE IF NOT EXISTS origin (registry TEXT NOT NULL, history TEXT NOT NULL) STRICT;

-- At which generation of the registry each key changed last; deleted is the revision of a deletion.
CREATE TABLE IF NOT EXISTS change (
    key        TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    deleted    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS change_generation ON change (generation);

-- Records written while the registry was down, not yet committed to it.
CREATE TABLE IF NOT EXISTS held (
    key      TEXT PRIMARY KEY,
    base     INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    value    TEXT NOT NULL CHECK (json_valid(value))
) STRICT, WITHOUT ROWID;

-- The last revision given to a held record.
CREATE TABLE IF NOT EXISTS held_revision (value INTEGER NOT NULL) STRICT;
