CREATE FUNCTION csm_audit_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'csm_audit is append-only'; END $$;
CREATE TABLE csm_audit (
    seq bigint NOT NULL,
    entry text NOT NULL,
    hash character varying(64) NOT NULL
);
CREATE TABLE csm_posts (
    run character varying(32) NOT NULL,
    key character varying(128) NOT NULL,
    channel character varying(32) NOT NULL,
    intended_at double precision NOT NULL,
    ts character varying(32) NOT NULL,
    extra text NOT NULL
);
CREATE TABLE csm_results (
    run character varying(32) NOT NULL,
    agent character varying(256) NOT NULL,
    target character varying(256) NOT NULL,
    command character varying(32) NOT NULL,
    asked_at double precision NOT NULL,
    result text
);
CREATE TABLE csm_runs (
    id character varying(32) NOT NULL,
    command character varying(32) NOT NULL,
    target character varying(256) NOT NULL,
    agent character varying(256) NOT NULL,
    requested_by character varying(128) NOT NULL,
    source character varying(16) NOT NULL,
    channel character varying(32) NOT NULL,
    response_url text NOT NULL,
    state character varying(16) NOT NULL,
    accepted_at double precision NOT NULL,
    finished_at double precision,
    cancelled_by character varying(128) NOT NULL,
    inventory text,
    verdict character varying(16),
    report text,
    permalink text NOT NULL
);
CREATE TABLE csm_schema (
    version integer NOT NULL
);
INSERT INTO csm_audit VALUES (1, '{"at":"2026-11-24T21:43:51.391579Z","command":"selftest","event":"command.accepted","run":"r-1","seq":1,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}', '4bf66e29790304ef6374576a94f1831b4c9923bd3c8941b159e818184db712f5');
INSERT INTO csm_audit VALUES (2, '{"agent":"node-1","at":"2026-11-24T21:43:51.398068Z","command":"selftest","event":"agent.asked","run":"r-1","seq":2,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}', '1a9713ad09e1230dbd2988257de1494a1fe65e7e5d31cede4ae349336a555d5e');
INSERT INTO csm_audit VALUES (3, '{"agent":"node-1","argv":[["system-probe","runtime","self-test"]],"at":"2026-11-24T21:43:51.400266Z","command":"selftest","detail":"rule_open failed","event":"agent.answered","outcome":"fail","run":"r-1","seq":3,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}', 'b544c98ad9fd9fa9f5d03bd9e2df99285be0b2b0045b8734bc2f2338f7376b20');
INSERT INTO csm_audit VALUES (4, '{"at":"2026-11-24T21:43:51.405329Z","command":"selftest","detail":"1 fail","event":"run.ended","outcome":"fail","run":"r-1","seq":4,"target":"cluster-a","who":"csm"}', '630e068f2c8d847ac62ad18ef048b80f9beb4f77791e6c1204e89d95194f6bc9');
INSERT INTO csm_audit VALUES (5, '{"agent":"node-1","at":"2026-11-24T21:43:51.416337Z","command":"selftest","event":"command.accepted","run":"r-2","seq":5,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}', 'acf3d5c17a0eb85566694aa308bf8c0210eb9e7acb8a0afd8c797f7075760610');
INSERT INTO csm_posts VALUES ('r-1', 'opening', 'C0INCIDENT', 1764000000, '1764000000.000100', '');
INSERT INTO csm_results VALUES ('r-1', 'node-1', 'cluster-a', 'selftest', 1764000001, '{"agent":"node-1","platform":"kubernetes","installation":"helm","node":"node-1","agent_version":"7.70.1","verdict":"fail","reason":"rule_open failed","argv":["system-probe","runtime","self-test"],"container":"system-probe","why":"","duration_s":0.0,"findings":[{"code":"selftest.rule_failed","severity":"high","summary":"rule_open failed","evidence":["Failed: [rule_open]"],"remediation":null}],"invocations":[],"reused_from":null}');
INSERT INTO csm_runs VALUES ('r-1', 'selftest', 'cluster-a', '', 'U1', 'slack', 'C0INCIDENT', 'https://hooks.example/1', 'done', 1764000000, 1764000002, '', '[{"target": "cluster-a", "name": "node-1", "platform": "kubernetes", "installation": "helm", "containers": [], "node": "node-1", "phase": "Running", "version": null, "namespace": "datadog", "handle": "datadog-1"}]', 'fail', '{"schema":"csm.report/1","run":"r-1","command":"selftest","target":"cluster-a","verdict":"fail","reason":"","remedy":"","started":"2025-11-24T16:00:00Z","duration_s":2.0,"counts":{"fail":1},"agents":[{"agent":"node-1","platform":"kubernetes","installation":"helm","node":"node-1","agent_version":"7.70.1","verdict":"fail","reason":"rule_open failed","argv":["system-probe","runtime","self-test"],"container":"system-probe","why":"","duration_s":0.0,"findings":[{"code":"selftest.rule_failed","severity":"high","summary":"rule_open failed","evidence":["Failed: [rule_open]"],"remediation":null}],"invocations":[],"reused_from":null}],"requested_by":"U1","cancelled_by":""}', 'https://sandbox.slack.com/archives/C0INCIDENT/p1');
INSERT INTO csm_runs VALUES ('r-2', 'selftest', 'cluster-a', 'node-1', 'U1', 'slack', 'C0INCIDENT', '', 'accepted', 1764000300, NULL, '', NULL, NULL, NULL, '');
INSERT INTO csm_schema VALUES (1);
INSERT INTO csm_schema VALUES (2);
ALTER TABLE ONLY csm_audit
    ADD CONSTRAINT csm_audit_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY csm_posts
    ADD CONSTRAINT csm_posts_pkey PRIMARY KEY (run, key);
ALTER TABLE ONLY csm_results
    ADD CONSTRAINT csm_results_pkey PRIMARY KEY (run, agent);
ALTER TABLE ONLY csm_runs
    ADD CONSTRAINT csm_runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY csm_schema
    ADD CONSTRAINT csm_schema_pkey PRIMARY KEY (version);
CREATE INDEX csm_results_by_agent ON csm_results USING btree (target, agent, command, asked_at);
CREATE INDEX csm_runs_by_target ON csm_runs USING btree (target, accepted_at);
CREATE TRIGGER csm_audit_no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON csm_audit FOR EACH STATEMENT EXECUTE FUNCTION csm_audit_is_append_only();
