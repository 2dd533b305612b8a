CREATE FUNCTION csm_audit_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'csm_audit is append-only'; END $$;
CREATE TABLE csm_approvals (
    run character varying(32) NOT NULL,
    state character varying(16) NOT NULL,
    holder character varying(64) NOT NULL,
    requested_by character varying(128) NOT NULL,
    requested_at double precision NOT NULL,
    expires_at double precision NOT NULL,
    sha256 character varying(64) NOT NULL,
    review text,
    decision character varying(16) NOT NULL,
    decided_by character varying(128) NOT NULL,
    decided_at double precision,
    ending character varying(32) NOT NULL,
    ended_at double precision,
    again character varying(32) NOT NULL
);
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
CREATE TABLE csm_replicas (
    id character varying(64) NOT NULL,
    seen_at double precision NOT NULL
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
    permalink text NOT NULL,
    case_id character varying(16) DEFAULT ''::character varying NOT NULL,
    email character varying(320) DEFAULT ''::character varying NOT NULL
);
CREATE TABLE csm_schema (
    version integer NOT NULL
);
INSERT INTO csm_approvals VALUES ('r-3', 'approved', 'process-1', 'U1', 1764000400, 1764002200, '0000000000000000000000000000000000000000000000000000000000000000', '{"path":"/tmp/a.zip","name":"a.zip","size":1000,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","built_at":"2025-11-24T16:00:00Z","files":[{"name":"etc/datadog.yaml","size":10,"sensitive":{"api_key":1}}],"file_count":1,"unpacked":10,"unscanned":[],"unscanned_count":0,"site":"datadoghq.com","case":"123","email":"a@b.example","local":false,"warnings":[],"argv":["agent","flare","123","--email","a@b.example"],"container":null,"why":""}', 'approve', 'U2', 1764000500, '', NULL, '');
INSERT INTO csm_audit VALUES (1, '{"at":"2026-11-24T22:05:37.739402Z","command":"selftest","event":"command.accepted","run":"r-1","seq":1,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}', 'bb93d6be839baed96bc56c20fbfe0b3188fa777cd8a4152d89a80ec83eb4901a');
INSERT INTO csm_audit VALUES (2, '{"agent":"node-1","at":"2026-11-24T22:05:37.746568Z","command":"selftest","event":"agent.asked","run":"r-1","seq":2,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}', '8d2476275ca77316d1f3319f9ccc257154ad8d8c2201d7ff516cc791ee653684');
INSERT INTO csm_audit VALUES (3, '{"agent":"node-1","argv":[["system-probe","runtime","self-test"]],"at":"2026-11-24T22:05:37.753448Z","command":"selftest","detail":"rule_open failed","event":"agent.answered","outcome":"fail","run":"r-1","seq":3,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}', '3ce0becd9ec8c5627b7cf5d53e7fa364c63ef6fba2d32609b09b7d33014799e0');
INSERT INTO csm_audit VALUES (4, '{"at":"2026-11-24T22:05:37.765394Z","command":"selftest","detail":"1 fail","event":"run.ended","outcome":"fail","run":"r-1","seq":4,"target":"cluster-a","who":"csm"}', 'd0bec54d4db5a23d0133e0ee689d71512b86b3daa1e9a0307aad33ff84106231');
INSERT INTO csm_audit VALUES (5, '{"agent":"node-1","at":"2026-11-24T22:05:37.775116Z","command":"selftest","event":"command.accepted","run":"r-2","seq":5,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}', '1b1fcb6253cad1411c3baaedc822bb687177f196eacd5843760fea7eb19c3b1e');
INSERT INTO csm_audit VALUES (6, '{"agent":"node-1","at":"2026-11-24T22:05:37.780193Z","command":"flare","event":"command.accepted","run":"r-3","seq":6,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}', '6dff7993263e1d42f003968729e6e3c9907019571c6ccba8267290c3999bfc0e');
INSERT INTO csm_audit VALUES (7, '{"at":"2026-11-24T22:05:37.787472Z","command":"flare","detail":"sha256 0000000000000000000000000000000000000000000000000000000000000000","event":"approval.requested","run":"r-3","seq":7,"who":"U1"}', '0de706271302a38ddf3d7dedccabbc162133249c47224ff598ef6f12c20cecf8');
INSERT INTO csm_audit VALUES (8, '{"at":"2026-11-24T22:05:37.790881Z","command":"flare","detail":"sha256 0000000000000000000000000000000000000000000000000000000000000000","event":"approval.granted","run":"r-3","seq":8,"who":"U2"}', '6042e79aa6c5eeedd88f191795ab4493bd838bb5afa6c57ff7b1d70e33f37863');
INSERT INTO csm_posts VALUES ('r-1', 'opening', 'C0INCIDENT', 1764000000, '1764000000.000100', '');
INSERT INTO csm_replicas VALUES ('process-1', 1795557937.794141);
INSERT INTO csm_results VALUES ('r-1', 'node-1', 'cluster-a', 'selftest', 1764000001, '{"agent":"node-1","platform":"kubernetes","installation":"helm","node":"node-1","agent_version":"7.70.1","verdict":"fail","reason":"rule_open failed","argv":["system-probe","runtime","self-test"],"container":"system-probe","why":"","duration_s":0.0,"findings":[{"code":"selftest.rule_failed","severity":"high","summary":"rule_open failed","evidence":["Failed: [rule_open]"],"remediation":null}],"invocations":[],"tables":[],"document":"","reused_from":null,"flare":null}');
INSERT INTO csm_runs VALUES ('r-1', 'selftest', 'cluster-a', '', 'U1', 'slack', 'C0INCIDENT', 'https://hooks.example/1', 'done', 1764000000, 1764000002, '', '[{"target": "cluster-a", "name": "node-1", "platform": "kubernetes", "installation": "helm", "containers": [], "node": "node-1", "phase": "Running", "version": null, "namespace": "datadog", "handle": "datadog-1"}]', 'fail', '{"schema":"csm.report/1","run":"r-1","command":"selftest","target":"cluster-a","verdict":"fail","reason":"","remedy":"","started":"2025-11-24T16:00:00Z","duration_s":2.0,"counts":{"fail":1},"agents":[{"agent":"node-1","platform":"kubernetes","installation":"helm","node":"node-1","agent_version":"7.70.1","verdict":"fail","reason":"rule_open failed","argv":["system-probe","runtime","self-test"],"container":"system-probe","why":"","duration_s":0.0,"findings":[{"code":"selftest.rule_failed","severity":"high","summary":"rule_open failed","evidence":["Failed: [rule_open]"],"remediation":null}],"invocations":[],"tables":[],"document":"","reused_from":null,"flare":null}],"requested_by":"U1","cancelled_by":""}', 'https://sandbox.slack.com/archives/C0INCIDENT/p1', '', '');
INSERT INTO csm_runs VALUES ('r-2', 'selftest', 'cluster-a', 'node-1', 'U1', 'slack', 'C0INCIDENT', '', 'accepted', 1764000300, NULL, '', NULL, NULL, NULL, '', '', '');
INSERT INTO csm_runs VALUES ('r-3', 'flare', 'cluster-a', 'node-1', 'U1', 'slack', 'C0INCIDENT', '', 'done', 1764000400, 2109600000, '', NULL, NULL, NULL, '', '123', 'a@b.example');
INSERT INTO csm_schema VALUES (1);
INSERT INTO csm_schema VALUES (2);
INSERT INTO csm_schema VALUES (3);
ALTER TABLE ONLY csm_approvals
    ADD CONSTRAINT csm_approvals_pkey PRIMARY KEY (run);
ALTER TABLE ONLY csm_audit
    ADD CONSTRAINT csm_audit_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY csm_posts
    ADD CONSTRAINT csm_posts_pkey PRIMARY KEY (run, key);
ALTER TABLE ONLY csm_replicas
    ADD CONSTRAINT csm_replicas_pkey PRIMARY KEY (id);
ALTER TABLE ONLY csm_results
    ADD CONSTRAINT csm_results_pkey PRIMARY KEY (run, agent);
ALTER TABLE ONLY csm_runs
    ADD CONSTRAINT csm_runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY csm_schema
    ADD CONSTRAINT csm_schema_pkey PRIMARY KEY (version);
CREATE INDEX csm_approvals_by_holder ON csm_approvals USING btree (holder, state);
CREATE INDEX csm_results_by_agent ON csm_results USING btree (target, agent, command, asked_at);
CREATE INDEX csm_runs_by_target ON csm_runs USING btree (target, accepted_at);
CREATE TRIGGER csm_audit_no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON csm_audit FOR EACH STATEMENT EXECUTE FUNCTION csm_audit_is_append_only();
