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
INSERT INTO "csm_approvals" VALUES('r-3','approved','process-1','U1',1764000400.0,1764002200.0,'0000000000000000000000000000000000000000000000000000000000000000','{"path":"/tmp/a.zip","name":"a.zip","size":1000,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","built_at":"2025-11-24T16:00:00Z","files":[{"name":"etc/datadog.yaml","size":10,"sensitive":{"api_key":1}}],"file_count":1,"unpacked":10,"unscanned":[],"unscanned_count":0,"site":"datadoghq.com","case":"123","email":"a@b.example","local":false,"warnings":[],"argv":["agent","flare","123","--email","a@b.example"],"container":null,"why":""}','approve','U2',1764000500.0,'',NULL,'');
CREATE TABLE csm_audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    entry TEXT NOT NULL,
    hash VARCHAR(64) NOT NULL
);
INSERT INTO "csm_audit" VALUES(1,'{"at":"2026-11-24T22:05:37.575672Z","command":"selftest","event":"command.accepted","run":"r-1","seq":1,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}','cd92502276b9f97222ce6ea768f178189de0c5ad6b200466dd68084d197a12f2');
INSERT INTO "csm_audit" VALUES(2,'{"agent":"node-1","at":"2026-11-24T22:05:37.579142Z","command":"selftest","event":"agent.asked","run":"r-1","seq":2,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}','22120484f8f5348e606d1f8789d7207568d35658300831e0817a06c1523a3f0e');
INSERT INTO "csm_audit" VALUES(3,'{"agent":"node-1","argv":[["system-probe","runtime","self-test"]],"at":"2026-11-24T22:05:37.580836Z","command":"selftest","detail":"rule_open failed","event":"agent.answered","outcome":"fail","run":"r-1","seq":3,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}','dc137503ba8ac2801e7f43fbc88460740730baebceeade6cb471a9613e3c1ccd');
INSERT INTO "csm_audit" VALUES(4,'{"at":"2026-11-24T22:05:37.584651Z","command":"selftest","detail":"1 fail","event":"run.ended","outcome":"fail","run":"r-1","seq":4,"target":"cluster-a","who":"csm"}','dd3f73b1a6ba3cb676832dc81564cb3512e036c434a9b5af20bd402a9e693890');
INSERT INTO "csm_audit" VALUES(5,'{"agent":"node-1","at":"2026-11-24T22:05:37.589034Z","command":"selftest","event":"command.accepted","run":"r-2","seq":5,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}','dac0381c89535a36dcf4c78712ded4b310d85010829d13fd8e7fb4b8fb313b8f');
INSERT INTO "csm_audit" VALUES(6,'{"agent":"node-1","at":"2026-11-24T22:05:37.593071Z","command":"flare","event":"command.accepted","run":"r-3","seq":6,"target":"cluster-a","where":"C0INCIDENT","who":"U1"}','5312e86f3cf35a136d00cd0cd9f60559a3cb39b2a83b8ae4b17f2bf80d3b15da');
INSERT INTO "csm_audit" VALUES(7,'{"at":"2026-11-24T22:05:37.599169Z","command":"flare","detail":"sha256 0000000000000000000000000000000000000000000000000000000000000000","event":"approval.requested","run":"r-3","seq":7,"who":"U1"}','a26df8e61ed55272f511e686ca5fe6347eae1da7f533177f7a970209dcda5c8e');
INSERT INTO "csm_audit" VALUES(8,'{"at":"2026-11-24T22:05:37.604131Z","command":"flare","detail":"sha256 0000000000000000000000000000000000000000000000000000000000000000","event":"approval.granted","run":"r-3","seq":8,"who":"U2"}','de82bb0b471777ec0d7378cf9e2bbcfc0c2a867336a37772d41adab46e5662a6');
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
CREATE TABLE csm_replicas (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    seen_at FLOAT NOT NULL
);
INSERT INTO "csm_replicas" VALUES('process-1',1.7955579376085002422e+09);
CREATE TABLE csm_results (
    run VARCHAR(32) NOT NULL,
    agent VARCHAR(256) NOT NULL,
    target VARCHAR(256) NOT NULL,
    command VARCHAR(32) NOT NULL,
    asked_at FLOAT NOT NULL,
    result TEXT,
    PRIMARY KEY (run, agent)
);
INSERT INTO "csm_results" VALUES('r-1','node-1','cluster-a','selftest',1764000001.0,'{"agent":"node-1","platform":"kubernetes","installation":"helm","node":"node-1","agent_version":"7.70.1","verdict":"fail","reason":"rule_open failed","argv":["system-probe","runtime","self-test"],"container":"system-probe","why":"","duration_s":0.0,"findings":[{"code":"selftest.rule_failed","severity":"high","summary":"rule_open failed","evidence":["Failed: [rule_open]"],"remediation":null}],"invocations":[],"tables":[],"document":"","reused_from":null,"flare":null}');
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
, case_id VARCHAR(16) NOT NULL DEFAULT '', email VARCHAR(320) NOT NULL DEFAULT '');
INSERT INTO "csm_runs" VALUES('r-1','selftest','cluster-a','','U1','slack','C0INCIDENT','https://hooks.example/1','done',1764000000.0,1764000002.0,'','[{"target": "cluster-a", "name": "node-1", "platform": "kubernetes", "installation": "helm", "containers": [], "node": "node-1", "phase": "Running", "version": null, "namespace": "datadog", "handle": "datadog-1"}]','fail','{"schema":"csm.report/1","run":"r-1","command":"selftest","target":"cluster-a","verdict":"fail","reason":"","remedy":"","started":"2025-11-24T16:00:00Z","duration_s":2.0,"counts":{"fail":1},"agents":[{"agent":"node-1","platform":"kubernetes","installation":"helm","node":"node-1","agent_version":"7.70.1","verdict":"fail","reason":"rule_open failed","argv":["system-probe","runtime","self-test"],"container":"system-probe","why":"","duration_s":0.0,"findings":[{"code":"selftest.rule_failed","severity":"high","summary":"rule_open failed","evidence":["Failed: [rule_open]"],"remediation":null}],"invocations":[],"tables":[],"document":"","reused_from":null,"flare":null}],"requested_by":"U1","cancelled_by":""}','https://sandbox.slack.com/archives/C0INCIDENT/p1','','');
INSERT INTO "csm_runs" VALUES('r-2','selftest','cluster-a','node-1','U1','slack','C0INCIDENT','','accepted',1764000300.0,NULL,'',NULL,NULL,NULL,'','','');
INSERT INTO "csm_runs" VALUES('r-3','flare','cluster-a','node-1','U1','slack','C0INCIDENT','','done',1764000400.0,2109600000.0,'',NULL,NULL,NULL,'','123','a@b.example');
CREATE TABLE csm_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "csm_schema" VALUES(1);
INSERT INTO "csm_schema" VALUES(2);
INSERT INTO "csm_schema" VALUES(3);
CREATE INDEX csm_runs_by_target ON csm_runs (target, accepted_at);
CREATE INDEX csm_results_by_agent ON csm_results (target, agent, command, asked_at);
CREATE TRIGGER csm_audit_no_update BEFORE UPDATE ON csm_audit BEGIN SELECT RAISE(ABORT, 'csm_audit is append-only'); END;
CREATE TRIGGER csm_audit_no_delete BEFORE DELETE ON csm_audit BEGIN SELECT RAISE(ABORT, 'csm_audit is append-only'); END;
CREATE INDEX csm_approvals_by_holder ON csm_approvals (holder, state);
