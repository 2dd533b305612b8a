-- What happened, chained by hashes (bot/storage/audit.py).
CREATE TABLE csm_audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    entry TEXT NOT NULL,
    hash VARCHAR(64) NOT NULL
);

CREATE TRIGGER csm_audit_no_update BEFORE UPDATE ON csm_audit BEGIN SELECT RAISE(ABORT, 'csm_audit is append-only'); END;

CREATE TRIGGER csm_audit_no_delete BEFORE DELETE ON csm_audit BEGIN SELECT RAISE(ABORT, 'csm_audit is append-only'); END;
