-- What happened, chained by hashes (bot/storage/audit.py).
CREATE TABLE csm_audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    entry TEXT NOT NULL,
    hash VARCHAR(64) NOT NULL
);

CREATE FUNCTION csm_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'csm_audit is append-only'; END $$;

CREATE TRIGGER csm_audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON csm_audit FOR EACH STATEMENT EXECUTE FUNCTION csm_audit_is_append_only();
