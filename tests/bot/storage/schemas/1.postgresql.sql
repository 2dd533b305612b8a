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
CREATE SEQUENCE csm_schema_version_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE csm_schema_version_seq OWNED BY csm_schema.version;
ALTER TABLE ONLY csm_schema ALTER COLUMN version SET DEFAULT nextval('csm_schema_version_seq'::regclass);
INSERT INTO csm_posts VALUES ('r-1', 'opening', 'C0INCIDENT', 1764000000, '1764000000.000100', '');
INSERT INTO csm_results VALUES ('r-1', 'node-1', 'cluster-a', 'selftest', 1764000001, '{"agent":"node-1","platform":"kubernetes","installation":"helm","node":"node-1","agent_version":"7.70.1","verdict":"fail","reason":"rule_open failed","argv":["system-probe","runtime","self-test"],"container":"system-probe","why":"","duration_s":0.0,"findings":[{"code":"selftest.rule_failed","severity":"high","summary":"rule_open failed","evidence":["Failed: [rule_open]"],"remediation":null}],"invocations":[],"reused_from":null}');
INSERT INTO csm_runs VALUES ('r-1', 'selftest', 'cluster-a', '', 'U1', 'slack', 'C0INCIDENT', 'https://hooks.example/1', 'done', 1764000000, 1764000002, '', '[{"target": "cluster-a", "name": "node-1", "platform": "kubernetes", "installation": "helm", "containers": [], "node": "node-1", "phase": "Running", "version": null, "namespace": "datadog", "handle": "datadog-1"}]', 'fail', '{"schema":"csm.report/1","run":"r-1","command":"selftest","target":"cluster-a","verdict":"fail","reason":"","remedy":"","started":"2025-11-24T16:00:00Z","duration_s":2.0,"counts":{"fail":1},"agents":[{"agent":"node-1","platform":"kubernetes","installation":"helm","node":"node-1","agent_version":"7.70.1","verdict":"fail","reason":"rule_open failed","argv":["system-probe","runtime","self-test"],"container":"system-probe","why":"","duration_s":0.0,"findings":[{"code":"selftest.rule_failed","severity":"high","summary":"rule_open failed","evidence":["Failed: [rule_open]"],"remediation":null}],"invocations":[],"reused_from":null}],"requested_by":"U1","cancelled_by":""}', 'https://sandbox.slack.com/archives/C0INCIDENT/p1764000000000100');
INSERT INTO csm_runs VALUES ('r-2', 'selftest', 'cluster-a', 'node-1', 'U1', 'slack', 'C0INCIDENT', '', 'accepted', 1764000300, NULL, '', NULL, NULL, NULL, '');
INSERT INTO csm_schema VALUES (1);
SELECT pg_catalog.setval('csm_schema_version_seq', 1, false);
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
