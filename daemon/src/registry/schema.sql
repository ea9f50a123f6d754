-- Schema of the registry. Write only through samplerd; read what you like, the views are for that.
CREATE TABLE record (
    key      TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    value    TEXT NOT NULL CHECK (json_valid(value))
) STRICT, WITHOUT ROWID;

CREATE TABLE generation (value INTEGER NOT NULL) STRICT;
INSERT INTO generation VALUES (0);

CREATE VIEW datasets AS
SELECT json_extract(d.value, '$.name') AS name,
       json_extract(d.value, '$.hash') AS hash,
       json_extract(d.value, '$.rows') AS rows,
       json_extract(d.value, '$.features') AS features,
       json_extract(d.value, '$.gradient_norm') AS gradient_norm,
       json_extract(d.value, '$.columns') AS columns,
       json_extract(a.value, '$.version') AS active_version,
       json_extract(d.value, '$.created_at_ms') AS created_at_ms
FROM record d LEFT JOIN record a ON a.key = 'active/' || substr(d.key, 9)
WHERE d.key >= 'dataset/' AND d.key < 'dataset0';

CREATE VIEW samplers AS
SELECT json_extract(s.value, '$.dataset') AS dataset,
       json_extract(s.value, '$.version') AS version,
       json_extract(s.value, '$.spec_json') AS spec_json,
       json_extract(s.value, '$.origin.study') AS study,
       json_extract(s.value, '$.origin.trial') AS trial,
       json_extract(s.value, '$.origin.candidate') AS candidate,
       json_extract(s.value, '$.effective_sample_size') AS effective_sample_size,
       json_extract(s.value, '$.created_at_ms') AS created_at_ms
FROM record s
WHERE s.key >= 'sampler/' AND s.key < 'sampler0';

CREATE VIEW jobs AS
SELECT json_extract(value, '$.name') AS name,
       json_extract(value, '$.dataset') AS dataset,
       json_extract(value, '$.seed') AS seed,
       json_extract(value, '$.batch_size') AS batch_size,
       json_extract(value, '$.mode') AS mode,
       json_extract(value, '$.follow') AS follow,
       json_extract(value, '$.log.horizon') AS horizon,
       json_extract(value, '$.log.changes') AS changes,
       json_extract(value, '$.created_at_ms') AS created_at_ms
FROM record
WHERE key >= 'job/' AND key < 'job0';

CREATE VIEW studies AS
SELECT json_extract(value, '$.name') AS name,
       json_extract(value, '$.dataset') AS dataset,
       json_extract(value, '$.config_json') AS config_json,
       json_extract(value, '$.state') AS state,
       json_extract(value, '$.result_json') AS result_json,
       json_extract(value, '$.trials') AS trials,
       json_extract(value, '$.created_at_ms') AS created_at_ms
FROM record
WHERE key >= 'study/' AND key < 'study0';

-- A trial whose lease has run out stays 'running' here until somebody leases or tells it.
CREATE VIEW trials AS
SELECT json_extract(value, '$.study') AS study,
       json_extract(value, '$.number') AS number,
       json_extract(value, '$.state') AS state,
       json_extract(value, '$.objective') AS objective,
       json_extract(value, '$.reason') AS reason,
       json_extract(value, '$.sampler_version') AS sampler_version,
       json_extract(value, '$.attempt') AS attempt,
       json_extract(value, '$.worker') AS worker,
       json_extract(value, '$.parameters_json') AS parameters_json,
       json_extract(value, '$.report_json') AS report_json,
       json_extract(value, '$.added_at_ms') AS added_at_ms,
       json_extract(value, '$.ended_at_ms') AS ended_at_ms
FROM record
WHERE key >= 'trial/' AND key < 'trial0';
