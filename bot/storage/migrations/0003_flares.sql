-- Flares: whose case a run is for, what was approved by whom, and which processes are alive to hold one.
ALTER TABLE csm_runs ADD COLUMN case_id VARCHAR(16) NOT NULL DEFAULT '';

ALTER TABLE csm_runs ADD COLUMN email VARCHAR(320) NOT NULL DEFAULT '';

CREATE TABLE csm_approvals (
    run VARCHAR(32) NOT NULL PRIMARY KEY,
    state VARCHAR(16) NOT NULL,
    holder VARCHAR(64) NOT NULL,
    requested_by VARCHAR(128) NOT NULL,
    requested_at FLOAT NOT NULL,
    expires_at FLOAT NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    review TEXT,
    decision VARCHAR(16) NOT NULL,
    decided_by VARCHAR(128) NOT NULL,
    decided_at FLOAT,
    ending VARCHAR(32) NOT NULL,
    ended_at FLOAT,
    again VARCHAR(32) NOT NULL
);

CREATE INDEX csm_approvals_by_holder ON csm_approvals (holder, state);

CREATE TABLE csm_replicas (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    seen_at FLOAT NOT NULL
);
