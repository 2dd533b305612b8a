CREATE TABLE csm_audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    entry TEXT NOT NULL,
    hash VARCHAR(64) NOT NULL
);
INSERT INTO "csm_audit" VALUES(1,'{"at":"2026-11-24T21:43:51.178164Z","command":"selftest","event":"command.accepted","run":"r-1","seq":1,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}','811735b1e7e8ba19fe995854686821585bc29b6098443baabec1323cc1bd3614');
INSERT INTO "csm_audit" VALUES(2,'{"agent":"node-1","at":"2026-11-24T21:43:51.221652Z","command":"selftest","event":"agent.asked","run":"r-1","seq":2,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}','f8a4a9c4b8d1eda8be0144d852e7b359fd18f33ba821db0c63bd54d975fae358');
INSERT INTO "csm_audit" VALUES(3,'{"agent":"node-1","argv":[["system-probe","runtime","self-test"]],"at":"2026-11-24T21:43:51.227975Z","command":"selftest","detail":"rule_open failed","event":"agent.answered","outcome":"fail","run":"r-1","seq":3,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}','fd0e06c9960516e514a53ce4c351d38c25e58bb52742b0abb6efe280a5ff82dd');
INSERT INTO "csm_audit" VALUES(4,'{"at":"2026-11-24T21:43:51.259115Z","command":"selftest","detail":"1 fail","event":"run.ended","outcome":"fail","run":"r-1","seq":4,"target":"cluster-a","who":"csm"}','0e833a5e72b274a47d8ee958668facbfefa0658af57a02e91fe5af7990365181');
INSERT INTO "csm_audit" VALUES(5,'{"agent":"node-1","at":"2026-11-24T21:43:51.282789Z","command":"selftest","event":"command.accepted","run":"r-2","seq":5,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}','069f5f6d4f44a2994d336e84a67a602b370b6911a84b8837e1b746e0c31f8d9b');
CREATE TABLE csm_posts (
    run VARCHAR(32) NOT NULL,
    key VARCHAR(128) NOT NULL,
    channel VARCHAR(32) NOT NULL,
    intended_at FLOAT NOT NULL,
    ts VARCHAR(32) NOT NULL,
    extra TEXT NOT NULL,
    PRIMARY KEY (run, key)
);
INSERT INTO "csm_posts" VALUES('r-1','opening','C0INCIDENT',1764000000.0,'1764000000.000100','');
CREATE TABLE csm_results (
    run VARCHAR(32) NOT NULL,
    agent VARCHAR(256) NOT NULL,
    target VARCHAR(256) NOT NULL,
    command VARCHAR(32) NOT NULL,
    asked_at FLOAT NOT NULL,
    result TEXT,
    PRIMARY KEY (run, agent)
);
INSERT INTO "csm_results" VALUES('r-1','node-1','cluster-a','selftest',1764000001.0,'{"agent":"node-1","platform":"kubernetes","installation":"helm","node":"node-1","agent_version":"7.70.1","verdict":"fail","reason":"rule_open failed","argv":["system-probe","runtime","self-test"],"container":"system-probe","why":"","duration_s":0.0,"findings":[{"code":"selftest.rule_failed","severity":"high","summary":"rule_open failed","evidence":["Failed: [rule_open]"],"remediation":null}],"invocations":[],"reused_from":null}');
CREATE TABLE csm_runs (
    id VARCHAR(32) NOT NULL PRIMARY KEY,
    command VARCHAR(32) NOT NULL,
    target VARCHAR(256) NOT NULL,
    agent VARCHAR(256) NOT NULL,
    requested_by VARCHAR(128) NOT NULL,
    source VARCHAR(16) NOT NULL,
    channel VARCHAR(32) NOT NULL,
    response_url TEXT NOT NULL,
    state VARCHAR(16) NOT NULL,
    accepted_at FLOAT NOT NULL,
    finished_at FLOAT,
    cancelled_by VARCHAR(128) NOT NULL,
    inventory TEXT,
    verdict VARCHAR(16),
    report TEXT,
    permalink TEXT NOT NULL
);
INSERT INTO "csm_runs" VALUES('r-1','selftest','cluster-a','','U1','slack','C0INCIDENT','https://hooks.example/1','done',1764000000.0,1764000002.0,'','[{"target": "cluster-a", "name": "node-1", "platform": "kubernetes", "installation": "helm", "containers": [], "node": "node-1", "phase": "Running", "version": null, "namespace": "datadog", "handle": "datadog-1"}]','fail','{"schema":"csm.report/1","run":"r-1","command":"selftest","target":"cluster-a","verdict":"fail","reason":"","remedy":"","started":"2025-11-24T16:00:00Z","duration_s":2.0,"counts":{"fail":1},"agents":[{"agent":"node-1","platform":"kubernetes","installation":"helm","node":"node-1","agent_version":"7.70.1","verdict":"fail","reason":"rule_open failed","argv":["system-probe","runtime","self-test"],"container":"system-probe","why":"","duration_s":0.0,"findings":[{"code":"selftest.rule_failed","severity":"high","summary":"rule_open failed","evidence":["Failed: [rule_open]"],"remediation":null}],"invocations":[],"reused_from":null}],"requested_by":"U1","cancelled_by":""}','https://sandbox.slack.com/archives/C0INCIDENT/p1');
INSERT INTO "csm_runs" VALUES('r-2','selftest','cluster-a','node-1','U1','slack','C0INCIDENT','','accepted',1764000300.0,NULL,'',NULL,NULL,NULL,'');
CREATE TABLE csm_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "csm_schema" VALUES(1);
INSERT INTO "csm_schema" VALUES(2);
CREATE INDEX csm_runs_by_target ON csm_runs (target, accepted_at);
CREATE INDEX csm_results_by_agent ON csm_results (target, agent, command, asked_at);
CREATE TRIGGER csm_audit_no_update BEFORE UPDATE ON csm_audit BEGIN SELECT RAISE(ABORT, 'csm_audit is append-only'); END;
CREATE TRIGGER csm_audit_no_delete BEFORE DELETE ON csm_audit BEGIN SELECT RAISE(ABORT, 'csm_audit is append-only'); END;
